//! Answers of the provider that are no token: with and without a token of before.

use futures::FutureExt;
use jiff::Timestamp;
use realtime_token_operator::api::RealtimeTokenStatus;
use serde_json::json;
use testkit::standin::{Call, Fault};

use crate::expect::{AT_ONCE, all, last_failure, message, next_attempt, seconds};
use crate::world::{Case, world};

/// How often the provider answers so at least, where it gets better by itself.
const TIMES: usize = 2;

#[derive(Clone)]
struct Answer {
    name: &'static str,
    fault: Fault,
    reason: &'static str,
    /// What the message must hold: what is wrong, and what to do.
    says: [&'static str; 2],
    class: Class,
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Not asked again before something changes.
    Rejected,
    /// Asked again with growing pauses.
    Unavailable,
    /// Asked again after this many seconds.
    Throttled(u32),
}

fn answers() -> Vec<Answer> {
    use Class::{Rejected, Throttled, Unavailable};
    let trouble = "will be tried again";
    let changed = "its API has changed";
    let answer = |name, fault, reason, says, class| Answer {
        name,
        fault,
        reason,
        says,
        class,
    };
    let failed = |name, fault, says, class| {
        let reason = match class {
            Unavailable => "ProviderUnavailable",
            Rejected | Throttled(_) => "MintFailed",
        };
        answer(name, fault, reason, says, class)
    };
    let status = Fault::status;
    vec![
        answer(
            "401",
            status(401),
            "CredentialRejected",
            ["answered 401", "Check the API key"],
            Rejected,
        ),
        answer(
            "403",
            status(403),
            "CredentialRejected",
            ["answered 403", "whether its account may"],
            Rejected,
        ),
        failed(
            "400",
            status(400),
            ["answered 400", "Check the provider block"],
            Rejected,
        ),
        failed(
            "404",
            status(404),
            ["answered 404", "Check the model or agent id"],
            Rejected,
        ),
        failed(
            "422",
            status(422),
            ["answered 422", "Check the provider block"],
            Rejected,
        ),
        failed(
            "redirect",
            Fault::Redirect("http://169.254.169.254/".into()),
            ["answered 302", "Redirects are never followed"],
            Rejected,
        ),
        answer(
            "429",
            Fault::throttled(3),
            "RateLimited",
            ["answered 429", "limits this API key"],
            Throttled(3),
        ),
        failed("408", status(408), ["answered 408", trouble], Unavailable),
        failed("409", status(409), ["answered 409", trouble], Unavailable),
        failed("500", status(500), ["answered 500", trouble], Unavailable),
        failed("503", status(503), ["answered 503", trouble], Unavailable),
        failed(
            "reset",
            Fault::Reset,
            ["127.0.0.1", "reset the connection"],
            Unavailable,
        ),
        failed(
            "garbage",
            Fault::Garbage,
            ["its body is no JSON object", changed],
            Rejected,
        ),
        failed("empty", Fault::Empty, ["its body is no JSON object", changed], Rejected),
        failed(
            "65 KiB",
            Fault::Oversize(65 << 10),
            ["more than 65536 bytes", "in the provider's place"],
            Rejected,
        ),
        failed(
            "no token",
            Fault::MissingToken,
            ["it holds no token", changed],
            Rejected,
        ),
        failed("no expiry", Fault::MissingExpiry, ["expires_at", changed], Rejected),
        failed("text expiry", Fault::ExpiryAsString, ["expires_at", changed], Rejected),
        failed(
            "past expiry",
            Fault::ExpiryInPast,
            ["expiry is already past", "this machine's clock"],
            Rejected,
        ),
        failed("absurd expiry", Fault::ExpiryAbsurd, ["expires_at", changed], Rejected),
    ]
}

impl Answer {
    fn failures(&self) -> usize {
        if self.class == Class::Rejected { 1 } else { TIMES }
    }

    fn check_status(&self, case: &Case<'_>, status: &RealtimeTokenStatus) {
        let text = message(status, "Renewing");
        for words in self.says {
            assert!(text.contains(words), "no {words:?} in: {text}");
        }
        assert!(text.contains("attempt 1") || self.class != Class::Rejected, "{text}");
        assert!(
            !text.contains(&case.key),
            "the answer repeats the key, the message must not"
        );
        assert!(status.failed_mint_attempts.unwrap() >= 1, "{status:?}");
        let (last, next) = (last_failure(status), next_attempt(status));
        let before = status.revision.unwrap_or(0) as usize;
        let begun = case.calls_of("voice")[before].time;
        assert!(begun - seconds(1.0) < last && last <= Timestamp::now(), "{last}");
        let pause = next.duration_since(last).as_secs();
        match self.class {
            // The first pause is at most a minute, of which half is by chance; times are cut to seconds.
            Class::Rejected => assert!((29..=61).contains(&pause), "{pause} s after the last failure"),
            Class::Unavailable => {
                let most = 1 + (2 << status.failed_mint_attempts.unwrap().min(8));
                assert!((0..=most).contains(&pause), "{pause} s after the last failure")
            }
            Class::Throttled(wait) => assert!((i64::from(wait)..=5).contains(&pause), "{pause} s"),
        }
    }

    /// The failures and the success after them, and how far apart they are.
    fn check_calls(&self, calls: &[Call]) {
        for (nth, pair) in calls.windows(2).enumerate() {
            let gap = pair[1].time.duration_since(pair[0].time);
            let (least, most) = match self.class {
                Class::Rejected => continue,
                Class::Unavailable => (1.0, f64::from(2 << nth)),
                Class::Throttled(wait) => (f64::from(wait), f64::from(wait)),
            };
            assert!(gap >= seconds(least), "asked again after {gap:?}");
            assert!(gap <= seconds(most) + AT_ONCE, "asked again only after {gap:?}");
        }
    }

    async fn for_a_first_token(self) {
        let case = world().await.case("answer").await;
        case.fail(self.fault.clone());
        case.create("voice", case.spec("voice")).await;
        let status = case.not_issued("voice", self.reason).await;
        self.check_status(&case, &status);
        assert_eq!(status.revision, None);
        if self.class == Class::Rejected {
            case.settle().await;
            assert_eq!(case.calls_of("voice").len(), 1, "not asked again");
            case.heal();
            let fixed = Timestamp::now();
            case.patch("voice", json!({"spec": {"openai": {"model": "gpt-realtime-mini"}}}))
                .await;
            let calls = case.calls_of_reach("voice", 2).await;
            assert!(
                calls[1].time.duration_since(fixed) < AT_ONCE,
                "a changed spec is asked for at once"
            );
        }
        case.calls_of_reach("voice", self.failures()).await;
        case.heal();
        case.recovered("voice", 1).await;
        let calls = case.calls_of("voice");
        assert!(calls.len() <= 10, "a flood: {} calls", calls.len());
        self.check_calls(&calls);
        case.assert_strict();
    }

    async fn with_a_token_of_before(self) {
        let case = world().await.case("answer").await;
        case.create("voice", case.spec("voice")).await;
        case.recovered("voice", 1).await;
        let old = case.revision("voice", 1).await;
        case.fail(self.fault.clone());
        case.force("voice", "once").await;
        let status = case.not_renewed("voice", self.reason, &old).await;
        self.check_status(&case, &status);
        assert_eq!(status.revision, Some(1));
        assert_eq!(
            status.issued_at.as_ref().map(|time| time.0),
            crate::world::annotation(&old, "issued-at")
                .map(|at| { Timestamp::from_second(at.parse::<Timestamp>().unwrap().as_second()).unwrap() })
        );
        if self.class == Class::Rejected {
            case.settle().await;
            case.assert_untouched(&old).await;
            assert_eq!(case.calls_of("voice").len(), 2, "not asked again");
            case.heal();
            let fixed = Timestamp::now();
            case.force("voice", "again").await;
            let calls = case.calls_of_reach("voice", 3).await;
            assert!(
                calls[2].time.duration_since(fixed) < AT_ONCE,
                "a new request is obeyed at once"
            );
        }
        case.heal();
        case.recovered("voice", 2).await;
        let calls = case.calls_of("voice");
        assert!(calls.len() <= 10, "a flood: {} calls", calls.len());
        self.check_calls(&calls[1..]);
        case.assert_strict();
    }
}

#[tokio::test]
async fn a_first_token_that_the_provider_does_not_grant() {
    let cases = answers()
        .into_iter()
        .map(|answer| (answer.name, answer.for_a_first_token().boxed_local()));
    all(cases.collect()).await;
}

#[tokio::test]
async fn a_renewal_that_the_provider_does_not_grant_leaves_the_old_token() {
    let cases = answers()
        .into_iter()
        .map(|answer| (answer.name, answer.with_a_token_of_before().boxed_local()));
    all(cases.collect()).await;
}
