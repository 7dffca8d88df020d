//! What a caller may ask for beside the spec.

mod hostile;

use serde_json::Map;

use super::super::customize::{Customization, Refused, customized};
use super::*;

/// A RealtimeToken for OpenAI with an own key, on request, where callers may set these fields.
fn spec(overridable: &[&str]) -> Value {
    let mut spec = with_own_key(&json!({"openai": {
        "model": "gpt-realtime-2.1",
        "session": {"instructions": "Be kind.", "audio": {"output": {"voice": "marin", "speed": 1}}},
    }}));
    spec["expirationSeconds"] = 600.into();
    spec["requests"] = json!({"subject": "Optional", "overridable": overridable});
    spec
}

fn asking(overrides: &Value) -> Customization {
    Customization {
        subject: None,
        overrides: overrides.as_object().cloned(),
    }
}

/// The spec as the caller wants it.
fn with(overridable: &[&str], overrides: &Value) -> Result<Value, Refused> {
    with_spec(&spec(overridable), overrides)
}

fn with_spec(spec: &Value, overrides: &Value) -> Result<Value, Refused> {
    let customized = customized(&token(spec), &asking(overrides))?;
    Ok(serde_json::to_value(customized.spec).unwrap())
}

fn not_overridable(field: &str) -> Result<Value, Refused> {
    Err(Refused::NotOverridable {
        field: field.to_owned(),
    })
}

#[track_caller]
fn assert_invalid(answer: Result<Value, Refused>, says: &str) {
    match answer {
        Err(Refused::Invalid { problem }) => assert!(problem.contains(says), "{problem}"),
        other => panic!("{other:?} instead of {says}"),
    }
}

#[test]
fn listed_fields_are_set_and_the_rest_stays() {
    let overridable = [
        "expirationSeconds",
        "openai.session.instructions",
        "openai.session.audio",
    ];
    let overrides = json!({
        "expirationSeconds": 60,
        "openai": {"session": {"instructions": "Speak German.", "audio": {"output": {"voice": "cedar"}}}},
    });
    let found = with(&overridable, &overrides).unwrap();
    assert_eq!(found["expirationSeconds"], 60);
    assert_eq!(
        found["openai"]["session"],
        json!({"instructions": "Speak German.", "audio": {"output": {"voice": "cedar", "speed": 1}}})
    );
    assert_eq!(found["openai"]["model"], "gpt-realtime-2.1");
    let mut untouched = spec(&overridable);
    untouched["requests"] = found["requests"].clone();
    for field in ["credentials", "requests"] {
        assert_eq!(found[field], untouched[field]);
    }
}

#[test]
fn asking_for_nothing_changes_nothing() {
    let own = token(&spec(&[]));
    for overrides in [None, Some(Map::new())] {
        let asked = Customization {
            subject: None,
            overrides,
        };
        assert_eq!(customized(&own, &asked).unwrap(), own);
    }
}

#[test]
fn metadata_and_status_stay() {
    let mut own = token(&spec(&["expirationSeconds"]));
    own.metadata.uid = Some("u".to_owned());
    own.status = Some(serde_json::from_value(json!({"revision": 7})).unwrap());
    let found = customized(&own, &asking(&json!({"expirationSeconds": 60}))).unwrap();
    assert_eq!((&found.metadata, &found.status), (&own.metadata, &own.status));
    assert_ne!(found.spec, own.spec);
}

#[test]
fn arrays_take_the_place_of_arrays_and_empty_objects_of_what_is_no_object() {
    let mut spec = spec(&["openai.session"]);
    spec["openai"]["session"]["modalities"] = json!(["audio", "text"]);
    let overridden = |session: Value| {
        let found = with_spec(&spec, &json!({"openai": {"session": session}})).unwrap();
        found["openai"]["session"].clone()
    };
    assert_eq!(
        overridden(json!({"modalities": ["text"]}))["modalities"],
        json!(["text"])
    );
    assert_eq!(overridden(json!({"modalities": []}))["modalities"], json!([]));
    assert_eq!(overridden(json!({"modalities": {}}))["modalities"], json!({}));
    assert_eq!(
        overridden(json!({"audio": {}}))["audio"],
        spec["openai"]["session"]["audio"]
    );
    assert_eq!(overridden(json!({})), spec["openai"]["session"]);
}

fn resolve_customized(spec: &Value, provider_spec: Option<&Value>, overrides: &Value) -> Result<Resolved, Blocked> {
    let customized = customized(&token(spec), &asking(overrides)).unwrap();
    resolved(&serde_json::to_value(customized.spec).unwrap(), provider_spec)
}

#[test]
fn the_policy_of_a_lent_account_holds() {
    let mut own = spec(&["openai.model", "expirationSeconds"]);
    own["credentials"] = json!({"providerRef": {"name": "platform"}});
    let mut lent = lent();
    lent["policy"] = json!({"allowedModels": ["gpt-realtime-*"], "maxExpirationSeconds": 900});
    let asked = |overrides: Value| resolve_customized(&own, Some(&lent), &overrides);
    let found = asked(json!({"openai": {"model": "gpt-realtime-mini"}, "expirationSeconds": 900})).unwrap();
    assert_eq!(found.ask.block.provider().bound_model(), Some("gpt-realtime-mini"));
    assert_eq!(found.ask.expiration, SignedDuration::from_secs(900));
    let answer = asked(json!({"openai": {"model": "gpt-5-realtime"}}));
    assert_eq!(refused(answer, "allowedModels"), Reason::ModelNotAllowed);
    let answer = asked(json!({"expirationSeconds": 901}));
    assert_eq!(refused(answer, "maxExpirationSeconds"), Reason::ExpirationNotAllowed);
}

#[test]
fn subjects() {
    let of = |used: Option<&str>, subject: Option<&str>| {
        let mut spec = spec(&[]);
        spec["requests"] = used.map_or(Value::Null, |used| json!({"subject": used}));
        let token = token(&spec);
        let asked = Customization {
            subject: subject.map(str::to_owned),
            overrides: None,
        };
        let found = asked.subject_for(&token).map(|subject| subject.map(str::to_owned));
        assert_eq!(customized(&token, &asked).err(), found.clone().err());
        found
    };
    let named = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(of(Some("Required"), None), Err(Refused::SubjectRequired));
    assert_eq!(of(Some("Required"), Some("u_1")), named("u_1"));
    assert_eq!(of(Some("Optional"), None), Ok(None));
    assert_eq!(of(Some("Optional"), Some("u_1")), named("u_1"));
    assert_eq!(of(Some("Ignored"), Some("u_1")), Ok(None));
    assert_eq!(of(None, None), Ok(None));
    let long = "u".repeat(129);
    for used in ["Required", "Optional", "Ignored"] {
        assert!(of(Some(used), Some(&long[1..])).is_ok());
        for wrong in ["", "a b", "zoë", "u\r\nx: y", "u\0", &long] {
            let refused = of(Some(used), Some(wrong)).unwrap_err();
            assert!(
                matches!(&refused, Refused::Invalid { problem } if problem.starts_with("subject: ")),
                "{refused}"
            );
            assert!(wrong.is_empty() || !refused.to_string().contains(wrong));
        }
    }
}

#[test]
fn listed_fields_that_do_not_exist_are_named() {
    let said = |overridable: &[&str]| unknown_overridable(&token(&spec(overridable)).spec);
    for known in [
        "expirationSeconds",
        "openai.model",
        "openai.session",
        "openai.session.anything.below",
    ] {
        assert_eq!(said(&[known]), None, "{known}");
    }
    for (field, why) in [
        ("expirationSecond", "no such field"),
        ("openai.sesion.instructions", "no such field"),
        ("openai.model.name", "no such field"),
        ("Openai.model", "no such field"),
        ("openai", "one by one"),
        ("openai.endpoint", "belongs to the account"),
        ("elevenlabs.agentId", "not the provider block"),
        ("credentials.secretRef.name", "only expirationSeconds"),
        ("suspend", "only expirationSeconds"),
        ("", "no such field"),
    ] {
        let said = said(&["openai.model", field]).unwrap();
        let expected = format!("requests.overridable: {field}: ");
        assert!(said.starts_with(&expected) && said.contains(why), "{said}");
    }
}
