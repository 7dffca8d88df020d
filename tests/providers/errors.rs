//! What a status becomes: class, reason and words.

use jiff::{SignedDuration, Timestamp};
use realtime_token_operator::api::Reason;
use realtime_token_operator::mint::Credential;
use realtime_token_operator::token::MintError;
use serde_json::json;
use testkit::standin::{Fault, StandIn};

use crate::{class, client, elevenlabs, mint, openai, start};

async fn throttled(standin: &StandIn, headers: &[(&str, String)]) -> Option<SignedDuration> {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    standin.fail_next(
        1,
        Fault::Status {
            code: 429,
            headers,
            body: None,
        },
    );
    match mint(standin, &openai(standin, json!({}))).await {
        Err(MintError::Throttled { retry_after, .. }) => retry_after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn statuses() {
    let standin = start();
    for (status, expected, reason) in [
        (300, "rejected", Reason::MintFailed),
        (304, "rejected", Reason::MintFailed),
        (400, "rejected", Reason::MintFailed),
        (401, "rejected", Reason::CredentialRejected),
        (402, "quota", Reason::QuotaExhausted),
        (403, "rejected", Reason::CredentialRejected),
        (404, "rejected", Reason::MintFailed),
        (408, "unavailable", Reason::ProviderUnavailable),
        (409, "unavailable", Reason::ProviderUnavailable),
        (410, "rejected", Reason::MintFailed),
        (418, "rejected", Reason::MintFailed),
        (422, "rejected", Reason::MintFailed),
        (425, "rejected", Reason::MintFailed),
        (429, "throttled", Reason::RateLimited),
        (500, "unavailable", Reason::ProviderUnavailable),
        (501, "unavailable", Reason::ProviderUnavailable),
        (502, "unavailable", Reason::ProviderUnavailable),
        (503, "unavailable", Reason::ProviderUnavailable),
        (504, "unavailable", Reason::ProviderUnavailable),
        (599, "unavailable", Reason::ProviderUnavailable),
    ] {
        for ask in [openai(&standin, json!({})), elevenlabs(&standin, json!({}))] {
            standin.clear();
            standin.fail_next(1, Fault::status(status));
            let error = mint(&standin, &ask).await.unwrap_err();
            assert_eq!((class(&error), error.reason()), (expected, reason), "{status}: {error}");
            // A custom endpoint's words are not repeated, however harmless.
            let start = format!("The endpoint {} answered {status}. ", standin.url());
            assert!(error.to_string().starts_with(&start), "{error}");
            assert!(!error.to_string().contains("Stand-in"), "{error}");
            assert_eq!(standin.count(), 1, "{status}: asking again is the schedule's business");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_a_rejected_credential() {
    let standin = start();
    for ask in [openai(&standin, json!({})), elevenlabs(&standin, json!({}))] {
        let wrong = Credential::new([("api-key", "sk-wrong".into())]);
        let error = client(&standin).mint(&ask, &wrong, Timestamp::now()).await.unwrap_err();
        assert_eq!(error.reason(), Reason::CredentialRejected);
        assert!(error.to_string().contains("answered 401"), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_not_sent() {
    let standin = start();
    for key in ["", "sk-1\nsk-2", "sk-ü"] {
        let bad = Credential::new([("api-key", key.into())]);
        let error = client(&standin)
            .mint(&openai(&standin, json!({})), &bad, Timestamp::now())
            .await
            .unwrap_err();
        assert_eq!(error.reason(), Reason::CredentialRejected);
    }
    assert_eq!(standin.count(), 0);
}

#[tokio::test]
async fn every_form_of_retry_after() {
    let standin = start();
    let in_secs = |seconds: i64| Timestamp::now() + SignedDuration::from_secs(seconds);
    let date = |at: Timestamp| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let secs = |seconds| Some(SignedDuration::from_secs(seconds));

    assert_eq!(
        throttled(&standin, &[("retry-after-ms", "1500.0".into())]).await,
        Some(SignedDuration::from_millis(1500))
    );
    assert_eq!(throttled(&standin, &[("retry-after", "7".into())]).await, secs(7));
    assert_eq!(throttled(&standin, &[("retry-after", "7.0".into())]).await, secs(7));
    assert_eq!(
        throttled(&standin, &[("retry-after", "86400".into())]).await,
        secs(600),
        "capped"
    );
    assert_eq!(throttled(&standin, &[("retry-after", "0".into())]).await, None);
    assert_eq!(throttled(&standin, &[("retry-after", "-7".into())]).await, None);
    assert_eq!(throttled(&standin, &[("retry-after", "NaN".into())]).await, None);
    assert_eq!(throttled(&standin, &[("retry-after", date(in_secs(-30)))]).await, None);
    assert_eq!(throttled(&standin, &[]).await, None);
    let both = [("retry-after", "7".into()), ("retry-after-ms", "250".into())];
    assert_eq!(throttled(&standin, &both).await, Some(SignedDuration::from_millis(250)));

    for form in [
        ("retry-after", date(in_secs(60))),
        ("x-ratelimit-reset", in_secs(60).as_second().to_string()),
    ] {
        let wait = throttled(&standin, std::slice::from_ref(&form)).await.unwrap();
        assert!((50..=60).contains(&wait.as_secs()), "{form:?}: {wait}");
    }
}

/// The provider's dates are on the provider's clock.
#[tokio::test]
async fn retry_after_on_a_skewed_clock() {
    let standin = start();
    standin.set_clock_skew(3600);
    let theirs = Timestamp::now() + SignedDuration::from_secs(3600 + 60);
    let reset = ("x-ratelimit-reset", theirs.as_second().to_string());
    let wait = throttled(&standin, &[reset]).await.unwrap();
    assert!((50..=60).contains(&wait.as_secs()), "{wait}");
}
