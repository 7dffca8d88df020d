//! How long to leave a failing provider alone. A function of attempts and uid, so that it can be tested.

use jiff::SignedDuration;

use super::fingerprint::uniform;
use crate::providers::MintError;

/// No two attempts are closer.
pub const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
const UNAVAILABLE_CAP: SignedDuration = SignedDuration::from_secs(60);
const REJECTED_FIRST: SignedDuration = SignedDuration::from_secs(60);
const REJECTED_CAP: SignedDuration = SignedDuration::from_secs(600);

/// The delay before attempt `failed + 1`.
///
/// Unavailable: exponential from a second with full jitter, at most a minute and at most a quarter of the life left
/// in the current token. Rejected: minutes, since only a change helps and a change is noticed at once. Throttled: the
/// provider's own delay, else as if unavailable.
#[must_use]
pub fn delay(
    error: &MintError,
    failed: u32,
    uid: &str,
    life_left: SignedDuration,
) -> SignedDuration {
    let purpose = format!("backoff/{failed}");
    match error {
        MintError::Throttled {
            retry_after: Some(given),
            ..
        } => (*given).max(SHORTEST),
        MintError::Throttled {
            retry_after: None, ..
        }
        | MintError::Unavailable { .. } => {
            let cap = if life_left.is_positive() {
                UNAVAILABLE_CAP.min(life_left / 4)
            } else {
                UNAVAILABLE_CAP
            };
            uniform(uid, &purpose, doubled(SHORTEST, failed).min(cap)).max(SHORTEST)
        }
        MintError::Rejected { .. } => {
            let ceiling = doubled(REJECTED_FIRST, failed.saturating_sub(1)).min(REJECTED_CAP);
            ceiling / 2 + uniform(uid, &purpose, ceiling / 2)
        }
    }
}

fn doubled(base: SignedDuration, times: u32) -> SignedDuration {
    base * (1 << times.min(16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unavailable() -> MintError {
        MintError::Unavailable {
            message: String::new(),
        }
    }

    proptest! {
        #[test]
        fn unavailable_is_bounded(failed in 0u32..200, uid in "[a-f0-9]{8}", left in -100i64..10_000) {
            let wait = delay(&unavailable(), failed, &uid, SignedDuration::from_secs(left));
            prop_assert!(wait >= SHORTEST);
            prop_assert!(wait <= UNAVAILABLE_CAP);
            if left > 4 {
                prop_assert!(wait <= SignedDuration::from_secs(left) / 4);
            }
        }

        #[test]
        fn rejected_waits_for_minutes(failed in 1u32..200, uid in "[a-f0-9]{8}") {
            let error = MintError::Rejected { credential: true, message: String::new() };
            let wait = delay(&error, failed, &uid, SignedDuration::ZERO);
            prop_assert!(wait >= SignedDuration::from_secs(30) && wait <= REJECTED_CAP);
        }
    }

    #[test]
    fn a_fleet_does_not_retry_in_step() {
        let waits: std::collections::HashSet<_> = (0..100)
            .map(|n| {
                delay(
                    &unavailable(),
                    6,
                    &format!("uid-{n}"),
                    SignedDuration::from_secs(4000),
                )
                .as_millis()
            })
            .collect();
        assert!(waits.len() > 90, "{} different delays of 100", waits.len());
    }
}
