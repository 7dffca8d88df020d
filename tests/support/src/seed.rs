//! Random numbers that a seed repeats.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The seed of this run: `FAULTS_SEED`, else one from the clock.
pub fn of_this_run() -> u64 {
    let named = std::env::var("FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
    let from_clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    named.unwrap_or_else(from_clock)
}

/// A stream of numbers: SplitMix64.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Less than `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_millis().max(1);
        from + Duration::from_millis(self.below(u64::try_from(span).unwrap_or(u64::MAX)))
    }

    /// One of them, of which there is at least one.
    pub fn choose<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let nth = self.below(all.len() as u64);
        &all[usize::try_from(nth).unwrap_or_default()]
    }
}
