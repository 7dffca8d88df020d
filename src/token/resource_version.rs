//! Comparing resourceVersions of one object. They are decimal numbers that grow (KEP-5504 made that official).

/// Whether `version` is as new as `other` or newer. Versions that are no numbers count as new.
pub(crate) fn at_least_as_new(version: &str, other: &str) -> bool {
    match (version.parse::<u64>(), other.parse::<u64>()) {
        (Ok(version), Ok(other)) => version >= other,
        _ => true,
    }
}
