//! How large a spec may be. The CRDs bound every field that they know; what is passed through to a provider is opaque to
//! them, so code that reads one looks at the length of its text before parsing it.

/// The longest spec of a RealtimeToken, as JSON. A session with instructions and dozens of tools takes 20 to 60 KB.
pub const LONGEST_SPEC: usize = 128 * 1024;

/// The most values in one: objects, lists and what is in them. A parsed value takes up to 160 bytes, however short its
/// text is.
pub const MOST_VALUES: usize = 4096;

/// Why a spec isn't parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Its text is too long.
    #[error("takes {0} bytes as JSON where {LONGEST_SPEC} are allowed; shorten what is passed through to the provider")]
    Long(usize),
    /// It has too many values.
    #[error(
        "has {0} objects, lists and values where {MOST_VALUES} are allowed; shorten what is passed through to the provider"
    )]
    Many(usize),
}

/// Whether the JSON of a spec may be parsed.
///
/// # Errors
/// It is too large.
pub fn check_size(json: &str) -> Result<(), TooLarge> {
    if json.len() > LONGEST_SPEC {
        return Err(TooLarge::Long(json.len()));
    }
    match count_values(json.as_bytes()) {
        count if count > MOST_VALUES => Err(TooLarge::Many(count)),
        _ => Ok(()),
    }
}

/// How many values a JSON text has, or a few more: an empty list counts as two. Each value but the first has a comma or
/// an opening bracket before it, and one before its name.
#[must_use]
pub fn count_values(json: &[u8]) -> usize {
    let (mut in_string, mut escaped, mut count) = (false, false, 1);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn in_truth(value: &Value) -> usize {
        1 + match value {
            Value::Object(fields) => fields.values().map(in_truth).sum::<usize>(),
            Value::Array(items) => items.iter().map(in_truth).sum(),
            _ => 0,
        }
    }

    #[test]
    fn no_value_escapes_the_count() {
        for json in [
            "1",
            "[]",
            "{}",
            "[0,0,0]",
            r#"{"a":{"b":[1,{"c":null}]},"d":"x,[{y"}"#,
            r#"["\"",0,"\\",{"a\"":[]}]"#,
            "[[],[],[[[]]]]",
        ] {
            let (counted, there) = (
                count_values(json.as_bytes()),
                in_truth(&serde_json::from_str(json).unwrap()),
            );
            assert!((there..=2 * there).contains(&counted), "{json}: {counted} for {there}");
        }
    }

    #[test]
    fn text_and_values_are_bounded() {
        let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert_eq!(check_size(&long(LONGEST_SPEC)), Ok(()));
        assert_eq!(
            check_size(&long(LONGEST_SPEC + 1)),
            Err(TooLarge::Long(LONGEST_SPEC + 1))
        );
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert_eq!(check_size(&many(MOST_VALUES)), Ok(()));
        assert_eq!(check_size(&many(MOST_VALUES + 1)), Err(TooLarge::Many(MOST_VALUES + 1)));
        // Commas in texts are no values.
        assert_eq!(check_size(&format!("\"{}\"", ",".repeat(MOST_VALUES * 2))), Ok(()));
    }
}
