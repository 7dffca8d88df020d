//! The wall clock. Everything else takes the time as an argument.

use jiff::Timestamp;

/// The only reader of the wall clock.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A timestamp as the Kubernetes API keeps it: without fractions of a second.
#[must_use]
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
