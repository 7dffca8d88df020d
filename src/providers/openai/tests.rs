use serde_json::json;

use super::super::fixture;
use super::*;
use crate::mint::Credential;

fn block(value: Value) -> OpenAi {
    serde_json::from_value(value).unwrap()
}

fn sent(block: &OpenAi) -> Value {
    let credential = Credential::new([("api-key", "sk-1".into())]);
    let request = fixture::request(block, 600, &credential).unwrap();
    serde_json::from_slice(request.bytes()).unwrap()
}

fn with_session(session: Value) -> OpenAi {
    block(json!({"model": "gpt-realtime-2.1", "session": session}))
}

fn refusal(block: &OpenAi) -> String {
    block.validate().unwrap_err().0
}

#[test]
fn ours_comes_first_and_wins() {
    let block = with_session(json!({"instructions": "hi", "model": "gpt-realtime-2.1", "type": "realtime"}));
    assert_eq!(block.validate(), Ok(()));
    let body = sent(&block);
    assert_eq!(
        body.to_string(),
        r#"{"expires_after":{"anchor":"created_at","seconds":600},"session":{"type":"realtime","model":"gpt-realtime-2.1","instructions":"hi"}}"#
    );
}

#[test]
fn a_transcriptions_model_joins_what_is_there() {
    let session = json!({"audio": {"input": {"format": {"type": "audio/pcmu"}, "transcription": {"language": "de"}}}});
    let block = block(json!({"kind": "Transcription", "model": "gpt-live-transcribe", "session": session}));
    assert_eq!(block.validate(), Ok(()));
    assert_eq!(
        sent(&block)["session"],
        json!({"type": "transcription", "audio": {"input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"language": "de", "model": "gpt-live-transcribe"},
        }}})
    );
}

#[test]
fn models_of_the_live_family_are_refused() {
    for (kind, model) in [
        ("Realtime", "gpt-live"),
        ("Realtime", "gpt-live-1"),
        ("Realtime", "gpt-live-transcribe"),
        ("Translation", "gpt-live-1"),
        ("Transcription", "gpt-live-1"),
    ] {
        let refused = refusal(&block(json!({"kind": kind, "model": model})));
        assert!(refused.contains("/v1/live/sessions"), "{kind} {model}: {refused}");
    }
    for (kind, model) in [
        ("Transcription", "gpt-live-transcribe"),
        ("Realtime", "gpt-lively"),
        ("Realtime", "my-gpt-live-1"),
    ] {
        assert_eq!(
            block(json!({"kind": kind, "model": model})).validate(),
            Ok(()),
            "{model}"
        );
    }
}

#[test]
fn a_client_secret_counts_as_good_for_one_session() {
    for kind in ["Realtime", "Transcription", "Translation"] {
        let of = |reuse: Option<&str>| {
            let mut spec = json!({"kind": kind, "model": "m"});
            spec["reuse"] = reuse.into();
            block(spec).single_use()
        };
        assert!(
            of(None).is_some_and(|message| message.contains("openai.reuse")),
            "{kind}"
        );
        assert!(of(Some("Single")).is_some(), "{kind}");
        assert_eq!(of(Some("Multiple")), None, "{kind}");
    }
    // A rule about the spec, nothing that OpenAI is sent.
    let body = |reuse: &str| sent(&block(json!({"model": "m", "reuse": reuse})));
    assert_eq!(body("Multiple"), body("Single"));
}

#[test]
fn a_transcription_without_audio_gets_it() {
    for session in [
        json!({}),
        json!({"audio": null}),
        json!({"audio": {"input": {"transcription": null}}}),
    ] {
        let block = block(json!({"kind": "Transcription", "model": "m", "session": session}));
        assert_eq!(block.validate(), Ok(()));
        assert_eq!(sent(&block)["session"]["audio"]["input"]["transcription"]["model"], "m");
    }
}

#[test]
fn what_contradicts_us_is_refused() {
    for (kind, session, path) in [
        ("Realtime", json!({"type": "transcription"}), "session.type"),
        ("Realtime", json!({"type": null}), "session.type"),
        ("Realtime", json!({"model": "gpt-other"}), "session.model"),
        ("Transcription", json!({"type": "realtime"}), "session.type"),
        ("Transcription", json!({"model": "m"}), "session.model"),
        ("Transcription", json!({"audio": []}), "session.audio:"),
        (
            "Transcription",
            json!({"audio": {"input": "x"}}),
            "session.audio.input:",
        ),
        (
            "Transcription",
            json!({"audio": {"input": {"transcription": {"model": "other"}}}}),
            "transcription.model",
        ),
        ("Translation", json!({"type": "translation"}), "session.type"),
        ("Translation", json!({"model": "other"}), "session.model"),
    ] {
        let refusal = refusal(&block(json!({"kind": kind, "model": "m", "session": session})));
        assert!(
            refusal.contains(path) && refusal.contains("openai.session"),
            "{kind} {session}: {refusal}"
        );
    }
    let fits = json!({"kind": "Transcription", "model": "m", "session": {"audio": {"input": {"transcription": {"model": "m"}}}}});
    assert_eq!(block(fits).validate(), Ok(()));
}

#[test]
fn fields_of_the_beta_are_refused_with_their_new_place() {
    assert!(refusal(&with_session(json!({"voice": "marin"}))).contains("audio.output.voice"));
    assert!(refusal(&with_session(json!({"temperature": 0.8}))).contains("removed"));
    assert_eq!(
        with_session(json!({"audio": {"output": {"voice": "marin"}}})).validate(),
        Ok(())
    );
}

#[test]
fn text_or_audio() {
    assert!(refusal(&with_session(json!({"output_modalities": ["audio", "text"]}))).contains("not both"));
    for one in [json!(["text"]), json!(["audio"]), json!([]), json!(null)] {
        assert_eq!(with_session(json!({"output_modalities": one})).validate(), Ok(()));
    }
}

#[test]
fn keys_of_tools_are_refused_wherever_they_hide() {
    let mcp = |field: &str, value: Value| json!({"type": "mcp", "server_label": "s", field: value});
    for (tool, key) in [
        (mcp("authorization", json!("canary")), "authorization"),
        (mcp("headers", json!({"x-key": "canary"})), "headers"),
        (mcp("Authorization", json!("canary")), "Authorization"),
        (
            mcp("nested", json!([{"deep": {"headers": {"x-key": "canary"}}}])),
            "headers",
        ),
        (
            json!({"type": "function", "name": "f", "headers": {"x": "canary"}}),
            "headers",
        ),
        (
            json!({"type": "mcp", "parameters": {"authorization": "canary"}}),
            "authorization",
        ),
        (json!([{"authorization": "canary"}]), "authorization"),
    ] {
        let refusal = refusal(&with_session(
            json!({"tools": [{"type": "function", "name": "fine"}, tool]}),
        ));
        assert!(refusal.contains("tools[1]") && refusal.contains(key), "{refusal}");
        assert!(refusal.contains("can be read by its holder"), "{refusal}");
        assert!(!refusal.contains("canary"), "{refusal}");
    }
    assert!(refusal(&with_session(json!({"tools": {"authorization": "x"}}))).contains("must be a list"));
}

#[test]
fn arguments_of_functions_may_be_called_headers() {
    let tool = json!({"type": "function", "name": "fetch", "parameters": {
        "type": "object", "properties": {"url": {"type": "string"}, "headers": {"type": "object"}},
    }});
    assert_eq!(with_session(json!({"tools": [tool]})).validate(), Ok(()));
}

#[test]
fn size_is_bounded_below_the_reply_cap() {
    // `{"instructions":""}` takes 19 bytes.
    let instructions = |length: usize| with_session(json!({"instructions": "x".repeat(length)}));
    assert_eq!(instructions(48 * 1024 - 19).validate(), Ok(()));
    let refusal = refusal(&instructions(48 * 1024 - 18));
    assert!(
        refusal.contains("49153 bytes") && refusal.contains("49152"),
        "{refusal}"
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| (2..levels).fold(json!([]), |inner, _| json!([inner]));
    assert_eq!(with_session(json!({"x": nested(32)})).validate(), Ok(()));
    assert!(refusal(&with_session(json!({"x": nested(33)}))).contains("deeper than 32"));
}

#[test]
fn account_headers_must_be_sendable() {
    for field in ["organization", "project", "safetyIdentifier"] {
        let block = block(json!({"model": "m", field: "line\nbreak"}));
        assert!(refusal(&block).contains(field));
        let error = fixture::request(&block, 0, &Credential::new([("api-key", "k".into())])).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

fn read(block: &OpenAi, reply: Value) -> Result<Answer, UnusableReply> {
    fixture::answer(block, 600, reply.to_string().as_bytes())
}

#[test]
fn the_expiry_is_the_top_level_one() {
    let block = with_session(json!({}));
    let expected = Expiry::At("2026-11-22T08:30:00Z".parse().unwrap());
    for reply in [
        json!({"value": "ek_1", "expires_at": 1_795_336_200, "session": {"expires_at": 0}}),
        json!({"value": "ek_1", "expires_at": 1_795_336_200.0}),
    ] {
        assert_eq!(read(&block, reply).unwrap().expiry, expected);
    }
    for reply in [
        json!({"value": "ek_1"}),
        json!({"value": "ek_1", "session": {"expires_at": 1_795_336_200}}),
        json!({"value": "ek_1", "expires_at": null}),
        json!({"value": "ek_1", "expires_at": "1795336200"}),
        json!({"value": "ek_1", "expires_at": 1_795_336_200.5}),
        json!({"value": "ek_1", "expires_at": 1_795_336_200_000_i64}),
        json!({"client_secret": {"value": "ek_1"}, "expires_at": 1_795_336_200}),
    ] {
        assert!(
            read(&block, reply.clone()).unwrap_err().0.contains("expires_at"),
            "{reply}"
        );
    }
}

#[test]
fn the_token_is_the_top_level_one() {
    let block = with_session(json!({}));
    for reply in [
        json!({"expires_at": 1_795_336_200}),
        json!({"value": "", "expires_at": 1_795_336_200}),
        json!({"value": "", "client_secret": {"value": "ek_1", "expires_at": 1_795_336_200}}),
    ] {
        assert!(
            read(&block, reply.clone()).unwrap_err().0.contains("`value`"),
            "{reply}"
        );
    }
    assert!(
        fixture::answer(&block, 0, b"")
            .unwrap_err()
            .0
            .contains("no JSON object")
    );
    assert!(
        fixture::answer(&block, 0, b"\"ek_1\"")
            .unwrap_err()
            .0
            .contains("no JSON object")
    );
}

#[test]
fn the_config_names_the_model() {
    let reply = |model: Value| json!({"value": "ek_1", "expires_at": 1_795_336_200, "session": {"model": model}});
    let model = |kind: &str, given: Value| {
        let block = block(json!({"kind": kind, "model": "asked"}));
        Value::Object(read(&block, reply(given)).unwrap().config)
    };
    assert_eq!(model("Realtime", json!("granted")), json!({"model": "granted"}));
    for none in [json!(null), json!(""), json!(17), json!({})] {
        assert_eq!(model("Realtime", none), json!({"model": "asked"}));
    }
    assert_eq!(model("Transcription", json!("other")), json!({"model": "asked"}));
    assert_eq!(model("Translation", json!("other")), json!({"model": "asked"}));
}

#[test]
fn regions_have_hosts_of_their_own() {
    let endpoint = |account: Value| {
        let mut value = json!({"model": "m"});
        value
            .as_object_mut()
            .unwrap()
            .extend(account.as_object().unwrap().clone());
        match block(value).endpoint() {
            Endpoint::BuiltIn(origin) => origin.to_owned(),
            Endpoint::Custom(origin) => format!("custom {origin}"),
            Endpoint::Tenant(_) | Endpoint::Local => panic!("OpenAI is asked"),
        }
    };
    assert_eq!(endpoint(json!({})), "https://api.openai.com");
    assert_eq!(endpoint(json!({"region": "Global"})), "https://api.openai.com");
    assert_eq!(endpoint(json!({"region": "US"})), "https://us.api.openai.com");
    assert_eq!(endpoint(json!({"region": "EU"})), "https://eu.api.openai.com");
    assert_eq!(
        endpoint(json!({"region": "EU", "endpoint": "https://gw.example"})),
        "custom https://gw.example"
    );
}
