//! How often tokens of one RealtimeToken are handed out, in all and for one subject. Pure: time is an argument.
//!
//! Each replica counts by itself. A request that is admitted and fails later has used its place.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use lru::LruCache;

use crate::api::RateLimit;

/// Subjects remembered for one RealtimeToken. With the default limit a bucket is full again after 30 s, so what is
/// forgotten beyond this number matters only at more than 300 subjects a second.
const MOST_SUBJECTS: usize = 10_000;

/// The limits of one RealtimeToken.
#[derive(Debug)]
pub(super) struct Limits {
    all: Bucket,
    /// By a hash, so that no subject stays in memory.
    subjects: LruCache<[u8; 16], Bucket>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    All,
    Subject,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: Bucket::default(),
            subjects: LruCache::unbounded(), // a bound would take its memory from the start
        }
    }
}

impl Limits {
    /// Admits a request, or says which limit is reached and until when. A subject over its own limit takes nothing of
    /// what all share.
    pub(super) fn admit(
        &mut self,
        all: RateLimit,
        subject: Option<(&str, RateLimit)>,
        now: Timestamp,
    ) -> Result<(), (Reached, Timestamp)> {
        self.all.free_at(all, now).map_err(|until| (Reached::All, until))?;
        if let Some((subject, limit)) = subject {
            let bucket = self.subjects.get_or_insert_mut(key(subject), Bucket::default);
            bucket.take(limit, now).map_err(|until| (Reached::Subject, until))?;
            if self.subjects.len() > MOST_SUBJECTS {
                self.subjects.pop_lru();
            }
        }
        self.all.take(all, now).map_err(|until| (Reached::All, until))
    }

    /// Forgets subjects whose limit is whole again, those first that asked longest ago. Returns whether there is nothing left
    /// to remember.
    pub(super) fn sweep(&mut self, now: Timestamp) -> bool {
        while let Some((_, bucket)) = self.subjects.peek_lru()
            && bucket.is_full(now)
        {
            self.subjects.pop_lru();
        }
        self.subjects.is_empty() && self.all.is_full(now)
    }
}

fn key(subject: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&digest(&SHA256, subject.as_bytes()).as_ref()[..16]);
    key
}

/// A token bucket that refills evenly.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    /// When the bucket is full again if nothing is taken: the whole state, so there is nothing to tick. `None`: it is
    /// full.
    full_at: Option<Timestamp>,
}

impl Bucket {
    /// Takes one, or says when there will be one.
    pub(super) fn take(&mut self, limit: RateLimit, now: Timestamp) -> Result<(), Timestamp> {
        self.free_at(limit, now)?;
        self.full_at = Some(self.filled(limit, now) + interval(limit));
        Ok(())
    }

    fn is_full(&self, now: Timestamp) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    /// Puts back one that was taken.
    pub(super) fn give_back(&mut self, limit: RateLimit) {
        self.full_at = self.full_at.map(|at| at - interval(limit));
    }

    /// Whether there is one to take, or when there will be.
    pub(super) fn free_at(&mut self, limit: RateLimit, now: Timestamp) -> Result<(), Timestamp> {
        let free_at = self.filled(limit, now) - interval(limit) * (burst(limit) - 1);
        if free_at <= now { Ok(()) } else { Err(free_at) }
    }

    /// When the bucket is full. Further away than filling it takes, the clock was set back or the limit raised since:
    /// that is forgotten.
    fn filled(&mut self, limit: RateLimit, now: Timestamp) -> Timestamp {
        let full_at = self.full_at.unwrap_or(now).max(now);
        let full_at = full_at.min(now + interval(limit) * burst(limit));
        self.full_at = Some(full_at);
        full_at
    }
}

/// The CRD's schema bounds both numbers.
fn burst(limit: RateLimit) -> i32 {
    i32::try_from(limit.burst.clamp(1, 1000)).unwrap_or(1)
}

fn interval(limit: RateLimit) -> SignedDuration {
    SignedDuration::from_micros(60_000_000 / limit.requests_per_minute.clamp(1, 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::fixtures::at;

    const MANY: RateLimit = limit(60_000, 1000);

    const fn limit(requests_per_minute: i64, burst: i64) -> RateLimit {
        RateLimit {
            requests_per_minute,
            burst,
        }
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut limits = Limits::default();
        let rate = limit(6, 3);
        let mut ask = |now| limits.admit(MANY, Some(("u", rate)), at(now));
        for _ in 0..3 {
            assert_eq!(ask(0), Ok(()));
        }
        assert_eq!(ask(0), Err((Reached::Subject, at(10))));
        assert_eq!(ask(9), Err((Reached::Subject, at(10))));
        assert_eq!([ask(10), ask(10)], [Ok(()), Err((Reached::Subject, at(20)))]);
        let admitted = (11..=1210).filter(|now| ask(*now).is_ok()).count();
        assert_eq!(admitted, 120, "six a minute for 20 minutes");
    }

    #[test]
    fn a_subject_over_its_limit_takes_nothing_from_the_others() {
        let mut limits = Limits::default();
        let (all, own) = (limit(1, 5), limit(1, 1));
        for _ in 0..100 {
            let _ = limits.admit(all, Some(("greedy", own)), at(0));
        }
        for other in ["a", "b", "c", "d"] {
            assert_eq!(limits.admit(all, Some((other, own)), at(0)), Ok(()), "{other}");
        }
        assert_eq!(limits.admit(all, Some(("e", own)), at(0)), Err((Reached::All, at(60))));
        // Refused by the limit of all, it has not used its own.
        assert_eq!(limits.admit(all, Some(("e", own)), at(60)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let mut bucket = Bucket::default();
        let rate = limit(6, 3);
        assert_eq!(bucket.take(rate, at(100_000)), Ok(()));
        assert_eq!(bucket.take(rate, at(0)), Err(at(10)));
        assert_eq!(bucket.take(rate, at(10)), Ok(()));
    }

    #[test]
    fn a_raised_limit_holds_soon() {
        let mut bucket = Bucket::default();
        while bucket.take(limit(1, 2), at(0)).is_ok() {}
        assert_eq!(bucket.take(limit(60, 2), at(1)), Err(at(2)));
        assert_eq!(bucket.take(limit(60, 2), at(2)), Ok(()));
    }

    #[test]
    fn a_subject_is_forgotten_once_its_limit_is_whole_again() {
        let mut limits = Limits::default();
        let own = limit(6, 3);
        for (subject, second) in [("a", 0), ("b", 1), ("b", 1), ("c", 5)] {
            assert_eq!(limits.admit(MANY, Some((subject, own)), at(second)), Ok(()));
        }
        assert!(!limits.sweep(at(9)));
        assert_eq!(limits.subjects.len(), 3);
        assert!(!limits.sweep(at(15)));
        assert_eq!(limits.subjects.len(), 2, "a is forgotten, b has asked twice");
        assert!(limits.sweep(at(21)));
        assert_eq!(limits.subjects.len(), 0);
        assert_eq!(limits.admit(limit(1, 1), None, at(30)), Ok(()));
        assert_eq!([limits.sweep(at(89)), limits.sweep(at(90))], [false, true]);
    }

    #[test]
    fn subjects_are_bounded_and_the_least_recently_used_go() {
        let mut limits = Limits::default();
        let own = limit(1, 1);
        assert_eq!(limits.admit(MANY, Some(("first", own)), at(0)), Ok(()));
        for n in 0..MOST_SUBJECTS {
            let (subject, now) = (format!("u{n}"), at(i64::try_from(n / 900).unwrap()));
            assert_eq!(limits.admit(MANY, Some((&subject, own)), now), Ok(()));
        }
        assert_eq!(limits.subjects.len(), MOST_SUBJECTS);
        assert_eq!(limits.admit(MANY, Some(("first", own)), at(20)), Ok(()), "forgotten");
        assert!(limits.admit(MANY, Some(("u9999", own)), at(20)).is_err());
    }
}
