//! What a policy lets a token be for, in every provider's fields.

mod rooms;

use super::*;
use crate::api::{FieldUse, PROVIDER_FIELDS};

/// A ClusterRealtimeProvider of this block's provider.
fn lending(block: &Value, policy: &Value) -> Value {
    let field = block.as_object().unwrap().keys().next().unwrap();
    let account = match field.as_str() {
        "azureOpenAI" => json!({"resource": "r"}),
        "jwt" => json!({"algorithm": "HS256", "claims": {
            "room": "{{ namespace }}/{{ params.room }}", "model": "{{ params.model }}",
        }}),
        _ => json!({}),
    };
    json!({
        (field): account, "credentials": {"secretRef": {"name": "platform-key"}}, "namespaceSelector": {}, "policy": policy,
    })
}

fn asked(block: &Value, policy: &Value) -> Result<Resolved, Blocked> {
    borrowed(block, &lending(block, policy))
}

#[track_caller]
fn refuses(block: &Value, policy: &Value, reason: Reason, field: &str) {
    let blocked = asked(block, policy).expect_err(&format!("{block}"));
    assert_eq!(blocked.reason, reason, "{}", blocked.message);
    assert!(
        blocked.message.starts_with(&format!("{field}: ")),
        "{field}: {}",
        blocked.message
    );
}

fn merge(into: &mut Value, more: &Value) {
    match (into.as_object_mut(), more.as_object()) {
        (Some(into), Some(more)) => more
            .iter()
            .for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value)),
        _ => *into = more.clone(),
    }
}

fn session(session: &Value) -> [Value; 2] {
    [
        json!({"openai": {"model": "gpt-realtime-2.1", "session": session}}),
        json!({"azureOpenAI": {"deployment": "gpt-realtime-2.1", "session": session}}),
    ]
}

fn field_of(block: &Value) -> &str {
    block.as_object().unwrap().keys().next().unwrap()
}

fn models() -> Value {
    json!({"allowedModels": ["gpt-realtime-*", "gpt-4o-transcribe"]})
}

#[test]
fn models_within_a_session_are_held_against_the_list() {
    let transcribing = |model: &str| session(&json!({"audio": {"input": {"transcription": {"model": model}}}}));
    for block in transcribing("gpt-4o-transcribe") {
        assert!(asked(&block, &models()).is_ok());
    }
    for block in transcribing("whisper-1") {
        let field = format!("{}.session.audio.input.transcription.model", field_of(&block));
        refuses(&block, &models(), Reason::ModelNotAllowed, &field);
        assert!(
            asked(&block, &json!({"maxExpirationSeconds": 3600})).is_ok(),
            "no list, any model"
        );
        let anything =
            json!({"allowedModels": ["gpt-realtime-*"], "allowedFields": [format!("{}.session", field_of(&block))]});
        refuses(&block, &anything, Reason::ModelNotAllowed, &field);
    }
}

#[test]
fn what_reaches_out_or_is_not_known_is_refused_by_any_policy() {
    let mcp = json!([{"type": "function", "name": "f"}, {"type": "mcp", "server_label": "x", "server_url": "https://evil.example"}]);
    for (part, at) in [
        (json!({"tools": mcp}), "tools.type"),
        (
            json!({"tools": [{"server_url": "https://evil.example"}]}),
            "tools.server_url",
        ),
        (
            json!({"tools": [{"connector_id": "connector_gmail"}]}),
            "tools.connector_id",
        ),
        (json!({"prompt": {"id": "pmpt_1"}}), "prompt"),
        (json!({"tracing": "auto"}), "tracing"),
        (json!({"tracing": {"workflow_name": "w"}}), "tracing"),
        (
            json!({"audio": {"output": {"voice": {"id": "voice_1"}}}}),
            "audio.output.voice.id",
        ),
        (json!({"audio": "x"}), "audio"),
        (json!({"brand_new": {"x": 1}}), "brand_new"),
        (json!({"brand_new": {}}), "brand_new"),
        (json!({"brand_new": false}), "brand_new"),
        (json!({"audio": {"input": {"brand_new": 1}}}), "audio.input.brand_new"),
    ] {
        for block in session(&part) {
            let field = format!("{}.session.{at}", field_of(&block));
            for policy in [models(), json!({"maxExpirationSeconds": 3600}), json!({})] {
                refuses(&block, &policy, Reason::FieldNotAllowed, &field);
            }
            // The platform team says which of it is meant.
            for listed in [field.as_str(), field.rsplit_once('.').unwrap().0] {
                let others = format!("{}.session.tools", field_of(&block));
                let policy = json!({"allowedFields": [listed, others]});
                assert!(asked(&block, &policy).is_ok(), "{listed} for {block}");
            }
            let own = with_own_key(&block);
            if field_of(&block) == "openai" {
                assert!(
                    resolved(&own, None).is_ok(),
                    "a key of one's own knows no policy: {block}"
                );
            }
        }
    }
}

#[test]
fn overrides_meet_the_policy_wherever_they_land() {
    use crate::resolve::customize::{Customization, customized};
    let lent = lending(&json!({"openai": {}}), &models());
    let overridden = |session: Value| {
        let mut spec = borrowing(&openai());
        spec["requests"] = json!({"subject": "Ignored", "overridable": ["openai.session"]});
        let asked = Customization {
            subject: None,
            overrides: json!({"openai": {"session": session}}).as_object().cloned(),
        };
        let token = customized(&token(&spec), &asked).unwrap();
        resolved(&serde_json::to_value(token.spec).unwrap(), Some(&lent))
    };
    assert!(overridden(json!({"instructions": "Be brief."})).is_ok());
    let transcription = json!({"audio": {"input": {"transcription": {"model": "whisper-1"}}}});
    let reason = refused(overridden(transcription), "whisper-1 is not among");
    assert_eq!(reason, Reason::ModelNotAllowed);
    let tools = json!({"tools": [{"type": "mcp", "server_url": "https://evil.example"}]});
    assert_eq!(
        refused(overridden(tools), "openai.session.tools.type: "),
        Reason::FieldNotAllowed
    );
}

#[test]
fn what_a_session_usually_has_passes() {
    let usual = json!({
        "instructions": "Be brief.", "output_modalities": ["audio"], "max_output_tokens": "inf", "include": [],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "gpt-4o-transcribe", "language": "de"},
                "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
            },
            "output": {"voice": "marin", "speed": 1.1},
        },
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"properties": {"server_url": {}}}}],
        "tool_choice": {"type": "function", "name": "f"}, "reasoning": {"effort": "low"}, "truncation": "auto",
        "prompt": null, "tracing": null,
    });
    for block in session(&usual) {
        asked(&block, &models()).unwrap_or_else(|blocked| panic!("{}", blocked.message));
    }
    let gemini = json!({"gemini": {"model": "gemini-live", "setup": {
        "generationConfig": {"temperature": 1, "responseModalities": ["AUDIO"], "speechConfig": {"languageCode": "de-DE"}},
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}], "sessionResumption": {},
    }}});
    let policy = json!({"allowedModels": ["gemini-*"], "maxExpirationSeconds": 3600});
    asked(&gemini, &policy).unwrap_or_else(|blocked| panic!("{}", blocked.message));
}

#[test]
fn gemini_runs_no_tools_and_reads_no_files_unasked() {
    for (setup, at) in [
        (json!({"tools": [{"googleSearch": {}}]}), "tools.googleSearch"),
        (json!({"tools": [{"codeExecution": {}}]}), "tools.codeExecution"),
        (
            json!({"systemInstruction": {"parts": [{"fileData": {"fileUri": "files/1"}}]}}),
            "systemInstruction.parts.fileData",
        ),
        (json!({"cachedContent": "cachedContents/1"}), "cachedContent"),
        (
            json!({"generationConfig": {"speechConfig": {"voiceConfig": {"replicatedVoiceConfig": {}}}}}),
            "generationConfig.speechConfig.voiceConfig.replicatedVoiceConfig",
        ),
    ] {
        let block = json!({"gemini": {"model": "m", "setup": setup}});
        refuses(
            &block,
            &json!({}),
            Reason::FieldNotAllowed,
            &format!("gemini.setup.{at}"),
        );
    }
    // What isn't locked is the client's to choose, tools included.
    let masked = json!({"gemini": {"model": "m", "fieldMask": ["model"]}});
    refuses(
        &masked,
        &json!({"allowedModels": ["m"]}),
        Reason::FieldNotAllowed,
        "gemini.fieldMask",
    );
    let reason = refused(
        asked(&json!({"gemini": {}}), &json!({})),
        "leaves everything to its holder",
    );
    assert_eq!(reason, Reason::FieldNotAllowed);
    let unlocked = json!({"gemini": {"model": "m", "fieldMask": ["generationConfig.temperature"]}});
    let reason = refused(asked(&unlocked, &json!({"allowedModels": ["m"]})), "bound to no model");
    assert_eq!(reason, Reason::ModelNotAllowed);
}

/// The token goes on for that long at Google.
#[test]
fn sessions_of_gemini_end_within_the_maximum() {
    let of = |expiration: Option<i64>, session: Option<i64>, maximum: i64| {
        let mut block = json!({"gemini": {"model": "m"}});
        block["gemini"]["sessionSeconds"] = json!(session);
        let mut spec = borrowing(&block);
        spec["expirationSeconds"] = json!(expiration);
        let answer = resolved(
            &spec,
            Some(&lending(
                &json!({"gemini": {}}),
                &json!({"maxExpirationSeconds": maximum}),
            )),
        );
        answer.map(|found| found.ask.expiration.as_secs()).map_err(|blocked| {
            assert!(blocked.message.contains("maxExpirationSeconds"), "{}", blocked.message);
            blocked.reason
        })
    };
    let too_long = Err(Reason::ExpirationNotAllowed);
    assert_eq!(of(None, None, 3600), Ok(1800));
    assert_eq!(of(None, None, 3599), too_long);
    assert_eq!(of(Some(600), Some(600), 1200), Ok(600));
    assert_eq!(of(Some(600), Some(601), 1200), too_long);
    assert_eq!(of(Some(60), Some(71_640), 3600), too_long);
    assert_eq!(of(None, Some(0), 600), Ok(600));
}

/// A field that is new to a block is looked at here, before a policy meets it.
#[test]
fn every_field_of_a_tenant_is_known_to_policies() {
    let crd = crate::api::crds().unwrap().remove(0);
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
    let spec = &schema["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let crd = crate::api::crds().unwrap().remove(1);
    let lent = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
    let lent = &lent["openAPIV3Schema"]["properties"]["spec"]["properties"];
    for (field, facts) in PROVIDER_FIELDS.iter().zip(Block::every_facts()) {
        let uses: Vec<_> = facts.fields.iter().copied().flatten().collect();
        let account = lent[field]["properties"].as_object().cloned().unwrap_or_default();
        let fields = spec[field]["properties"].as_object().unwrap();
        for name in fields.keys().filter(|name| !account.contains_key(*name)) {
            let is_known = uses.iter().any(|(path, _)| path.split('.').next() == Some(name));
            assert!(
                is_known,
                "{field}.{name}: say in the facts of {} what it means to a policy",
                facts.title
            );
        }
        for (path, use_) in uses {
            let first = path.split('.').next().unwrap();
            assert!(fields.contains_key(first), "{field}.{path}: there is no such field");
            assert!(!matches!(use_, FieldUse::Guarded("")), "{field}.{path}: say why");
        }
    }
}
