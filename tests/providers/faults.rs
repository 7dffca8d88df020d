//! Networks and replies that break.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use realtime_token_operator::api::Reason;
use realtime_token_operator::mint::Ask;
use serde_json::json;
use testkit::standin::{Fault, StandIn};

use crate::{class, client_with, conversation, credential, elevenlabs, mint, openai, start};

/// The fault makes the mint fail as unavailable, after one call, for a reason that the text names.
async fn assert_unavailable(standin: &StandIn, ask: &Ask, fault: Fault, why: &str) {
    assert_fails(standin, ask, fault, "unavailable", why).await;
}

/// The same for a reply that may have cost a token: asking again soon would cost another.
async fn assert_unusable(standin: &StandIn, ask: &Ask, fault: Fault, why: &str) {
    assert_fails(standin, ask, fault, "rejected", why).await;
}

async fn assert_fails(standin: &StandIn, ask: &Ask, fault: Fault, expected: &str, why: &str) {
    standin.clear();
    standin.fail_next(1, fault.clone());
    let error = mint(standin, ask).await.unwrap_err();
    let reason = match expected {
        "unavailable" => Reason::ProviderUnavailable,
        _ => Reason::MintFailed,
    };
    assert_eq!(
        (class(&error), error.reason()),
        (expected, reason),
        "{fault:?}: {error}"
    );
    assert!(error.to_string().contains(why), "{fault:?}: {error}");
    assert_eq!(standin.count(), 1, "{fault:?}: one mint is one call");
}

#[tokio::test]
async fn who_hangs_is_left_after_the_timeout() {
    let standin = start();
    for fault in [
        Fault::Hang,
        Fault::HangBody,
        Fault::SlowDrip,
        Fault::Delay(Duration::from_secs(60)),
    ] {
        let ask = openai(&standin, json!({}));
        standin.clear();
        standin.fail_next(1, fault.clone());
        let client = client_with(&standin, Duration::from_millis(800));
        let started = Instant::now();
        let error = client
            .mint(&ask, &credential(&ask), Timestamp::now())
            .await
            .unwrap_err();
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{fault:?} took {:?}",
            started.elapsed()
        );
        assert_eq!(class(&error), "unavailable", "{fault:?}");
        assert_eq!(
            error.to_string(),
            "no complete answer from 127.0.0.1 within 0.8 s",
            "{fault:?}"
        );
        assert_eq!(standin.count(), 1, "{fault:?}");
    }
}

/// A status says enough: its class isn't lost with its body.
#[tokio::test]
async fn an_error_whose_body_is_huge_keeps_its_class() {
    let standin = start();
    let headers = vec![("retry-after".into(), "9".into())];
    standin.fail_next(
        1,
        Fault::Status {
            code: 429,
            headers,
            body: Some("x".repeat(1_000_000)),
        },
    );
    let error = mint(&standin, &openai(&standin, json!({}))).await.unwrap_err();
    assert_eq!(class(&error), "throttled");
}

#[tokio::test]
async fn broken_connections() {
    let standin = start();
    let ask = openai(&standin, json!({}));
    assert_unavailable(&standin, &ask, Fault::Reset, "127.0.0.1").await;
    standin.stop();
    let error = mint(&standin, &ask).await.unwrap_err();
    assert_eq!(class(&error), "unavailable");
    assert_eq!(error.to_string(), "127.0.0.1 refused the connection");
}

#[tokio::test]
async fn replies_that_are_none() {
    let standin = start();
    for ask in [
        openai(&standin, json!({})),
        elevenlabs(&standin, json!({})),
        conversation(&standin),
    ] {
        assert_unusable(
            &standin,
            &ask,
            Fault::Garbage,
            "answered 200, but its body is no JSON object",
        )
        .await;
        assert_unusable(&standin, &ask, Fault::Empty, "no JSON object").await;
        assert_unusable(&standin, &ask, Fault::MissingToken, "holds no token in `").await;
        assert_unusable(&standin, &ask, Fault::Oversize(65_536), "more than 65536 bytes").await;
        assert_unusable(&standin, &ask, Fault::Oversize(1_000_000), "more than 65536 bytes").await;
    }
}

#[tokio::test]
async fn expiries_that_are_none() {
    let standin = start();
    for ask in [openai(&standin, json!({})), conversation(&standin)] {
        assert_unusable(&standin, &ask, Fault::MissingExpiry, "never guessed").await;
        assert_unusable(&standin, &ask, Fault::ExpiryAbsurd, "never guessed").await;
        assert_unusable(&standin, &ask, Fault::ExpiryAsString, "never guessed").await;
        assert_unusable(&standin, &ask, Fault::ExpiryInPast, "already past").await;
    }
    assert_unusable(
        &standin,
        &conversation(&standin),
        Fault::UndecodableJwt,
        "never guessed",
    )
    .await;
}

#[tokio::test]
async fn a_signed_url_to_elsewhere_is_not_published() {
    let standin = start();
    assert_unusable(
        &standin,
        &elevenlabs(&standin, json!({})),
        Fault::WrongHost,
        "another region or owner",
    )
    .await;
}

#[tokio::test]
async fn oddities_that_are_fine() {
    let standin = start();
    for ask in [
        openai(&standin, json!({})),
        elevenlabs(&standin, json!({})),
        conversation(&standin),
    ] {
        for fault in [
            Fault::Status201,
            Fault::ExpiryAsFloat,
            Fault::Oversize(60_000),
            Fault::Delay(Duration::from_millis(50)),
        ] {
            standin.fail_next(1, fault.clone());
            let minted = mint(&standin, &ask)
                .await
                .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert_eq!(
                standin.redeem(secrecy::ExposeSecret::expose_secret(&minted.value)),
                Ok(()),
                "{fault:?}"
            );
        }
    }
}

/// As large as `validate` lets a session be: the echo of it must still fit.
#[tokio::test]
async fn the_largest_session_fits() {
    let standin = start();
    let ask = openai(
        &standin,
        json!({"session": {"instructions": "x".repeat(48 * 1024 - 19)}}),
    );
    assert_eq!(ask.block.provider().validate(), Ok(()));
    mint(&standin, &ask).await.unwrap();
}
