//! Who a token on request is for.

use super::*;

fn on_request(block: &Value, subject: &str, content: &str) -> Value {
    let mut spec = with_own_key(block);
    spec["requests"] = json!({"subject": subject});
    spec["target"] = json!({"content": content});
    spec
}

fn resolved_for(spec: &Value, provider_spec: Option<&Value>, subject: Option<&str>) -> Result<Resolved, Blocked> {
    let provider = provider_spec.map(provider);
    let context = ResolveContext {
        provider: provider.as_ref(),
        namespace_labels: &BTreeMap::new(),
        operator_namespace: "operator",
        endpoints: &EndpointPolicy::parse(["https://gateway.example.com"]).unwrap(),
        metadata: &MetadataPolicy::default(),
    };
    resolve_for(&token(spec), subject, &context)
}

/// Posts to a path with this segment in it.
fn http(segment: &str) -> Value {
    json!({"http": {
        "endpoint": "https://gateway.example.com",
        "request": {"path": format!("/users/{segment}/tokens")},
        "ttl": {"fixedSeconds": 600},
        "response": {"token": "/token", "expiry": [{"from": "Ttl"}]},
    }})
}

fn field(found: &Resolved, pointer: &str) -> Value {
    let block = serde_json::to_value(&found.ask.block).unwrap();
    block.pointer(pointer).cloned().unwrap_or_default()
}

#[test]
fn a_subject_takes_the_place_of_the_specs() {
    let spec = on_request(
        &json!({"openai": {"model": "m", "safetyIdentifier": "kiosk"}}),
        "Optional",
        "Token",
    );
    let own = resolved_for(&spec, None, None).unwrap();
    assert_eq!(
        (field(&own, "/safetyIdentifier"), own.ask.subject),
        (json!("kiosk"), None)
    );
    let named = resolved_for(&spec, None, Some("u_5f3a")).unwrap();
    assert_eq!(field(&named, "/safetyIdentifier"), "u_5f3a");
    assert_eq!(named.ask.subject.as_deref(), Some("u_5f3a"));
    assert_ne!(own.fingerprint, named.fingerprint);
}

/// Only then is the kind of the account known.
#[test]
fn the_place_may_depend_on_a_lent_account() {
    let lent = json!({
        "iceServers": {"kind": "Coturn", "urls": ["turn:turn.example.com"]},
        "credentials": {"secretRef": {"name": "platform-key"}},
        "namespaceSelector": {},
    });
    let mut spec = borrowing(&json!({"iceServers": {}}));
    spec["requests"] = json!({});
    let named = resolved_for(&spec, Some(&lent), Some("u_5f3a")).unwrap();
    assert_eq!(field(&named, "/user"), "u_5f3a");
    let reason = refused(
        resolved_for(&spec, Some(&lent), Some("a:b")),
        "subject: iceServers.user",
    );
    assert_eq!(reason, Reason::InvalidSpec);
}

/// Before anyone has asked, such a spec is as valid as it will be.
#[test]
fn a_field_may_be_left_out_where_every_token_has_a_subject() {
    let joins = json!({"livekit": {"video": {"roomJoin": true, "room": "r"}}});
    let always = on_request(&joins, "Required", "Connection");
    assert!(resolved_for(&always, None, None).is_ok());
    let named = resolved_for(&always, None, Some("u_5f3a")).unwrap();
    assert_eq!(field(&named, "/identity"), "u_5f3a");
    for (subject, content) in [
        ("Required", "Token"),
        ("Optional", "Connection"),
        ("Ignored", "Connection"),
    ] {
        let spec = on_request(&joins, subject, content);
        refused(resolved_for(&spec, None, None), "livekit.identity: who joins");
    }
    // The stand-in fits where a number is wanted.
    let numbered = json!({"agora": {"rtc": {"channel": "c", "uid": 7}, "rtm": {"userId": "u"}}});
    assert!(resolved_for(&on_request(&numbered, "Required", "Connection"), None, None).is_ok());
}

#[test]
fn the_placeholder_needs_a_subject_for_every_token() {
    let jwt = json!({"jwt": {"algorithm": "HS256", "claims": {"sub": "{{ subject }}"}}});
    for block in [http("{{ subject }}"), jwt] {
        let always = on_request(&block, "Required", "Connection");
        assert!(resolved_for(&always, None, None).is_ok(), "{block}");
        assert!(resolved_for(&always, None, Some("u_5f3a")).is_ok(), "{block}");
        let others = [
            ("Required", "Token"),
            ("Optional", "Connection"),
            ("Ignored", "Connection"),
        ];
        let others = others.map(|(subject, content)| on_request(&block, subject, content));
        for spec in others.into_iter().chain([with_own_key(&block)]) {
            let answer = resolved_for(&spec, None, None);
            let reason = refused(
                answer,
                "set target.content to Connection and requests.subject to Required",
            );
            assert_eq!(reason, Reason::InvalidSpec, "{spec}");
        }
    }
}

/// Also where the platform team wrote it.
#[test]
fn a_lent_accounts_placeholder_needs_one_too() {
    let lent = json!({
        "jwt": {"algorithm": "HS256", "claims": {"sub": "{{ subject }}"}},
        "credentials": {"secretRef": {"name": "platform-key"}},
        "namespaceSelector": {},
    });
    let mut spec = borrowing(&json!({"jwt": {}}));
    refused(resolved_for(&spec, Some(&lent), None), "requests.subject to Required");
    spec["requests"] = json!({"subject": "Required"});
    spec["target"] = json!({"content": "Connection"});
    assert!(resolved_for(&spec, Some(&lent), None).is_ok());
}

#[test]
fn a_subject_that_breaks_the_request_is_refused_before_it_is_sent() {
    let spec = on_request(&http("{{ subject }}"), "Required", "Connection");
    for subject in ["..", "."] {
        let reason = refused(resolved_for(&spec, None, Some(subject)), "subject: http.request.path");
        assert_eq!(reason, Reason::InvalidSpec);
    }
    for subject in ["...", "%2e%2e", "a/../b", "{{uuid}}"] {
        assert!(resolved_for(&spec, None, Some(subject)).is_ok(), "{subject}");
    }
    let number = on_request(&http("{{ subject | int }}"), "Required", "Connection");
    assert!(resolved_for(&number, None, None).is_ok());
    assert!(resolved_for(&number, None, Some("42")).is_ok());
    refused(
        resolved_for(&number, None, Some("u_5f3a")),
        "subject: http.request.path",
    );
}
