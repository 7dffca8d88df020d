//! When the next token is due.

use jiff::{SignedDuration, Timestamp};

use super::hash::uniform;
use crate::api::Renewal;

/// Time kept for retries after the renewal time has come.
const RETRY_BUDGET: SignedDuration = SignedDuration::from_secs(60);
const DEFAULT_PERCENTAGE: i64 = 33;
const MAX_JITTER: SignedDuration = SignedDuration::from_secs(60);

/// When to renew, and whether that keeps the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) renewal_time: Timestamp,
    /// A successor that is stored by then reaches the slowest reader before the floor does.
    pub(crate) swap_by: Timestamp,
    /// From here on the Secret's token has less than minRemainingSeconds of life.
    pub(crate) floor_time: Timestamp,
    /// Set if the life is too short to keep the floor for every reader: what the floor needs.
    pub(crate) shortfall: Option<Shortfall>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortfall {
    pub(crate) life: SignedDuration,
    /// The life that the settings would need: twice the time to renew before the end.
    pub(crate) needed: SignedDuration,
}

/// How the swap of a token that was due went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    /// From the renewal time to the new token in the Secret.
    pub(crate) late: SignedDuration,
    /// Life left in the old token.
    pub(crate) remaining: SignedDuration,
    /// Whether the slowest reader may have seen less than minRemainingSeconds, which the schedule had promised.
    pub(crate) violated: bool,
}

impl Schedule {
    /// The swap of this schedule's token, usable until `usable_until`, for one that was stored at `stored`; `None` if it
    /// was not due yet.
    pub(crate) fn swap(&self, usable_until: Timestamp, stored: Timestamp) -> Option<Swap> {
        let late = stored.duration_since(self.renewal_time);
        (!late.is_negative()).then(|| Swap {
            late,
            remaining: usable_until.duration_since(stored),
            violated: self.shortfall.is_none() && stored > self.swap_by,
        })
    }
}

/// Plans the renewal of a token that was asked for at `issued_at` and is usable until `usable_until`.
///
/// The jitter comes from the uid and only ever moves the renewal to an earlier time, so that tokens created together
/// spread out and none is late.
pub(crate) fn plan(renewal: &Renewal, uid: &str, issued_at: Timestamp, usable_until: Timestamp) -> Schedule {
    let life = usable_until.duration_since(issued_at).max(SignedDuration::ZERO);
    let min_remaining = seconds(renewal.min_remaining_seconds);
    let propagation = seconds(renewal.propagation_seconds);
    let need = min_remaining + propagation + RETRY_BUDGET;
    let asked = match renewal.renew_before_seconds {
        Some(fixed) => seconds(fixed),
        None => percent(life, renewal.renew_before_percentage.unwrap_or(DEFAULT_PERCENTAGE)),
    };
    let renew_before = asked.max(need);
    let half = life / 2;
    let shortfall = (renew_before > half).then(|| Shortfall {
        life,
        needed: renew_before * 2,
    });
    let jitter = uniform(uid, "renewal", percent(life, 5).min(MAX_JITTER));
    Schedule {
        renewal_time: earlier(usable_until, renew_before.min(half) + jitter),
        swap_by: earlier(usable_until, min_remaining + propagation),
        floor_time: earlier(usable_until, min_remaining),
        shortfall,
    }
}

fn seconds(value: i64) -> SignedDuration {
    SignedDuration::from_secs(value.clamp(0, 100 * 365 * 86_400))
}

fn percent(life: SignedDuration, percentage: i64) -> SignedDuration {
    let millis = life.as_millis() * i128::from(percentage.clamp(0, 100)) / 100;
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_334_400 + second).unwrap()
    }

    fn renewal(percentage: Option<i64>, fixed: Option<i64>, min: i64, propagation: i64) -> Renewal {
        Renewal {
            renew_before_percentage: percentage,
            renew_before_seconds: fixed,
            min_remaining_seconds: min,
            propagation_seconds: propagation,
        }
    }

    #[test]
    fn the_examples_of_the_documentation() {
        for (life, latest) in [(600, 330), (1800, 1206)] {
            let schedule = plan(&Renewal::default(), "u", at(0), at(life));
            let after = schedule.renewal_time.duration_since(at(0)).as_secs();
            assert!(
                after <= latest && after >= latest - life / 20 - 1,
                "life {life}: renewed after {after} s"
            );
            assert_eq!(schedule.shortfall, None);
        }
    }

    /// 210 s are what the slowest reader and the floor need.
    #[test]
    fn a_swap_breaks_the_floor_when_the_slowest_reader_sees_it_broken() {
        let settings = Renewal::default();
        let schedule = plan(&settings, "u", at(0), at(1800));
        let swap = |second| schedule.swap(at(1800), at(second));
        assert_eq!(swap(1000), None, "not due");
        let in_time = swap(1800 - 210).unwrap();
        assert_eq!((in_time.remaining.as_secs(), in_time.violated), (210, false));
        assert_eq!(in_time.late, at(1800 - 210).duration_since(schedule.renewal_time));
        assert!(swap(1800 - 209).unwrap().violated);
        let ended = swap(2000).unwrap();
        assert_eq!((ended.remaining.as_secs(), ended.violated), (-200, true));

        let short = plan(&settings, "u", at(0), at(60));
        let swap = short.swap(at(60), at(59)).unwrap();
        assert!(!swap.violated, "the schedule has promised nothing");
    }

    #[test]
    fn tokens_created_together_are_renewed_apart() {
        let renewal_time = |n| plan(&Renewal::default(), &format!("uid-{n}"), at(0), at(1800)).renewal_time;
        let seconds: std::collections::BTreeSet<_> = (0..200).map(|n| renewal_time(n).as_second()).collect();
        let (first, last) = (seconds.first().unwrap(), seconds.last().unwrap());
        assert!(last - first >= 50 && seconds.len() >= 45, "{seconds:?}");
    }

    #[test]
    fn a_life_too_short_renews_at_half_and_says_so() {
        let schedule = plan(&Renewal::default(), "u", at(0), at(60));
        assert!(schedule.renewal_time <= at(30) && schedule.renewal_time >= at(27));
        let shortfall = schedule.shortfall.unwrap();
        assert_eq!((shortfall.life.as_secs(), shortfall.needed.as_secs()), (60, 540));
    }

    #[test]
    fn twice_the_time_to_renew_before_the_end_is_life_enough() {
        let shortfall = |life| plan(&Renewal::default(), "u", at(0), at(life)).shortfall;
        assert_eq!(shortfall(540), None);
        assert!(shortfall(539).is_some());
    }

    #[test]
    fn settings_of_more_than_a_year_count_as_they_are() {
        let day = 86_400;
        let schedule = plan(
            &renewal(None, Some(600 * day), 500 * day, 0),
            "u",
            at(0),
            at(2000 * day),
        );
        assert!(schedule.renewal_time <= at(1400 * day) && schedule.renewal_time >= at(1400 * day - 60));
        assert_eq!(schedule.floor_time, at(1500 * day));
    }

    proptest! {
        #[test]
        fn the_floor_is_kept_or_the_shortfall_is_said(
            life in 1i64..200_000, fixed in proptest::option::of(1i64..86_400), percentage in 1i64..=90,
            min in 0i64..3600, propagation in 0i64..3600, uid in "[a-f0-9]{8}",
        ) {
            let settings = renewal(fixed.is_none().then_some(percentage), fixed, min, propagation);
            let schedule = plan(&settings, &uid, at(0), at(life));
            prop_assert!(schedule.renewal_time > at(0), "renews after it was issued");
            prop_assert!(schedule.renewal_time < at(life), "renews before it ends");
            let half_less_jitter = SignedDuration::from_millis(life * 1000 / 2 - (life * 50).min(60_000) - 1);
            prop_assert!(schedule.renewal_time.duration_since(at(0)) >= half_less_jitter, "never before half the life");
            if schedule.shortfall.is_none() {
                let read_late = schedule.renewal_time + SignedDuration::from_secs(propagation + 60);
                prop_assert!(at(life).duration_since(read_late).as_secs() >= min, "floor broken");
            }
        }

        #[test]
        fn jitter_only_moves_earlier(life in 600i64..100_000, a in "[a-f0-9]{8}") {
            let schedule = plan(&renewal(None, Some(280), 90, 120), &a, at(0), at(life));
            let latest = at(life - 280);
            prop_assert!(schedule.renewal_time <= latest);
            prop_assert!(latest.duration_since(schedule.renewal_time).as_secs() <= 60.min(life / 20));
        }
    }
}
