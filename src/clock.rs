//! The wall clock. Everything else takes the time as an argument.

use jiff::Timestamp;

/// The only reader of the wall clock.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
#[cfg(not(test))]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// In unit tests the clock goes with tokio's, so that it jumps where their time is paused.
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Timestamp {
    static START: std::sync::LazyLock<(Timestamp, std::time::Instant)> =
        std::sync::LazyLock::new(|| (Timestamp::now(), std::time::Instant::now()));
    let (start, instant) = *START;
    start
        + tokio::time::Instant::now()
            .into_std()
            .saturating_duration_since(instant)
}

/// A timestamp as the Kubernetes API keeps it: without fractions of a second.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
