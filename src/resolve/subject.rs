//! Who a token on request is for: the subject, put where the provider block has a place for it.
//!
//! Some blocks have a field for it, which [`Block::name_subject`] fills in. `http` and `jwt` have `{{ subject }}`, which
//! is filled in when the token is minted.

use super::policy::Named;
use crate::api::{RealtimeTokenSpec, SubjectUse, TargetContent};
use crate::providers::{Block, Provider};

/// Stands for the subjects to come where a spec is checked before a caller has asked. It fits every provider's field.
const STAND_IN: &str = "1";

const LONGEST: usize = 128;

const ONLY_ON_REQUEST: &str = "{{ subject }} is known of a token on request only, whose caller names the subject: set target.content to \
     Connection and requests.subject to Required, or remove {{ subject }}";

/// A subject, or what is wrong with it.
pub(crate) fn admit(text: &str) -> Result<&str, &'static str> {
    let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(text).ok_or(
        "subject: 1 to 128 letters, digits and punctuation of ASCII, without spaces; use an identifier such as a hash",
    )
}

/// Whether every token of this spec is for a subject: none is minted into the Secret, and no request goes without.
pub(crate) fn is_always_named(spec: &RealtimeTokenSpec) -> bool {
    let required = spec.requests.as_ref().map(|requests| requests.subject) == Some(SubjectUse::Required);
    required && spec.target.content == TargetContent::Connection
}

/// Puts the subject into the block's own field. Where every token has one, the field may be empty in the spec.
pub(super) fn name(spec: &RealtimeTokenSpec, block: &mut Block, subject: Option<&str>) -> Result<(), String> {
    match subject {
        Some(subject) => block.name_subject(subject),
        None if is_always_named(spec) => block.name_subject(STAND_IN),
        None => Ok(()),
    }
}

/// Who says who the token is for.
pub(super) fn named<'a>(spec: &RealtimeTokenSpec, subject: Option<&'a str>) -> Named<'a> {
    match subject {
        Some(subject) => Named::ByCaller(subject),
        None if is_always_named(spec) => Named::Later,
        None => Named::BySpec,
    }
}

/// Whether `{{ subject }}` can always be filled in, and with this subject.
pub(crate) fn check(spec: &RealtimeTokenSpec, adapter: &dyn Provider, subject: Option<&str>) -> Result<(), String> {
    if !adapter.uses_subject() {
        return Ok(());
    }
    if !is_always_named(spec) {
        return Err(ONLY_ON_REQUEST.to_owned());
    }
    let problem = subject.and_then(|subject| adapter.validate_for(subject).err());
    problem.map_or(Ok(()), |problem| Err(format!("subject: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_visible_ascii() {
        let longest = "u".repeat(128);
        for text in ["u", "u_5f3a", "a@b.example", "!\"#~", &longest] {
            assert_eq!(admit(text), Ok(text));
        }
        let long = "u".repeat(129);
        for text in ["", " ", "a b", "zoë", "a\r\nx: y", "a\0", "\u{202e}a", "\u{7f}", &long] {
            let refused = admit(text).unwrap_err();
            assert!(refused.starts_with("subject: 1 to 128"), "{text:?}");
        }
    }
}
