//! How long a provider asks us to wait.

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

/// The longest wait that is obeyed. It holds for every token of the credential, and a token lives 30 minutes by default
/// and is renewed 10 before its end: a longer wait could let all of them expire, while one request after 10 minutes
/// costs the provider nothing.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// The wait that a reply's headers ask for, `now` being our clock.
///
/// The forms that the providers' SDKs obey, in their order: `retry-after-ms`, `Retry-After` in seconds or as a date,
/// `X-RateLimit-Reset` in seconds of the epoch. Points in time are on the provider's clock, so they are counted from
/// the reply's own `Date`. A form without a usable value (zero, negative, past, not a number) is passed over.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let now = date(headers).unwrap_or(now);
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let from_now = |then: Timestamp| positive(then.duration_since(now));

    let millis = || seconds(text("retry-after-ms")?.parse::<f64>().ok()? / 1000.0);
    let delay = || seconds(text(RETRY_AFTER.as_str())?.parse().ok()?);
    let until = || from_now(http_date(text(RETRY_AFTER.as_str())?)?);
    let reset = || {
        let epoch = text("x-ratelimit-reset")?.parse::<f64>().ok()?;
        from_now(Timestamp::from_duration(SignedDuration::try_from_secs_f64(epoch).ok()?).ok()?)
    };
    millis()
        .or_else(delay)
        .or_else(until)
        .or_else(reset)
        .map(|wait| wait.min(LONGEST))
}

/// The reply's `Date`.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

/// An HTTP date in the one form that may be sent today; it is also an RFC 2822 date. A wrong day of the week is
/// forgiven.
fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(text.trim())
        .ok()
}

fn seconds(seconds: f64) -> Option<SignedDuration> {
    // Clamped before it becomes a duration: what no duration holds is still a wish to be left alone for long.
    let seconds = seconds.is_finite().then(|| seconds.min(LONGEST.as_secs_f64()))?;
    positive(SignedDuration::try_from_secs_f64(seconds).ok()?)
}

fn positive(wait: SignedDuration) -> Option<SignedDuration> {
    wait.is_positive().then_some(wait)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn parse(headers: &[(&'static str, &'static str)]) -> Option<i128> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        retry_after(&headers, now).map(|wait| wait.as_millis())
    }

    #[test]
    fn every_form() {
        for (headers, millis) in [
            (&[("retry-after-ms", "1500")][..], 1_500),
            (&[("retry-after-ms", "1500.5")], 1_500),
            (&[("retry-after", "2")], 2_000),
            (&[("retry-after", " 2.5 ")], 2_500),
            (&[("retry-after", "600")], 600_000),
            (&[("retry-after", "Sun, 22 Nov 2026 12:00:30 GMT")], 30_000),
            (&[("retry-after", "Mon, 22 Nov 2026 12:00:30 GMT")], 30_000), // it was a Sunday
            (&[("x-ratelimit-reset", "1795348820")], 20_000),
        ] {
            assert_eq!(parse(headers), Some(millis), "{headers:?}");
        }
    }

    #[test]
    fn precedence() {
        let all = [
            ("retry-after-ms", "1500"),
            ("retry-after", "5"),
            ("x-ratelimit-reset", "1795348820"),
        ];
        assert_eq!(parse(&all), Some(1_500));
        assert_eq!(parse(&all[1..]), Some(5_000));
        assert_eq!(parse(&all[2..]), Some(20_000));
        assert_eq!(parse(&[("retry-after-ms", "NaN"), ("retry-after", "5")]), Some(5_000));
        assert_eq!(
            parse(&[("retry-after", "0"), ("x-ratelimit-reset", "1795348820")]),
            Some(20_000)
        );
    }

    #[test]
    fn what_says_nothing_is_no_answer() {
        for value in [
            "0", "-1", "-0.0", "NaN", "inf", "-inf", "infinity", "", "soon", "1s", "0x10",
        ] {
            assert_eq!(parse(&[("retry-after", value)]), None, "retry-after: {value}");
            assert_eq!(parse(&[("retry-after-ms", value)]), None, "retry-after-ms: {value}");
            assert_eq!(
                parse(&[("x-ratelimit-reset", value)]),
                None,
                "x-ratelimit-reset: {value}"
            );
        }
        assert_eq!(parse(&[("retry-after", "Sun, 22 Nov 2026 11:59:59 GMT")]), None, "past");
        assert_eq!(parse(&[("retry-after", "Sun, 22 Nov 2026 12:00:00 GMT")]), None, "now");
        assert_eq!(parse(&[("x-ratelimit-reset", "1795348799")]), None, "past");
        assert_eq!(parse(&[("x-ratelimit-reset-requests", "3s")]), None, "no SDK obeys it");
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn capped() {
        for value in ["601", "1e300", "99999999999999999999", "Sun, 22 Nov 2099 12:00:00 GMT"] {
            assert_eq!(parse(&[("retry-after", value)]), Some(600_000), "{value}");
        }
        assert_eq!(parse(&[("x-ratelimit-reset", "1895348820")]), Some(600_000));
    }

    #[test]
    fn dates_count_from_the_replys_own() {
        let ten_minutes_ahead = ("date", "Sun, 22 Nov 2026 12:10:00 GMT");
        let until = ("retry-after", "Sun, 22 Nov 2026 12:10:30 GMT");
        assert_eq!(parse(&[ten_minutes_ahead, until]), Some(30_000));
        assert_eq!(
            parse(&[ten_minutes_ahead, ("x-ratelimit-reset", "1795349405")]),
            Some(5_000)
        );
        assert_eq!(parse(&[ten_minutes_ahead, ("retry-after", "7")]), Some(7_000));
    }
}
