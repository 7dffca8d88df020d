//! token.json is TanStack AI's RealtimeToken, byte for byte, for the same reply and the same clock.

use jiff::{SignedDuration, Timestamp};
use realtime_token_operator::token::secret::token_json;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testkit::standin::Fault;

use crate::{class, client, credential, elevenlabs, openai, start};

#[tokio::test]
async fn adapters() {
    let file: Value = serde_json::from_str(include_str!("../recordings/tanstack.json")).unwrap();
    let clock = Timestamp::from_millisecond(file["clock_ms"].as_i64().unwrap()).unwrap();
    let standin = start();
    let mut seen = 0;
    for case in file["cases"].as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let ask = match name {
            "openai default" | "openai model gpt-realtime-2.1" | "openai reply without session" | "openai 401" => {
                let mut ask = openai(&standin, json!({}));
                ask.expiration = SignedDuration::from_secs(600);
                ask
            }
            "elevenlabs default" => elevenlabs(&standin, json!({})),
            "elevenlabs overrides" => elevenlabs(
                &standin,
                json!({"voice": "v1", "instructions": "Be kind", "firstMessage": "Hello", "language": "en"}),
            ),
            other if other.starts_with("grok") || other.starts_with("gemini") => continue,
            other => panic!("a new recording: {other}"),
        };
        let status = case["reply"]["status"].as_u64().unwrap();
        standin.clear();
        standin.fail_next(
            1,
            Fault::Status {
                code: u16::try_from(status).unwrap(),
                headers: vec![("date".into(), "Sun, 22 Nov 2026 12:00:00 GMT".into())],
                body: Some(case["reply"]["body"].to_string()),
            },
        );
        let minted = client(&standin).mint(&ask, &credential(&ask), clock).await;
        seen += 1;

        let call = standin.calls().remove(0);
        assert_eq!(call.method, case["method"], "{name}");
        assert_eq!(call.path, case["path"], "{name}");
        let mut expected = case["realtime_token"].clone();
        if expected.is_null() {
            assert_eq!(minted.as_ref().map_err(class).err(), Some("rejected"), "{name}");
            continue;
        }
        if expected["provider"] == "elevenlabs" {
            // TanStack says 30 minutes; ElevenLabs' documentation says 15.
            assert_eq!(expected["expiresAt"], 1_795_350_600_000_i64);
            expected["expiresAt"] = 1_795_349_700_000_i64.into();
        }
        let json = token_json(&minted.unwrap());
        assert_eq!(json.expose_secret(), expected.to_string(), "{name}");
    }
    assert_eq!(seen, 6);
}

/// A server function may hand the file to a client as it is.
#[tokio::test]
async fn config_survives_json() {
    let standin = start();
    let text = "Zwölf Boxkämpfer \"jagen\"\n\u{2028}\u{1f98a}\\";
    let ask = elevenlabs(&standin, json!({"instructions": text}));
    let minted = client(&standin)
        .mint(&ask, &credential(&ask), Timestamp::now())
        .await
        .unwrap();
    let json: Value = serde_json::from_str(token_json(&minted).expose_secret()).unwrap();
    assert_eq!(json["config"]["instructions"], text);
    assert_eq!(json["token"], minted.value.expose_secret());
    assert_eq!(json["expiresAt"], minted.expires_at.as_millisecond());
}
