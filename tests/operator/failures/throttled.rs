//! A provider that limits a credential: all of its tokens wait, and no others.

use futures::FutureExt;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use testkit::standin::{Fault, Scope};

use crate::expect::{AT_ONCE, all, message, next_attempt, seconds};
use crate::world::world;

/// What the reply says of how long to wait.
enum Says {
    Seconds(u32),
    Millis(u32),
    /// A date this many seconds from now.
    Date(i64),
    Nothing,
}

impl Says {
    /// The date, if it is to be one.
    fn date(&self) -> Option<Timestamp> {
        let Self::Date(ahead) = self else { return None };
        let date = Timestamp::now() + SignedDuration::from_secs(*ahead);
        Some(Timestamp::from_second(date.as_second()).unwrap())
    }

    fn fault(&self, date: Option<Timestamp>) -> Fault {
        let http_date = |date| DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
        let header = match self {
            Self::Seconds(seconds) => Some(("retry-after", seconds.to_string())),
            Self::Millis(millis) => Some(("retry-after-ms", millis.to_string())),
            Self::Date(_) => date.map(|date| ("retry-after", http_date(date))),
            Self::Nothing => None,
        };
        let headers = header.map(|(name, value)| (name.to_owned(), value));
        Fault::Status {
            code: 429,
            headers: headers.into_iter().collect(),
            body: None,
        }
    }

    /// The wait, counted from the reply.
    fn wait(&self, date: Option<Timestamp>, limited_at: Timestamp) -> SignedDuration {
        match *self {
            Self::Seconds(wait) => seconds(f64::from(wait)),
            Self::Millis(millis) => seconds(f64::from(millis) / 1e3),
            Self::Date(_) => date.unwrap().duration_since(limited_at),
            Self::Nothing => seconds(10.0),
        }
    }
}

async fn the_credential_waits(says: Says) {
    let case = world().await.case("limited").await;
    let bystander = world().await.case("bystander").await;
    let date = says.date();
    case.world
        .standin
        .fail_next_for(Scope::Key(case.key.clone()), 1, says.fault(date));
    case.create("one", case.spec("one")).await;
    let limited_at = case.calls_of_reach("one", 1).await[0].time;
    // The other tokens of this key wait too, those of another key don't.
    case.create("two", case.spec("two")).await;
    let created = Timestamp::now();
    bystander.create("free", bystander.spec("free")).await;
    let (status, waiting) = tokio::join!(
        case.not_issued("one", "RateLimited"),
        case.not_issued("two", "RateLimited"),
    );
    let wait = says.wait(date, limited_at);
    let until = next_attempt(&status);
    // Times in a status are cut to seconds.
    assert!(
        until.duration_since(limited_at) > wait - seconds(1.0),
        "{until} after {limited_at}"
    );
    assert!(
        until.duration_since(limited_at) < wait + AT_ONCE,
        "{until} after {limited_at}"
    );
    assert_eq!(status.failed_mint_attempts, Some(1));
    let text = message(&status, "Ready");
    assert!(
        text.contains("answered 429") && text.contains("mints with it wait"),
        "{text}"
    );
    assert!(text.contains(&until.to_string()), "says until when: {text}");

    assert!(message(&waiting, "Ready").contains("limited until"), "{waiting:?}");
    assert_eq!(waiting.failed_mint_attempts, None, "it waits and did not fail");
    assert_eq!(waiting.last_failure_time, None, "it waits and did not fail");
    assert!(next_attempt(&waiting) >= until - seconds(1.0), "{waiting:?}");
    assert!(case.calls_of("two").is_empty() || Timestamp::now() >= limited_at + wait);
    let free = bystander.calls_of_reach("free", 1).await[0].time;
    let late = free.duration_since(created);
    assert!(late < AT_ONCE, "the bystander's call came after {late:?}");
    bystander.recovered("free", 1).await;

    case.recovered("one", 1).await;
    case.recovered("two", 1).await;
    let calls = case.calls();
    assert_eq!(calls.len(), 3, "one that was limited, and one for each token");
    for call in &calls[1..] {
        let after = call.time.duration_since(limited_at);
        assert!(
            after >= wait,
            "asked again {after:?} after a 429 with a wait of {wait:?}"
        );
        assert!(after <= wait + AT_ONCE, "asked again only {after:?} after the 429");
    }
    case.assert_strict();
    bystander.assert_strict();
}

#[tokio::test]
async fn a_limited_credential_waits_as_long_as_it_is_told_and_nobody_else_does() {
    all(vec![
        ("seconds", the_credential_waits(Says::Seconds(15)).boxed_local()),
        ("millis", the_credential_waits(Says::Millis(14_500)).boxed_local()),
        ("date", the_credential_waits(Says::Date(18)).boxed_local()),
        ("nothing", the_credential_waits(Says::Nothing).boxed_local()),
    ])
    .await;
}

/// While a credential is limited, a call may come neither from a change of the spec nor from a forced renewal.
#[tokio::test]
async fn nothing_passes_a_limit() {
    let case = world().await.case("limit").await;
    case.create("old", case.spec("old")).await;
    case.recovered("old", 1).await;
    let old = case.revision("old", 1).await;
    case.world
        .standin
        .fail_next_for(Scope::Key(case.key.clone()), 1, Fault::throttled(20));
    case.create("new", case.spec("new")).await;
    let limited_at = case.calls_of_reach("new", 1).await[0].time;
    let other = serde_json::json!({"spec": {"openai": {"model": "gpt-realtime-mini"}}});
    case.patch("new", other).await;
    case.force("old", "now").await;
    case.not_renewed("old", "RateLimited", &old).await;
    case.recovered("new", 1).await;
    case.recovered("old", 2).await;
    let calls = case.calls();
    assert_eq!(calls.len(), 4, "the first token, the 429, and one for each token");
    for call in &calls[2..] {
        let after = call.time.duration_since(limited_at);
        assert!(after >= seconds(20.0), "asked again after {after:?}");
    }
    assert_eq!(
        calls[2].identity,
        Some(case.identity("new")),
        "who has no token comes first"
    );
    case.assert_strict();
}
