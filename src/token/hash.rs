//! Short hashes, and a deterministic stand-in for random numbers.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};

/// Hash of the key's values, to notice that they changed. 64 bits of SHA-256 reveal nothing of a random key.
pub(crate) fn credential_revision<'a>(values: impl Iterator<Item = &'a SecretString>) -> String {
    let mut bytes = b"realtime-token.dev/credential".to_vec();
    for value in values {
        bytes.push(0);
        bytes.extend_from_slice(value.expose_secret().as_bytes());
    }
    short(&bytes)
}

/// 64 bits of SHA-256, as 16 hexadecimal digits.
pub(crate) fn short(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .take(8)
        .fold(String::with_capacity(16), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
            text
        })
}

/// A duration in `0..=max`, the same for the same uid and purpose: the core knows no random numbers.
pub(crate) fn uniform(uid: &str, purpose: &str, max: SignedDuration) -> SignedDuration {
    let hash = digest(&SHA256, format!("{uid}/{purpose}").as_bytes());
    let seed = hash
        .as_ref()
        .iter()
        .take(8)
        .fold(0u64, |seed, byte| (seed << 8) | u64::from(*byte));
    let max_millis = u128::try_from(max.as_millis()).unwrap_or(0);
    let millis = (u128::from(seed) * (max_millis + 1)) >> 64; // at most max_millis
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn uniform_stays_in_bounds_and_spreads() {
        let max = SignedDuration::from_secs(60);
        let drawn: Vec<_> = (0..1000)
            .map(|n| uniform(&format!("uid-{n}"), "renewal", max))
            .collect();
        assert!(drawn.iter().all(|d| *d >= SignedDuration::ZERO && *d <= max));
        let early = drawn.iter().filter(|d| **d < max / 2).count();
        assert!((400..600).contains(&early), "{early} of 1000 in the first half");
        assert_eq!(uniform("a", "renewal", SignedDuration::ZERO), SignedDuration::ZERO);
        let most = SignedDuration::from_millis(1);
        let drawn: Vec<_> = (0..100)
            .map(|n| uniform(&format!("uid-{n}"), "renewal", most))
            .collect();
        assert!(
            drawn.contains(&SignedDuration::ZERO) && drawn.contains(&most),
            "both ends are drawn"
        );
    }

    #[test]
    fn credential_values_do_not_run_into_each_other() {
        let of = |values: &[&str]| {
            let secrets: Vec<SecretString> = values.iter().map(|v| SecretString::from(*v)).collect();
            credential_revision(secrets.iter())
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["ab"]).len(), 16);
    }
}
