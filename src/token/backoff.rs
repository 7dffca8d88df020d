//! How long to wait after a failure: one backoff for mints, another for writes of the Secret. A function of attempts and
//! uid, so that it can be tested.

use jiff::{SignedDuration, Timestamp};

use super::hash::uniform;
use super::{MintError, MintInputs};
use crate::api::Reason;

/// No two attempts are closer.
pub(crate) const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
const UNAVAILABLE_CAP: SignedDuration = SignedDuration::from_secs(60);
const LOOK_CAP: SignedDuration = SignedDuration::from_secs(32);
const REJECTED_FIRST: SignedDuration = SignedDuration::from_secs(60);
const REJECTED_CAP: SignedDuration = SignedDuration::from_secs(600);
/// For a write that only a deletion helps.
const HOPELESS: SignedDuration = SignedDuration::from_secs(300);
/// No backoff is longer, a provider's own limit included. A time further away was written by a clock that has been set
/// back since.
const LONGEST: SignedDuration = SignedDuration::from_secs(600);

/// Attempts at one thing that failed since it last succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failures<I> {
    pub(crate) failed: u32,
    /// When the last one failed.
    pub(crate) last: Timestamp,
    /// Not before this time, unless the inputs change.
    pub(crate) next: Timestamp,
    /// What was tried, to notice a change; `None` if known from the status only, after a restart.
    pub(crate) inputs: Option<I>,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

pub(crate) type MintFailures = Failures<MintInputs>;

pub(crate) type WriteFailures = Failures<WriteInputs>;

/// What a write of the Secret is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteInputs {
    /// What the token in it is minted from.
    pub(crate) mint: MintInputs,
    /// Hash of the labels, annotations and owner that it should have.
    pub(crate) metadata_hash: String,
    /// The uid of the Secret that is written; `None` if it is created. A write of another Secret
    /// needn't wait: the one that refused it is gone.
    pub(crate) secret: Option<String>,
}

impl<I: PartialEq> Failures<I> {
    /// When something may be tried from these inputs. Other inputs than those that failed needn't wait out the backoff,
    /// but are tried so far apart, however often they change.
    pub(crate) fn earliest(&self, inputs: &I, apart: SignedDuration, now: Timestamp) -> Timestamp {
        let next = self.believable_next(now);
        match &self.inputs {
            Some(failed) if failed != inputs => next.min(self.last.min(now) + apart),
            _ => next,
        }
    }

    /// When the next try is due. Further away than the longest backoff it says nothing: the clock was set back.
    pub(crate) fn believable_next(&self, now: Timestamp) -> Timestamp {
        if self.next > now + LONGEST { now } else { self.next }
    }
}

/// The delay before mint `failed + 1`.
///
/// Unavailable, or a failure of the operator's own: exponential from a second with full jitter, at most a minute and at
/// most a quarter of the [`slack`]. Rejected, or no credential: minutes, since only a change helps; one of the spec or of
/// a key Secret is noticed at once. Quota exhausted: the limit of the credential ([`MintError::limit`]) sets the pace. The
/// provider's own delay is obeyed.
pub(crate) fn mint_delay(error: &MintError, failed: u32, uid: &str, slack: SignedDuration) -> SignedDuration {
    match error {
        MintError::Throttled {
            retry_after: Some(given),
            ..
        } => (*given).max(SHORTEST),
        // All tokens of a provider that is out of order get the same delay, so the jitter comes on top.
        MintError::Unavailable {
            retry_after: Some(given),
            ..
        } => (*given + uniform(uid, &format!("backoff/{failed}"), *given / 10)).clamp(SHORTEST, LONGEST),
        MintError::Throttled { retry_after: None, .. }
        | MintError::Internal { .. }
        | MintError::Unavailable { retry_after: None, .. } => jittered("backoff", failed, uid, slack),
        MintError::QuotaExhausted { .. } => error.limit().unwrap_or(REJECTED_FIRST),
        MintError::Rejected { .. } | MintError::NoCredential { .. } => {
            let ceiling = doubled(REJECTED_FIRST, failed.saturating_sub(1)).min(REJECTED_CAP);
            ceiling / 2 + uniform(uid, &format!("backoff/{failed}"), ceiling / 2)
        }
    }
}

/// The delay before write `failed + 1` of the Secret: as for a provider that is unavailable. The API server says nothing
/// of when a policy, a quota or a webhook will let the write pass. An immutable Secret must be deleted, which is noticed
/// at once, and a namespace that is being deleted takes nothing any more.
pub(crate) fn write_delay(reason: Reason, failed: u32, uid: &str, slack: SignedDuration) -> SignedDuration {
    match reason {
        Reason::SecretImmutable | Reason::NamespaceTerminating => HOPELESS,
        _ => jittered("write", failed, uid, slack),
    }
}

fn jittered(purpose: &str, failed: u32, uid: &str, slack: SignedDuration) -> SignedDuration {
    let ceiling = doubled(SHORTEST, failed).min(longest(slack));
    uniform(uid, &format!("{purpose}/{failed}"), ceiling).max(SHORTEST)
}

/// The longest wait for what is unavailable: a quarter of the [`slack`], so that there is always time for another try.
pub(crate) fn longest(slack: SignedDuration) -> SignedDuration {
    if slack.is_positive() {
        UNAVAILABLE_CAP.min(slack / 4).max(SHORTEST)
    } else {
        UNAVAILABLE_CAP
    }
}

/// The delay before a RealtimeToken is looked at again that could not be looked at, or whose status could not be written.
/// It is looked at `within` this time in any case.
pub(crate) fn look_delay(failed: u32, id: &str, within: Option<SignedDuration>) -> SignedDuration {
    let ceiling = doubled(SHORTEST, failed.saturating_sub(1)).min(LOOK_CAP);
    let ceiling = within.map_or(ceiling, |within| within.min(ceiling));
    (ceiling / 2 + uniform(id, &format!("look/{failed}"), ceiling / 2)).max(SHORTEST)
}

/// The time that is left to make good: until `swap_by`, when the floor can no longer be kept for every reader; after
/// that, until the token ends. Zero if there is nothing to lose.
pub(crate) fn slack(swap_by: Option<Timestamp>, usable_until: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let left = |end: Timestamp| Some(end.duration_since(now)).filter(SignedDuration::is_positive);
    let left = swap_by.and_then(left).or(usable_until.and_then(left));
    left.unwrap_or(SignedDuration::ZERO)
}

fn doubled(base: SignedDuration, times: u32) -> SignedDuration {
    base * (1 << times.min(16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unavailable() -> MintError {
        MintError::unavailable("")
    }

    proptest! {
        #[test]
        fn unavailable_is_bounded(failed in 0u32..200, uid in "[a-f0-9]{8}", left in -100i64..10_000) {
            let wait = mint_delay(&unavailable(), failed, &uid, SignedDuration::from_secs(left));
            prop_assert!(wait >= SHORTEST);
            prop_assert!(wait <= UNAVAILABLE_CAP);
            if left > 4 {
                prop_assert!(wait <= SignedDuration::from_secs(left) / 4);
            }
        }

        #[test]
        fn rejected_waits_for_minutes(failed in 1u32..200, uid in "[a-f0-9]{8}") {
            let error = MintError::Rejected { credential: true, message: String::new() };
            let wait = mint_delay(&error, failed, &uid, SignedDuration::ZERO);
            prop_assert!(wait >= SignedDuration::from_secs(30) && wait <= REJECTED_CAP);
        }
    }

    #[test]
    fn a_wait_that_an_unavailable_provider_states_is_obeyed() {
        let wait = |given| {
            let error = MintError::Unavailable {
                retry_after: Some(SignedDuration::from_secs(given)),
                message: String::new(),
            };
            mint_delay(&error, 1, "uid", SignedDuration::from_secs(60)).as_secs()
        };
        assert!((120..=132).contains(&wait(120)), "{}", wait(120));
        assert_eq!(wait(600), 600);
    }

    /// A key that changes each second would otherwise mint each second.
    #[test]
    fn other_inputs_are_tried_before_the_backoff_ends_but_apart() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let failures = Failures {
            failed: 3,
            last: at(100),
            next: at(160),
            inputs: Some("tried"),
            reason: Reason::MintFailed,
            message: String::new(),
        };
        let earliest = |inputs, now| failures.earliest(&inputs, SignedDuration::from_secs(10), at(now));
        assert_eq!(earliest("tried", 101), at(160));
        assert_eq!(earliest("other", 101), at(110));
        assert_eq!(earliest("other", 50), at(60), "the clock was set back");
    }

    #[test]
    fn a_write_that_only_a_deletion_helps_is_tried_again_after_five_minutes() {
        let wait = |reason, failed| write_delay(reason, failed, "uid", SignedDuration::ZERO);
        for reason in [Reason::SecretImmutable, Reason::NamespaceTerminating] {
            assert_eq!(
                [wait(reason, 1), wait(reason, 50)],
                [SignedDuration::from_secs(300); 2],
                "{reason:?}"
            );
        }
        assert!(wait(Reason::SecretWriteFailed, 50) <= UNAVAILABLE_CAP);
    }

    /// The sixty seconds that the schedule keeps for retries: an outage shorter than that breaks no promise, whichever
    /// way the dice fall.
    #[test]
    fn an_outage_within_the_retry_budget_keeps_the_floor() {
        use crate::api::Renewal;
        use crate::token::schedule::plan;
        let at = |second| Timestamp::from_second(second).unwrap();
        for n in 0..200 {
            let uid = format!("uid-{n}");
            let plan = plan(&Renewal::default(), &uid, at(0), at(600));
            let back = plan.renewal_time + SignedDuration::from_secs(40);
            let (mut now, mut failed) = (plan.renewal_time, 0);
            while now < back {
                failed += 1;
                let slack = slack(Some(plan.swap_by), Some(at(600)), now);
                now += mint_delay(&unavailable(), failed, &uid, slack);
            }
            assert!(now <= plan.swap_by, "{uid}: minted at {now}, {failed} attempts");
            assert!(failed < 20, "{uid}: {failed} attempts in 40 s");
        }
    }

    #[test]
    fn a_look_that_failed_is_put_off_for_longer_each_time_but_not_beyond_what_is_due() {
        let delay = |failed, within| look_delay(failed, "shop/voice", within);
        for (failed, most) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 32), (100, 32)] {
            let (wait, most) = (delay(failed, None), SignedDuration::from_secs(most));
            assert!(
                wait >= (most / 2).max(SHORTEST) && wait <= most,
                "{failed} failures: {wait}"
            );
            let due = SignedDuration::from_secs(5);
            assert!(delay(failed, Some(due)) <= due, "{failed} failures");
        }
        assert_eq!(delay(100, Some(SignedDuration::ZERO)), SHORTEST);
    }

    #[test]
    fn once_the_floor_is_lost_the_end_of_the_token_counts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let left = |now| slack(Some(at(390)), Some(at(600)), at(now)).as_secs();
        assert_eq!([left(330), left(390), left(599), left(600)], [60, 210, 1, 0]);
        assert_eq!(slack(None, None, at(0)), SignedDuration::ZERO);
    }

    #[test]
    fn a_fleet_does_not_retry_in_step() {
        let waits: std::collections::HashSet<_> = (0..100)
            .map(|n| mint_delay(&unavailable(), 6, &format!("uid-{n}"), SignedDuration::from_secs(4000)).as_millis())
            .collect();
        assert!(waits.len() > 90, "{} different delays of 100", waits.len());
    }
}
