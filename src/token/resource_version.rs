//! Comparing resourceVersions of one object. They are decimal numbers that grow (KEP-5504 made that official).

/// Whether `version` is as new as `other` or newer. Versions that are no numbers count as new.
pub(crate) fn at_least_as_new(version: &str, other: &str) -> bool {
    match (version.parse::<u64>(), other.parse::<u64>()) {
        (Ok(version), Ok(other)) => version >= other,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        for (version, other, expected) in [
            ("10", "9", true),
            ("9", "10", false),
            ("9", "9", true),
            ("x", "9", true),
        ] {
            assert_eq!(at_least_as_new(version, other), expected, "{version} after {other}");
        }
    }
}
