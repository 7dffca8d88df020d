//! How long a provider asks us to wait.

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

/// The longest wait that is obeyed. It holds for every token of the credential, and a token lives 30 minutes by default
/// and is renewed 10 before its end: a longer wait could let all of them expire, while one request after 10 minutes
/// costs the provider nothing.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// The wait that a reply asks for outright, `now` being our clock: `retry-after-ms`, `Retry-After` in seconds or as a
/// date, or the `retryDelay` of Google's error body.
///
/// Points in time are on the provider's clock, so they are counted from the reply's own `Date`. A form without a usable
/// value (zero, negative, past, not a number) is passed over.
pub(crate) fn retry_after(headers: &HeaderMap, retry_delay: Option<&str>, now: Timestamp) -> Option<SignedDuration> {
    let now = date(headers).unwrap_or(now);
    let text = |name: &str| text(headers, name);

    let millis = || seconds(text("retry-after-ms")?.parse::<f64>().ok()? / 1000.0);
    let delay = || seconds(text(RETRY_AFTER.as_str())?.parse().ok()?);
    let until = || positive(http_date(text(RETRY_AFTER.as_str())?)?.duration_since(now));
    millis()
        .or_else(delay)
        .or_else(until)
        .or_else(|| go_duration(retry_delay?))
        .map(|wait| wait.min(LONGEST))
}

/// The wait that a reply about a limit asks for: as [`retry_after`], else when the limit is reset, which is
/// `X-RateLimit-Reset` in seconds of the epoch, or OpenAI's `x-ratelimit-reset-*` as durations.
pub(crate) fn retry_after_of_limit(
    headers: &HeaderMap,
    retry_delay: Option<&str>,
    now: Timestamp,
) -> Option<SignedDuration> {
    let reset = || {
        let epoch = text(headers, "x-ratelimit-reset")?.parse::<f64>().ok()?;
        let reset = Timestamp::from_duration(SignedDuration::try_from_secs_f64(epoch).ok()?).ok()?;
        positive(reset.duration_since(date(headers).unwrap_or(now)))
    };
    let resets = || {
        ["requests", "tokens"]
            .iter()
            .filter_map(|what| limit_reset(headers, what))
            .max()
    };
    retry_after(headers, retry_delay, now)
        .or_else(reset)
        .or_else(resets)
        .map(|wait| wait.min(LONGEST))
}

/// When one of OpenAI's limits is reset. It states all of them in each reply, so one with something left is not why
/// the request was refused.
fn limit_reset(headers: &HeaderMap, what: &str) -> Option<SignedDuration> {
    let left = text(headers, &format!("x-ratelimit-remaining-{what}")).and_then(|left| left.parse::<f64>().ok());
    if left.is_some_and(|left| left >= 1.0) {
        return None;
    }
    go_duration(text(headers, &format!("x-ratelimit-reset-{what}"))?)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A duration as Go writes it: `6m0s`, `1h2m3.5s`, `120ms`.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end_of_number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, next) = rest.split_at(end_of_number);
        let end_of_unit = next.find(|c: char| c.is_ascii_digit()).unwrap_or(next.len());
        let (unit, next) = next.split_at(end_of_unit);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = next;
    }
    seconds(total)
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
        parse_with(headers, None)
    }

    fn parse_with(headers: &[(&'static str, &'static str)], retry_delay: Option<&str>) -> Option<i128> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        retry_after_of_limit(&headers, retry_delay, now).map(|wait| wait.as_millis())
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
        for value in [
            "0s",
            "0",
            "-1s",
            "3",
            "1795348820000",
            "s",
            "3x",
            "1.2.3s",
            "",
            "soon",
            "NaNs",
        ] {
            assert_eq!(parse(&[("x-ratelimit-reset-requests", value)]), None, "{value}");
            assert_eq!(parse_with(&[], Some(value)), None, "{value}");
        }
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn durations_of_limits() {
        for (headers, millis) in [
            (
                &[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "6m0s"),
                ][..],
                360_000,
            ),
            (&[("x-ratelimit-reset-requests", "1m2.5s")], 62_500),
            (&[("x-ratelimit-reset-tokens", "120ms")], 120),
            (&[("x-ratelimit-reset-requests", "1h2m3s")], 600_000),
            (
                &[
                    ("x-ratelimit-reset-requests", "8.64s"),
                    ("x-ratelimit-remaining-tokens", "149984"),
                    ("x-ratelimit-reset-tokens", "6m0s"),
                ],
                8_640,
            ),
            (
                &[("x-ratelimit-reset-requests", "5s"), ("x-ratelimit-reset-tokens", "9s")],
                9_000,
            ),
            (&[("retry-after", "7"), ("x-ratelimit-reset-requests", "6m0s")], 7_000),
        ] {
            assert_eq!(parse(headers), Some(millis), "{headers:?}");
        }
    }

    #[test]
    fn google_states_the_wait_in_the_body() {
        assert_eq!(parse_with(&[], Some("45.837906927s")), Some(45_837));
        assert_eq!(parse_with(&[], Some("86400s")), Some(600_000), "capped");
        assert_eq!(parse_with(&[("retry-after", "7")], Some("45s")), Some(7_000));
        assert_eq!(parse_with(&[("retry-after", "0")], Some("45s")), Some(45_000));
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

    #[test]
    fn every_unit_of_go() {
        for (text, nanos) in [
            ("1m3.5s", 63_500_000_000),
            ("120ms", 120_000_000),
            ("1500us", 1_500_000),
            ("1500µs", 1_500_000),
            ("2000000ns", 2_000_000),
        ] {
            let seconds = go_duration(text).unwrap();
            assert!((seconds.as_nanos() - nanos).abs() <= 1_000_000, "{text}: {seconds:?}");
        }
        assert_eq!(go_duration("3 fortnights"), None);
    }
}
