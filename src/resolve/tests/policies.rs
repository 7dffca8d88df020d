//! What a policy lets a token be for, in every provider's fields.

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

fn rooms() -> Value {
    json!({"allowedRooms": ["{{ namespace }}_*", "lobby"]})
}

/// What opens this room, in each provider that has rooms.
fn opening(room: &str) -> [Value; 5] {
    [
        json!({"livekit": {"identity": "i", "video": {"roomJoin": true, "room": room}}}),
        json!({"twilio": {"identity": "i", "video": {"room": room}}}),
        json!({"daily": {"roomName": room}}),
        json!({"agora": {"rtc": {"channel": room}}}),
        json!({"jwt": {"params": {"room": room, "model": "m"}}}),
    ]
}

fn in_namespace(namespace: &str, block: &Value, policy: &Value, subject: Option<&str>) -> Result<Resolved, Blocked> {
    let mut spec = borrowing(block);
    if subject.is_some() {
        spec["requests"] = json!({"subject": "Required"});
        spec["target"] = json!({"content": "Connection"});
    }
    let lent = provider(&lending(block, policy));
    let context = ResolveContext {
        provider: Some(&lent),
        namespace_labels: &BTreeMap::new(),
        operator_namespace: "operator",
        endpoints: &EndpointPolicy::default(),
        metadata: &MetadataPolicy::default(),
    };
    resolve_for(&token_named("voice", namespace, &spec), subject, &context)
}

#[test]
fn tenants_of_one_account_open_their_own_rooms_only() {
    for tenant in ["shop", "shop-b"] {
        let open = |room: &str, allowed: bool| {
            for block in opening(room) {
                for subject in [None, Some("u_1")] {
                    let answer = in_namespace(tenant, &block, &rooms(), subject);
                    assert_eq!(answer.is_ok(), allowed, "{tenant} {block}");
                    if let Err(blocked) = answer {
                        assert_eq!(blocked.reason, Reason::FieldNotAllowed);
                        let says = format!("{room} is not among the ClusterRealtimeProvider's policy.allowedRooms");
                        assert!(blocked.message.contains(&says), "{}", blocked.message);
                    }
                }
            }
        };
        open("shop_lobby", tenant == "shop");
        open("shop-b_lobby", tenant == "shop-b");
        open("lobby", true);
        open("other_lobby", false);
        open("lobby2", false);
    }
}

#[test]
fn without_a_room_there_is_none_to_hold_against_the_list() {
    for block in [
        json!({"livekit": {"identity": "i"}}),
        json!({"livekit": {"identity": "i", "video": {"canPublish": true}}}),
        json!({"twilio": {"identity": "i", "video": {}}}),
        json!({"agora": {"rtm": {"userId": "u"}}}),
        json!({"jwt": {"params": {"model": "m", "room": 1}}}),
        json!({"deepgram": {}}),
    ] {
        assert_eq!(
            refused(asked(&block, &rooms()), "bound to no room"),
            Reason::FieldNotAllowed,
            "{block}"
        );
    }
    let livekit = &opening("lobby")[0];
    let reason = refused(
        asked(livekit, &json!({"allowedModels": ["lobby"]})),
        "bound to no model",
    );
    assert_eq!(reason, Reason::ModelNotAllowed);
}

#[test]
fn what_reaches_beyond_the_room_is_refused_unless_it_is_listed() {
    let grants = [
        "roomCreate",
        "roomList",
        "roomRecord",
        "ingressAdmin",
        "recorder",
        "agent",
        "canManageAgentSession",
    ];
    let mut beyond: Vec<(Value, String)> = grants
        .iter()
        .map(|grant| {
            (
                json!({"livekit": {"video": {*grant: true}}}),
                format!("livekit.video.{grant}"),
            )
        })
        .collect();
    for (more, field) in [
        (
            json!({"livekit": {"video": {"destinationRoom": "lobby"}}}),
            "livekit.video.destinationRoom",
        ),
        (json!({"livekit": {"sip": {"admin": true}}}), "livekit.sip"),
        (
            json!({"livekit": {"inference": {"perform": true}}}),
            "livekit.inference",
        ),
        (json!({"livekit": {"agent": {"admin": true}}}), "livekit.agent"),
        (
            json!({"livekit": {"observability": {"write": true}}}),
            "livekit.observability",
        ),
        (
            json!({"livekit": {"agentEndpoint": {"call": true}}}),
            "livekit.agentEndpoint",
        ),
        (
            json!({"livekit": {"agentThread": {"all": true}}}),
            "livekit.agentThread",
        ),
        (json!({"livekit": {"roomPreset": "p"}}), "livekit.roomPreset"),
        (json!({"livekit": {"sha256": "x"}}), "livekit.sha256"),
        (json!({"livekit": {"kind": "egress"}}), "livekit.kind"),
        (
            json!({"livekit": {"roomConfig": {"agents": [{"agentName": "a"}]}}}),
            "livekit.roomConfig.agents",
        ),
        (
            json!({"livekit": {"roomConfig": {"egress": {"room": {}}}}}),
            "livekit.roomConfig.egress",
        ),
        (
            json!({"livekit": {"roomConfig": {"name": "other"}}}),
            "livekit.roomConfig.name",
        ),
        (json!({"twilio": {"voice": {"incomingAllow": true}}}), "twilio.voice"),
        (json!({"twilio": {"chat": {}}}), "twilio.chat"),
        (json!({"twilio": {"dataSync": {}}}), "twilio.dataSync"),
        (json!({"twilio": {"taskRouter": {}}}), "twilio.taskRouter"),
        (json!({"twilio": {"player": {}}}), "twilio.player"),
        (
            json!({"daily": {"startCloudRecording": true}}),
            "daily.startCloudRecording",
        ),
        (json!({"daily": {"enableRecording": "Cloud"}}), "daily.enableRecording"),
        (
            json!({"daily": {"permissions": {"other": true}}}),
            "daily.permissions.other",
        ),
        (json!({"agora": {"rtm": {"userId": "u"}}}), "agora.rtm"),
    ] {
        beyond.push((more, field.to_owned()));
    }
    let room = |field: &str| {
        opening("lobby")
            .into_iter()
            .find(|block| field_of(block) == field)
            .unwrap()
    };
    for (more, field) in beyond {
        let mut block = room(field_of(&more));
        merge(&mut block, &more);
        refuses(&block, &rooms(), Reason::FieldNotAllowed, &field);
        let listed = json!({"allowedRooms": ["lobby"], "allowedFields": [field]});
        assert!(
            asked(&block, &listed).is_ok(),
            "{block}: {:?}",
            asked(&block, &listed).err()
        );
    }
    for within in [
        json!({"livekit": {"video": {"canPublish": false, "hidden": true, "roomAdmin": true, "roomCreate": false}}}),
        json!({"livekit": {"kind": "standard", "attributes": {"a": "b"}, "roomConfig": {"maxParticipants": 2}}}),
        json!({"daily": {"isOwner": true, "startCloudRecording": false, "permissions": {"canSend": ["audio"]}}}),
        json!({"agora": {"rtc": {"role": "Subscriber"}}}),
    ] {
        let mut block = room(field_of(&within));
        merge(&mut block, &within);
        assert!(
            asked(&block, &rooms()).is_ok(),
            "{block}: {:?}",
            asked(&block, &rooms()).err()
        );
    }
}

#[test]
fn identities_are_the_tenants_own() {
    let policy = json!({"allowedIdentities": ["{{ namespace }}_*"], "allowedFields": ["agora.rtm", "twilio.chat"]});
    for (field, block) in [
        ("livekit.identity", json!({"livekit": {"identity": "WHO"}})),
        ("twilio.identity", json!({"twilio": {"identity": "WHO", "chat": {}}})),
        ("daily.userId", json!({"daily": {"roomName": "r", "userId": "WHO"}})),
        (
            "agora.rtc.account",
            json!({"agora": {"rtc": {"channel": "c", "account": "WHO"}}}),
        ),
        ("agora.rtm.userId", json!({"agora": {"rtm": {"userId": "WHO"}}})),
        (
            "speechmatics.clientRef",
            json!({"speechmatics": {"kind": "Batch", "clientRef": "WHO"}}),
        ),
        (
            "openai.safetyIdentifier",
            json!({"openai": {"model": "m", "safetyIdentifier": "WHO"}}),
        ),
    ] {
        let of = |who: &str| serde_json::from_str::<Value>(&block.to_string().replace("WHO", who)).unwrap();
        assert!(in_namespace("apps", &of("apps_1"), &policy, None).is_ok(), "{field}");
        refuses(&of("shop_1"), &policy, Reason::FieldNotAllowed, field);
        // On request the subject takes its place, and isn't repeated.
        assert!(
            in_namespace("apps", &of("x"), &policy, Some("apps_1")).is_ok(),
            "{field}"
        );
        let blocked = in_namespace("apps", &of("x"), &policy, Some("shop_1")).unwrap_err();
        assert_eq!(blocked.reason, Reason::FieldNotAllowed, "{field}");
        assert!(!blocked.message.contains("shop_1"), "{}", blocked.message);
    }
    for anyone in [
        json!({"livekit": {"name": "apps_1"}}),
        json!({"agora": {"rtc": {"channel": "c"}}}),
        json!({"agora": {"rtc": {"channel": "c"}, "rtm": {"userId": "apps_1"}}}),
        json!({"deepgram": {}}),
    ] {
        assert_eq!(
            refused(asked(&anyone, &policy), "bound to no identity"),
            Reason::FieldNotAllowed,
            "{anyone}"
        );
    }
}

/// Before anyone has asked the identity is made up, and not the tenant's to blame for.
#[test]
fn an_identity_that_callers_will_name_is_not_checked_before() {
    let mut spec = borrowing(&json!({"livekit": {"video": {"room": "r"}}}));
    spec["requests"] = json!({"subject": "Required"});
    spec["target"] = json!({"content": "Connection"});
    let lent = lending(&json!({"livekit": {}}), &json!({"allowedIdentities": ["apps_*"]}));
    assert!(resolved(&spec, Some(&lent)).is_ok());
}

/// `{{ namespace }}` of a lent template is the tenant's, whatever it sets.
#[test]
fn a_lent_template_binds_tenants_by_their_namespace() {
    for namespace in ["shop", "shop-b"] {
        let found = in_namespace(namespace, &opening("lobby")[4], &json!({}), None).unwrap();
        assert_eq!(found.ask.namespace, namespace);
    }
    let claims = |claims: Value| {
        let mut lent = lending(&json!({"jwt": {}}), &json!({}));
        lent["jwt"]["claims"] = claims;
        borrowed(&json!({"jwt": {"params": {"room": "b"}}}), &lent)
    };
    for unsafe_text in [
        "{{ namespace }}-{{ params.room }}",
        "{{ namespace }}{{ params.room }}",
        "{{ params.room }}x{{ namespace }}",
        "{{ namespace ~ '_' ~ params.room }}",
    ] {
        let reason = refused(claims(json!({"room": unsafe_text})), "{{ namespace }}");
        assert_eq!(reason, Reason::InvalidSpec, "{unsafe_text}");
    }
    for text in [
        "{{ namespace }}_{{ params.room }}",
        "{{ params.room }}@{{ namespace }}",
        "{{ params.room }}",
    ] {
        let also = json!({"room": text, "fixed": "{{ namespace }}-{{ uuid }}"});
        assert!(claims(also).is_ok(), "{text}");
    }
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
