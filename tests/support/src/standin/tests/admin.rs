//! The handle: records, lives, clocks and the server's own life.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::json;

use super::super::{Options, Provider, Recording, StandIn};
use super::{Ask, ELEVENLABS, claims, start};

#[tokio::test]
async fn tokens_are_distinct_and_a_seed_repeats_them() {
    let seeded = || {
        let options = Options {
            seed: 7,
            ..Options::default()
        };
        StandIn::start(options).unwrap()
    };
    let mut runs = Vec::new();
    for standin in [seeded(), seeded(), start()] {
        for _ in 0..3 {
            Ask::client_secret().send(&standin).await;
            Ask::signed_url().send(&standin).await;
        }
        runs.push(standin.issued());
    }
    let distinct: HashSet<_> = runs[0].iter().collect();
    assert_eq!(distinct.len(), 6);
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn a_call_is_recorded_whole() {
    let standin = start();
    let ask = Ask::client_secret().with("openai-safety-identifier", "ns/name");
    let reply = ask.send(&standin).await;
    let call = standin.calls().remove(0);
    assert_eq!(call.provider, Some(Provider::OpenAi));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", ask.path.as_str()));
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.json(), ask.body);
    assert_eq!(call.api_key.as_deref(), Some("sk-test-fake"));
    assert_eq!(call.identity.as_deref(), Some("ns/name"));
    assert_eq!(call.status, Some(200));
    assert_eq!(call.token.unwrap(), reply.json()["value"]);
    assert_eq!(call.complaint, None);

    standin.clear();
    assert_eq!((standin.count(), standin.calls().len()), (0, 0));
}

#[tokio::test]
async fn counts_keep_the_mints_of_each_identity() {
    let standin = start();
    standin.set_recording(Recording::Counts);
    for identity in ["a", "b", "a"] {
        let ask = Ask::client_secret().with("openai-safety-identifier", identity);
        ask.send(&standin).await;
    }
    Ask::signed_url().send(&standin).await;
    Ask::signed_url().with("x", "y").send(&standin).await;
    assert_eq!(standin.count(), 5);
    assert_eq!(standin.complaints().len(), 1);
    assert!(standin.calls().is_empty() && standin.issued().is_empty());
    let mints = standin.mints();
    let number = |identity: &str| mints[identity].len();
    assert_eq!((number("a"), number("b"), number("agent_1")), (2, 1, 1));
    let [first, second] = mints["a"][..] else {
        panic!("two mints expected");
    };
    assert!(first.at < second.at && first.time < first.expires_at);
}

#[tokio::test]
async fn lives_can_be_chosen() {
    let standin = start();
    for provider in Provider::ALL {
        standin.set_life(provider, Some(7));
    }
    let now = Timestamp::now().as_second();
    let secret = Ask::client_secret().send(&standin).await.json();
    let token = Ask::conversation_token().send(&standin).await.json();
    let exp = claims(token["token"].as_str().unwrap())["exp"].take();
    for expiry in [&secret["expires_at"], &exp] {
        assert!((now + 7..=now + 9).contains(&expiry.as_i64().unwrap()));
    }
    standin.set_life(Provider::OpenAi, None);
    let mut ask = Ask::client_secret();
    ask.body["expires_after"]["seconds"] = json!(1800);
    let secret = ask.send(&standin).await.json();
    assert!(secret["expires_at"].as_i64().unwrap() >= now + 1800);
}

#[tokio::test]
async fn the_skew_shifts_date_and_expiry_together() {
    let standin = start();
    for skew in [3600, -3600] {
        standin.set_clock_skew(skew);
        let reply = Ask::client_secret().send(&standin).await;
        let date = reply.headers["date"].to_str().unwrap();
        let date = DateTimeParser::new().parse_timestamp(date).unwrap().as_second();
        assert!((date - skew - Timestamp::now().as_second()).abs() <= 2);
        assert_eq!(reply.json()["expires_at"], date + 600);
    }
}

#[tokio::test]
async fn latency_and_host() {
    let standin = start();
    standin.set_latency(Duration::from_millis(60));
    standin.set_signed_url_host("api.eu.residency.elevenlabs.io");
    let before = Instant::now();
    let reply = Ask::signed_url().send(&standin).await.json();
    assert!(before.elapsed() >= Duration::from_millis(60));
    let url = reply["signed_url"].as_str().unwrap();
    assert!(url.starts_with("wss://api.eu.residency.elevenlabs.io/v1/"), "{url}");
}

#[tokio::test]
async fn tokens_are_redeemed_by_their_rules() {
    let standin = start();
    let cases = [
        (Ask::client_secret(), true),
        (Ask::signed_url(), true),
        (Ask::case(ELEVENLABS, "getSignedUrl all params"), false),
        (Ask::conversation_token(), false),
        (Ask::case(ELEVENLABS, "single-use tts_websocket"), false),
    ];
    for (ask, reusable) in cases {
        ask.send(&standin).await;
        let token = standin.issued().pop().unwrap();
        standin.redeem(&token).unwrap();
        assert_eq!(standin.redeem(&token).is_ok(), reusable, "{}", ask.path);
        standin.set_clock_skew(901);
        assert!(standin.redeem(&token).is_err(), "{}", ask.path);
        standin.set_clock_skew(0);
    }
    assert!(standin.redeem("ek_forged").unwrap_err().contains("no such token"));
}

/// With paused time a timer of the test itself would fire at once.
#[tokio::test(start_paused = true)]
async fn waiting_for_calls_under_paused_time() {
    let standin = start();
    let addr = standin.addr();
    let caller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"GET /v1/x HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        stream
    });
    standin.wait_for_calls(1, Duration::from_secs(10)).await.unwrap();
    drop(caller.join().unwrap());

    let error = standin.wait_for_calls(2, Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(error.to_string(), "the stand-in saw 1 of 2 expected calls within 30ms");
}

#[tokio::test]
async fn it_stops_and_another_takes_its_place() {
    let standin = start();
    let clone = standin.clone();
    drop(standin);
    assert_eq!(
        Ask::signed_url().send(&clone).await.status,
        200,
        "a clone keeps it alive"
    );
    clone.stop();
    assert!(Ask::signed_url().attempt(&clone).await.err().unwrap().is_connect());
    assert!(clone.wait_for_calls(9, Duration::from_secs(5)).await.is_err());

    let options = Options {
        addr: Some(clone.addr()),
        ..Options::default()
    };
    let next = StandIn::start(options).unwrap();
    assert_eq!(Ask::signed_url().send(&next).await.status, 200);
}
