//! Rooms, identities and what binds tenants of one account to their own.

use super::*;

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
