//! Each fault does what it says.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::super::{Fault, Provider, Scope, StandIn};
use super::{Ask, Reply, claims, start};

/// The answer to a sound OpenAI call under a fault.
async fn under(fault: Fault) -> Reply {
    let standin = start();
    standin.fail_next(1, fault);
    Ask::client_secret().send(&standin).await
}

/// Sends a call whose answer must not be complete within 300 ms.
async fn stalls(standin: &StandIn) {
    let ask = Ask::client_secret();
    let a_while_after_the_call = async {
        standin.wait_for_calls(1, Duration::from_secs(20)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    tokio::select! {
        _ = ask.attempt(standin) => panic!("the answer was complete"),
        () = a_while_after_the_call => {}
    }
}

#[tokio::test]
async fn status_shows_the_key_in_the_envelope() {
    let reply = under(Fault::status(401)).await;
    assert_eq!(reply.status, 401);
    let message = "Incorrect API key provided: sk-test-fake.";
    assert_eq!(reply.json()["error"]["message"], message);

    let reply = under(Fault::status(503)).await;
    assert_eq!(reply.status, 503);
    assert!(reply.text.contains("sk-test-fake") && reply.text.contains("server_error"));

    let reply = under(Fault::throttled(7)).await;
    assert_eq!(
        (reply.status, &reply.headers["retry-after"]),
        (429, &"7".parse().unwrap())
    );

    let standin = start();
    standin.fail_next(1, Fault::status(429));
    let reply = Ask::signed_url().send(&standin).await.json();
    assert_eq!(reply["detail"]["code"], "rate_limit_exceeded");
    assert!(reply["detail"]["message"].as_str().unwrap().contains("xi-fake"));
}

#[tokio::test]
async fn status_with_its_own_body_and_headers() {
    let fault = Fault::Status {
        code: 502,
        headers: vec![("Date".to_owned(), "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())],
        body: Some("bad gateway".to_owned()),
    };
    let reply = under(fault).await;
    assert_eq!((reply.status, reply.text.as_str()), (502, "bad gateway"));
    assert_eq!(reply.headers["date"], "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(reply.headers.get_all("date").iter().count(), 1);
}

#[tokio::test]
async fn delay_answers_late_but_as_usual() {
    let before = Instant::now();
    let reply = under(Fault::Delay(Duration::from_millis(120))).await;
    assert!(before.elapsed() >= Duration::from_millis(120));
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn hang_is_recorded_without_a_status_or_token() {
    let standin = start();
    standin.fail_next(1, Fault::Hang);
    stalls(&standin).await;
    let call = &standin.calls()[0];
    assert_eq!((call.status, &call.token), (None, &None));
}

#[tokio::test]
async fn half_a_body_and_a_dripping_one_stall_after_the_headers() {
    for fault in [Fault::HangBody, Fault::SlowDrip] {
        let standin = start();
        standin.fail_always(fault);
        stalls(&standin).await;
        assert!(standin.calls()[0].token.is_some(), "the token is on its way");

        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(standin.url() + "/v1/realtime/client_secrets");
        let request = request.bearer_auth("sk-test-fake").body("{}");
        let request = request.header("content-type", "application/json");
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let announced = response.content_length().unwrap();
        let sent = response.chunk().await.unwrap().unwrap().len() as u64;
        assert!(sent < announced, "{sent} of {announced} bytes");
    }
}

#[tokio::test]
async fn unusable_bodies() {
    let garbage = under(Fault::Garbage).await;
    assert_eq!(garbage.status, 200);
    assert!(serde_json::from_str::<Value>(&garbage.text).is_err());

    let empty = under(Fault::Empty).await;
    assert_eq!((empty.status, empty.text.len()), (200, 0));

    let oversize = under(Fault::Oversize(70_000)).await;
    assert!(oversize.text.len() > 70_000);
    assert!(
        oversize.json()["value"].is_string(),
        "it is the size alone that is wrong"
    );
}

#[tokio::test]
async fn bent_expiries() {
    let now = Timestamp::now().as_second();
    let expiry = async |fault| under(fault).await.json()["expires_at"].take();
    // A busy machine takes its time.
    let near = |seconds: i64, expected: i64| (seconds - expected).abs() <= 30;

    assert!(expiry(Fault::MissingExpiry).await.is_null());
    assert!(near(expiry(Fault::ExpiryInPast).await.as_i64().unwrap(), now - 60));
    assert!(near(
        expiry(Fault::ExpiryAbsurd).await.as_i64().unwrap() / 1000,
        now + 600
    ));
    let float = expiry(Fault::ExpiryAsFloat).await;
    assert!(float.is_f64() && near(float.as_f64().unwrap() as i64, now + 600));
    let text = expiry(Fault::ExpiryAsString).await;
    assert!(near(text.as_str().unwrap().parse().unwrap(), now + 600));
}

#[tokio::test]
async fn bent_expiries_of_a_jwt() {
    let standin = start();
    let exp = async |fault| {
        standin.fail_next(1, fault);
        let reply = Ask::conversation_token().send(&standin).await.json();
        claims(reply["token"].as_str().unwrap())["exp"].take()
    };
    assert!(exp(Fault::MissingExpiry).await.is_null());
    assert!(exp(Fault::ExpiryInPast).await.as_i64().unwrap() < Timestamp::now().as_second());
    assert!(exp(Fault::ExpiryAsFloat).await.is_f64());
}

#[tokio::test]
async fn missing_or_wrong_tokens() {
    let standin = start();
    standin.fail_next(3, Fault::MissingToken);
    assert!(Ask::client_secret().send(&standin).await.json()["value"].is_null());
    assert!(Ask::signed_url().send(&standin).await.json()["signed_url"].is_null());
    assert!(Ask::conversation_token().send(&standin).await.json()["token"].is_null());
    assert!(standin.issued().is_empty());

    standin.fail_next(1, Fault::WrongHost);
    let reply = Ask::signed_url().send(&standin).await.json();
    assert!(
        !reply["signed_url"]
            .as_str()
            .unwrap()
            .starts_with("wss://api.elevenlabs.io/")
    );

    standin.fail_next(1, Fault::UndecodableJwt);
    let reply = Ask::conversation_token().send(&standin).await.json();
    assert_eq!(reply["token"].as_str().unwrap().split('.').count(), 3);
}

#[tokio::test]
async fn other_statuses() {
    let created = under(Fault::Status201).await;
    assert_eq!(created.status, 201);
    assert!(created.json()["value"].is_string());

    let moved = under(Fault::Redirect("http://127.0.0.1:9/".to_owned())).await;
    assert_eq!(
        (moved.status, &moved.headers["location"]),
        (302, &"http://127.0.0.1:9/".parse().unwrap())
    );
}

#[tokio::test]
async fn reset_breaks_the_connection() {
    let standin = start();
    standin.fail_next(1, Fault::Reset);
    let error = Ask::client_secret().attempt(&standin).await.err().unwrap();
    let chain = format!("{error:?}");
    assert!(chain.contains("ConnectionReset"), "{chain}");
    assert_eq!(standin.calls()[0].status, None);
    assert_eq!(Ask::client_secret().send(&standin).await.status, 200);
}

#[tokio::test]
async fn scopes_order_and_healing() {
    let standin = start();
    standin.fail_always(Fault::status(500));
    standin.fail_always_for(Provider::ElevenLabs, Fault::status(503));
    standin.fail_next_for(Scope::Key("sk-test-fake".to_owned()), 1, Fault::status(401));
    standin.fail_next(1, Fault::status(429));
    let openai = async || Ask::client_secret().send(&standin).await.status;
    let elevenlabs = async || Ask::signed_url().send(&standin).await.status;
    assert_eq!(openai().await, 401, "counted faults come first, oldest first");
    assert_eq!(elevenlabs().await, 429, "a counted fault for anyone");
    assert_eq!(elevenlabs().await, 503, "the latest lasting fault");
    assert_eq!(openai().await, 500);
    standin.heal();
    assert_eq!((openai().await, elevenlabs().await), (200, 200));
}

#[tokio::test]
async fn a_fault_hides_no_malformed_call() {
    let standin = start();
    standin.fail_always(Fault::status(503));
    let ask = Ask::client_secret().with("openai-beta", "realtime=v1");
    assert_eq!(ask.send(&standin).await.status, 503);
    assert_eq!(standin.complaints(), ["400 unknown header openai-beta"]);
}
