//! What a provider's field for the end user takes, where that is less than any subject: 1 to 128 characters of visible
//! ASCII.

/// A field for the end user.
pub(super) struct SubjectField {
    /// The field below `spec`.
    pub(super) field: &'static str,
    /// So many characters at most.
    pub(super) longest: usize,
    /// Characters that it doesn't take.
    pub(super) refused: &'static str,
}

impl SubjectField {
    /// The subject, or what is wrong with it, without repeating it.
    pub(super) fn admit(&self, subject: &str) -> Result<String, String> {
        let Self {
            field,
            longest,
            refused,
        } = self;
        let length = subject.chars().count();
        if length > *longest {
            return Err(format!(
                "subject: {length} characters, and {field}, where it goes, takes at most {longest}; use a shorter identifier"
            ));
        }
        if subject.contains(|c| refused.contains(c)) {
            return Err(format!(
                "subject: {field}, where it goes, takes none of {refused}; use another identifier"
            ));
        }
        Ok(subject.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_field_takes_is_said_and_the_subject_is_not() {
        let field = SubjectField {
            field: "daily.userId",
            longest: 6,
            refused: "/",
        };
        assert_eq!(field.admit("canary").as_deref(), Ok("canary"));
        let long = field.admit("canary1").unwrap_err();
        assert!(long.contains("7 characters") && long.contains("at most 6"), "{long}");
        let refused = field.admit("can/ry").unwrap_err();
        assert!(refused.contains("takes none of /"), "{refused}");
        for message in [long, refused] {
            assert!(message.starts_with("subject: daily.userId") || message.starts_with("subject: 7"));
            assert!(!message.contains("can"), "{message}");
        }
    }
}
