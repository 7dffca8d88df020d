//! What the official SDKs and TanStack's adapters send is answered; what they once sent is not.

use jiff::Timestamp;
use serde_json::Value;

use super::super::{Fault, Provider};
use super::{Ask, ELEVENLABS, OPENAI, TANSTACK, claims, start};

fn requests(recording: &str) -> Vec<Value> {
    let recording: Value = serde_json::from_str(recording).unwrap();
    recording["requests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn openai_requests() {
    let standin = start();
    for request in requests(OPENAI) {
        let case = request["case"].as_str().unwrap();
        let ask = Ask::recorded(&request);
        let reply = ask.send(&standin).await;
        if case.starts_with("RETIRED") {
            assert_eq!(reply.status, 404, "{case}");
            let message = reply.json()["error"]["message"].clone();
            assert!(message.as_str().unwrap().contains(&ask.path), "{message}");
            continue;
        }
        assert_eq!(reply.status, 200, "{case}: {}", reply.text);
        let json = reply.json();
        assert!(json["value"].as_str().unwrap().starts_with("ek_"), "{case}");
        let left = json["expires_at"].as_i64().unwrap() - Timestamp::now().as_second();
        assert!((598..=600).contains(&left), "{case}: {left}");
        assert_eq!(json["session"]["expires_at"], 0, "{case}");
        for (field, value) in ask.body["session"].as_object().into_iter().flatten() {
            assert_eq!(&json["session"][field], value, "{case}");
        }
        assert_eq!(standin.issued().last().unwrap(), &json["value"]);
    }
}

#[tokio::test]
async fn elevenlabs_requests() {
    let standin = start();
    for request in requests(ELEVENLABS) {
        let case = request["case"].as_str().unwrap();
        let reply = Ask::recorded(&request).send(&standin).await;
        assert_eq!(reply.status, 200, "{case}: {}", reply.text);
        let json = reply.json();
        let field = if case.starts_with("getSignedUrl") {
            let start = "wss://api.elevenlabs.io/v1/convai/conversation\
                         ?agent_id=agent_1&conversation_signature=cvtkn_";
            assert!(json["signed_url"].as_str().unwrap().starts_with(start));
            "signed_url"
        } else {
            "token"
        };
        if case.starts_with("getWebrtcToken") {
            let id = json["conversation_id"].as_str().unwrap();
            assert!(id.starts_with("conv_"), "{id}");
            let claims = claims(json["token"].as_str().unwrap());
            assert_eq!(claims["video"]["room"], format!("room_agent_1_{id}"));
            assert!(claims["exp"].as_i64().unwrap() > Timestamp::now().as_second());
        }
        assert_eq!(standin.issued().last().unwrap(), &json[field]);
    }
    let name = Ask::case(ELEVENLABS, "getWebrtcToken all params");
    let json = name.send(&standin).await.json();
    assert_eq!(claims(json["token"].as_str().unwrap())["name"], "Bob B");
}

/// A provider played from its recording honours the faults about token and expiry too.
#[tokio::test]
async fn faults_of_a_recorded_provider() {
    let standin = start();
    let recording = crate::conformance::recording("deepgram").unwrap();
    let ask = Ask::recorded(&recording["requests"][1]);
    let at = standin.origin("deepgram");
    let under = async |fault: Fault| {
        standin.fail_next(1, fault);
        ask.send_to(&at).await
    };
    let fine = ask.send_to(&at).await.json();
    assert_eq!(fine["expires_in"], 120);
    let exp = claims(fine["access_token"].as_str().unwrap())["exp"].as_i64();
    assert!(exp.unwrap() > Timestamp::now().as_second() + 100);

    let missing = under(Fault::MissingExpiry).await.json();
    assert!(missing.get("expires_in").is_none(), "{missing}");
    let claimed = claims(missing["access_token"].as_str().unwrap());
    assert!(claimed.get("exp").is_none(), "{claimed}");
    let past = under(Fault::ExpiryInPast).await.json();
    assert!(past["expires_in"].as_i64().unwrap() < 0);
    let absurd = under(Fault::ExpiryAbsurd).await.json();
    assert!(absurd["expires_in"].as_i64().unwrap() > 10_000_000);
    let float = under(Fault::ExpiryAsFloat).await.text;
    assert!(float.contains("\"expires_in\":120.0"), "{float}");
    let string = under(Fault::ExpiryAsString).await.json();
    assert_eq!(string["expires_in"], "120");

    let no_token = under(Fault::MissingToken).await.json();
    assert!(no_token.get("access_token").is_none(), "{no_token}");
    assert_eq!(under(Fault::Status201).await.status, 201);
    let large = under(Fault::Oversize(70_000)).await;
    assert!(large.text.len() > 70_000 && large.json()["access_token"].is_string());
}

/// The underscore path, which no SDK records any more.
#[tokio::test]
async fn the_retired_signed_url() {
    let mut ask = Ask::signed_url();
    ask.path = ask.path.replace("get-signed-url", "get_signed_url");
    let reply = ask.send(&start()).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["detail"]["code"], "not_found");
}

#[tokio::test]
async fn tanstack_requests() {
    let standin = start();
    standin.accept_keys(Provider::OpenAi, ["sk-fake"]);
    let recording: Value = serde_json::from_str(TANSTACK).unwrap();
    let cases = recording["cases"].as_array().unwrap().iter();
    let ours = cases.filter(|case| {
        let origin = case["origin"].as_str().unwrap();
        origin.contains("openai") || origin.contains("elevenlabs")
    });
    for case in ours {
        let reply = Ask::recorded(case).send(&standin).await;
        assert_eq!(reply.status, 200, "{}: {}", case["case"], reply.text);
    }
    assert!(standin.count() >= 6, "found {} cases", standin.count());
}
