//! Two clocks: ours and the provider's.
//!
//! Schedules run on our clock, consumers compare `expiresAt` with theirs, and the provider enforces its own. A node
//! whose clock is minutes off must neither renew too late nor publish an end that the provider doesn't keep.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Expiry, UnusableReply};
use crate::api::Lifetime;

/// `Date` counts whole seconds and is set somewhere between our sending and the arrival: less than this is no skew.
const NO_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// A `Date` that is further off than this is not the clock that tokens expire by.
const NO_CLOCK: SignedDuration = SignedDuration::from_hours(24);
/// How much longer than asked for a token may live.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
/// No ephemeral token lives longer: beyond it, milliseconds were read as seconds or worse.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// When a request was sent, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    sent: Timestamp,
    elapsed: SignedDuration,
    /// How far the provider's clock is ahead of ours.
    skew: SignedDuration,
}

/// The end of a token's life on both clocks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) ours: Timestamp,
    pub(crate) theirs: Timestamp,
}

impl Clocks {
    /// The clocks of a request sent at `sent`, whose reply's headers arrived after `elapsed` with this `Date`.
    pub(crate) fn new(sent: Timestamp, elapsed: Duration, date: Option<Timestamp>) -> Self {
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::ZERO);
        // The least skew that explains the date: a reply that was held up on the way is not a slow clock.
        let skew = date.map_or(SignedDuration::ZERO, |date| {
            let since_sent = date.duration_since(sent);
            let since_arrival = since_sent.saturating_sub(elapsed);
            if since_arrival.is_positive() {
                since_arrival
            } else {
                since_sent.min(SignedDuration::ZERO)
            }
        });
        let meaningful = skew.abs() > NO_SKEW && skew.abs() <= NO_CLOCK;
        Self {
            sent,
            elapsed,
            skew: if meaningful { skew } else { SignedDuration::ZERO },
        }
    }

    /// When the headers arrived, by our clock.
    pub(crate) fn arrival(&self) -> Timestamp {
        self.sent.checked_add(self.elapsed).unwrap_or(self.sent)
    }

    /// The end of a token's life, if it can be believed.
    pub(crate) fn end(&self, expiry: Expiry, lifetime: Lifetime, asked: SignedDuration) -> Result<End, UnusableReply> {
        let until = |theirs: Timestamp| theirs.duration_since(self.sent).saturating_sub(self.skew);
        // From sending to the end, on one clock.
        let lives = match expiry {
            Expiry::At(theirs) => until(theirs),
            Expiry::After(lives) => lives,
            Expiry::Earlier(theirs, lives) => lives.min(until(theirs)),
        };
        let longest = match lifetime {
            Lifetime::Chosen(_) | Lifetime::Offered(_) if !asked.is_zero() => {
                asked.saturating_add(TOLERANCE).min(LONGEST)
            }
            _ => LONGEST,
        };
        if lives <= self.elapsed {
            return Err(UnusableReply(
                "the token's expiry is already past; check this machine's clock".into(),
            ));
        }
        if lives > longest {
            // Not how far: a number out of the reply is not for a status.
            let longest = longest.as_secs();
            return Err(UnusableReply(format!(
                "the token's expiry is further away than the {longest} s that make sense"
            )));
        }
        let beyond = |_| UnusableReply("the token's expiry is beyond the calendar".into());
        let ours = self.sent.checked_add(lives).map_err(beyond)?;
        let theirs = match expiry {
            Expiry::At(theirs) => theirs,
            Expiry::After(_) | Expiry::Earlier(..) => ours.checked_add(self.skew).map_err(beyond)?,
        };
        Ok(End { ours, theirs })
    }
}

/// Whole seconds of the epoch, as a number with or without a fraction of zero. Text is refused: it is not what the
/// documentation says, so what it means is unknown.
pub(crate) fn epoch_seconds(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| {
        let float = value
            .as_f64()
            .filter(|float| float.fract() == 0.0 && float.abs() < 1e12)?;
        #[allow(clippy::cast_possible_truncation, reason = "whole and small")]
        Some(float as i64)
    })?;
    Timestamp::from_second(seconds).ok()
}

/// As [`epoch_seconds`], or milliseconds: what would be the year 33658 in seconds is one of the next in milliseconds.
pub(crate) fn epoch_seconds_or_millis(value: &Value) -> Option<Timestamp> {
    let millis = value.as_i64().filter(|number| *number > 1_000_000_000_000);
    match millis {
        Some(millis) => Timestamp::from_millisecond(millis).ok(),
        None => epoch_seconds(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Limits;

    const CHOSEN: Lifetime = Lifetime::Chosen(Limits::new("tokens", 10, 7200));

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn sent() -> Timestamp {
        at("2026-11-22T12:00:00Z")
    }

    fn secs(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    /// The clocks of a provider that is `ahead` seconds ahead and takes `took` seconds.
    fn clocks(ahead: i64, took: u64) -> Clocks {
        let date = sent() + secs(ahead) + Duration::from_secs(took);
        Clocks::new(sent(), Duration::from_secs(took), Some(date))
    }

    #[test]
    fn clocks_that_agree() {
        for ahead in -2..=2 {
            let theirs = sent() + secs(1800);
            let end = clocks(ahead, 1).end(Expiry::At(theirs), CHOSEN, secs(1800)).unwrap();
            assert_eq!(end, End { ours: theirs, theirs }, "{ahead} s ahead");
        }
        let end = Clocks::new(sent(), Duration::ZERO, None).end(Expiry::After(secs(900)), Lifetime::Stated, secs(0));
        assert_eq!(
            end,
            Ok(End {
                ours: sent() + secs(900),
                theirs: sent() + secs(900)
            })
        );
    }

    #[test]
    fn a_reply_that_was_held_up_shows_no_skew() {
        let theirs = sent() + secs(1800);
        for date in [sent(), sent() + secs(8), sent() + secs(15)] {
            let clocks = Clocks::new(sent(), Duration::from_secs(15), Some(date));
            let end = clocks.end(Expiry::At(theirs), CHOSEN, secs(1800)).unwrap();
            assert_eq!(end, End { ours: theirs, theirs }, "{date}");
        }
    }

    #[test]
    fn a_point_in_time_is_the_providers() {
        for (ahead, took) in [(600, 7), (-600, 0), (3, 7), (-3, 0), (86_400, 7), (-86_400, 0)] {
            let theirs = sent() + secs(ahead + 1800);
            let end = clocks(ahead, took).end(Expiry::At(theirs), CHOSEN, secs(1800)).unwrap();
            assert_eq!(
                end,
                End {
                    ours: sent() + secs(1800),
                    theirs
                },
                "{ahead} s ahead"
            );
        }
    }

    #[test]
    fn a_duration_counts_from_our_sending() {
        for (ahead, took) in [(600, 7), (-600, 0)] {
            let end = clocks(ahead, took)
                .end(Expiry::After(secs(900)), Lifetime::Fixed(900), secs(900))
                .unwrap();
            assert_eq!(
                end,
                End {
                    ours: sent() + secs(900),
                    theirs: sent() + secs(900 + ahead)
                },
                "{ahead} s ahead"
            );
        }
    }

    #[test]
    fn a_date_that_is_a_day_off_is_no_clock() {
        for ahead in [86_401, -86_401] {
            let end = clocks(ahead, 0)
                .end(Expiry::After(secs(900)), Lifetime::Stated, secs(0))
                .unwrap();
            assert_eq!(end.ours, end.theirs);
        }
    }

    #[test]
    fn the_past_is_refused_by_the_providers_clock() {
        let refused = |clocks: Clocks, theirs| clocks.end(Expiry::At(theirs), CHOSEN, secs(1800)).unwrap_err();
        assert!(refused(clocks(0, 0), sent()).0.contains("past"));
        assert!(
            refused(clocks(0, 5), sent() + secs(5)).0.contains("past"),
            "ran out on the way"
        );
        assert!(
            refused(clocks(600, 0), sent() + secs(599)).0.contains("past"),
            "in our future, in their past"
        );
        let early = clocks(-600, 0)
            .end(Expiry::At(sent() - secs(300)), CHOSEN, secs(1800))
            .unwrap();
        assert_eq!(early.ours, sent() + secs(300), "in our past, in their future");
    }

    #[test]
    fn the_absurd_is_refused() {
        let end = |lives, life| clocks(0, 0).end(Expiry::At(sent() + secs(lives)), life, secs(1800));
        assert!(end(2400, CHOSEN).is_ok());
        assert!(end(2401, CHOSEN).unwrap_err().0.contains("the 2400 s that make sense"));
        assert!(end(30 * 86_400, Lifetime::Stated).is_ok());
        assert!(end(30 * 86_400 + 1, Lifetime::Stated).is_err());
        let after = clocks(0, 0).end(Expiry::After(SignedDuration::MAX), Lifetime::Stated, secs(0));
        assert!(after.is_err());
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        let theirs = Some(at("2026-11-22T08:30:00Z"));
        for value in [json!(1_795_336_200), json!(1_795_336_200_000_i64)] {
            assert_eq!(epoch_seconds_or_millis(&value), theirs);
        }
        let fraction = Some(at("2026-11-22T08:30:00.25Z"));
        assert_eq!(epoch_seconds_or_millis(&json!(1_795_336_200_250_i64)), fraction);
        for value in [json!("1795336200000"), json!(i64::MAX), json!(null)] {
            assert_eq!(epoch_seconds_or_millis(&value), None, "{value}");
        }
    }

    #[test]
    fn epoch_seconds_are_whole_numbers_of_the_calendar() {
        let theirs = Some(at("2026-11-22T08:30:00Z"));
        assert_eq!(epoch_seconds(&json!(1_795_336_200)), theirs);
        assert_eq!(epoch_seconds(&json!(1_795_336_200.0)), theirs);
        for value in [
            json!("1795336200"),
            json!(1_795_336_200.5),
            json!(1_795_336_200_000_i64),
            json!(1e300),
            json!(null),
            json!(true),
        ] {
            assert_eq!(epoch_seconds(&value), None, "{value}");
        }
    }

    #[test]
    fn more_than_a_trillion_are_milliseconds() {
        let read = |number: i64| epoch_seconds_or_millis(&number.into());
        assert_eq!(read(1_000_000_000_000), None);
        assert_eq!(
            read(1_000_000_000_001),
            Timestamp::from_millisecond(1_000_000_000_001).ok()
        );
    }
}
