//! What a caller may ask for beside the spec, and what comes of hostile bodies.

use serde_json::Map;

use super::super::customize::{Customization, Refused, customized};
use super::*;
use crate::api::Blocks;

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

/// Whether it is refused by the name of this field.
#[track_caller]
fn assert_named(overridable: &[&str], overrides: Value, field: &str) {
    assert_eq!(with(overridable, &overrides), not_overridable(field), "{overrides}");
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
fn other_fields_are_refused_by_name() {
    let session = ["openai.session.instructions"];
    for (overrides, field) in [
        (json!({"expirationSeconds": 60}), "expirationSeconds"),
        (json!({"openai": {"model": "m"}}), "openai.model"),
        (
            json!({"openai": {"session": {"audio": {"output": 1}}}}),
            "openai.session.audio.output",
        ),
        // One name is the beginning of the other.
        (
            json!({"openai": {"session": {"instructionsX": "x"}}}),
            "openai.session.instructionsX",
        ),
        (
            json!({"openai": {"session": {"instruction": "x"}}}),
            "openai.session.instruction",
        ),
        // The parent of a listed field, whatever its value.
        (json!({"openai": {"session": "x"}}), "openai.session"),
        (json!({"openai": {"session": ["instructions"]}}), "openai.session"),
        (json!({"openai": {"session": {}}}), "openai.session"),
        (json!({"openai": {}}), "openai"),
        (json!({"openai": null}), "openai"),
        // A dot in a name separates nothing.
        (
            json!({"openai.session.instructions": "x"}),
            "openai.session.instructions",
        ),
        (
            json!({"openai": {"session.instructions": "x"}}),
            "openai.session.instructions",
        ),
        (json!({"": {"openai": 1}}), ".openai"),
        // Cyrillic о, and Latin with a combining mark.
        (
            json!({"\u{43e}penai": {"session": {"instructions": "x"}}}),
            "\\u{43e}penai.session.instructions",
        ),
        (
            json!({"openai": {"session": {"instructions\u{301}": "x"}}}),
            "openai.session.instructions\\u{301}",
        ),
        (json!({"openai\r\nx: y": 1}), "openai\\u{d}\\u{a}x: y"),
        (json!({"__proto__": {"openai": {"model": "m"}}}), "__proto__"),
        (
            json!({"openai": {"constructor": {"prototype": 1}}}),
            "openai.constructor",
        ),
    ] {
        assert_named(&session, overrides, field);
    }
    // The first that is refused is enough, also beside one that is listed.
    let mixed = json!({"openai": {"session": {"instructions": "x"}, "model": "m"}});
    assert_named(&session, mixed, "openai.model");
}

#[test]
fn names_of_javascript_are_refused_below_listed_fields_too() {
    for (overrides, field) in [
        (json!({"__proto__": {}}), "openai.session.__proto__"),
        (json!({"audio": {"constructor": 1}}), "openai.session.audio.constructor"),
        (json!({"tools": [{"prototype": {}}]}), "openai.session.tools.prototype"),
    ] {
        assert_named(&["openai.session"], json!({"openai": {"session": overrides}}), field);
    }
}

/// Whatever the spec lists.
#[test]
fn a_caller_chooses_no_credential_host_or_account() {
    let all = [
        "credentials",
        "target",
        "requests",
        "renewal",
        "suspend",
        "openai",
        "elevenlabs",
        "openai.region",
        "openai.endpoint",
        "openai.organization",
        "openai.project",
        "openai.reuse",
        "metadata",
        "status",
    ];
    for (overrides, field) in [
        (
            json!({"credentials": {"secretRef": {"name": "other"}}}),
            "credentials.secretRef.name",
        ),
        (
            json!({"credentials": {"providerRef": {"name": "platform"}}}),
            "credentials.providerRef.name",
        ),
        (json!({"target": {"name": "other"}}), "target.name"),
        (
            json!({"target": {"template": {"data": {"a": "b"}}}}),
            "target.template.data.a",
        ),
        (json!({"requests": {"ready": 50}}), "requests.ready"),
        (
            json!({"requests": {"overridable": ["openai.model"]}}),
            "requests.overridable",
        ),
        (
            json!({"renewal": {"minRemainingSeconds": 1}}),
            "renewal.minRemainingSeconds",
        ),
        (json!({"suspend": false}), "suspend"),
        (json!({"openai": {"region": "EU"}}), "openai.region"),
        (
            json!({"openai": {"endpoint": "https://evil.example.com"}}),
            "openai.endpoint",
        ),
        (json!({"openai": {"organization": "o"}}), "openai.organization"),
        (json!({"openai": {"project": "p"}}), "openai.project"),
        (json!({"openai": {"reuse": "Multiple"}}), "openai.reuse"),
        (json!({"elevenlabs": {"agentId": "a"}}), "elevenlabs.agentId"),
        (json!({"metadata": {"namespace": "other"}}), "metadata.namespace"),
        (json!({"status": {"revision": 1}}), "status.revision"),
    ] {
        assert_named(&all, overrides, field);
    }
}

/// The account side of every provider, by the ClusterRealtimeProvider's own schema.
#[test]
fn no_account_of_any_provider_can_be_overridden() {
    let crds = serde_json::to_value(crate::api::crds().unwrap()).unwrap();
    let properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let mut checked = 0;
    for provider in crate::api::PROVIDER_FIELDS {
        let account = crds[1].pointer(&format!("{properties}/{provider}/properties"));
        for field in account
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(field, _)| field)
        {
            let path = format!("{provider}.{field}");
            let mut spec = with_own_key(&json!({(*provider): block(provider)}));
            spec["requests"] = json!({"subject": "Ignored", "overridable": [path]});
            let overrides = json!({(*provider): {(field): "x"}});
            assert_eq!(with_spec(&spec, &overrides), not_overridable(&path));
            let said = unknown_overridable(&token(&spec).spec).unwrap();
            assert!(said.contains("belongs to the account"), "{said}");
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

/// The least of a block that can be read.
fn block(provider: &str) -> Value {
    let schema = serde_json::to_value(crate::api::crds().unwrap()).unwrap();
    let properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let schema = schema[0].pointer(&format!("{properties}/{provider}")).unwrap();
    let required = schema["required"].as_array().into_iter().flatten();
    let block: Map<String, Value> = required
        .map(|name| {
            let name = name.as_str().unwrap();
            let of = &schema["properties"][name];
            let value = match of["type"].as_str() {
                Some("string") => of["enum"].get(0).cloned().unwrap_or_else(|| "a".into()),
                Some("integer") => 1.into(),
                Some("array") => json!([]),
                _ => json!({}),
            };
            (name.to_owned(), value)
        })
        .collect();
    let block = Value::Object(block);
    serde_json::from_value::<Blocks>(json!({provider: block})).unwrap();
    block
}

#[test]
fn nulls_remove_nothing() {
    let all = ["expirationSeconds", "openai.session"];
    for overrides in [
        json!({"expirationSeconds": null}),
        json!({"openai": {"session": null}}),
        json!({"openai": {"session": {"instructions": null}}}),
        json!({"openai": {"session": {"audio": {"input": {"turn_detection": null}}}}}),
        json!({"openai": {"session": {"tools": [{"name": null}]}}}),
    ] {
        assert_invalid(with(&all, &overrides), "null");
    }
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

#[test]
fn types_and_bounds_are_those_of_the_crd() {
    let all = [
        "expirationSeconds",
        "openai.model",
        "openai.kind",
        "openai.session",
        "openai.modell",
    ];
    let expiring = |seconds: Value| with(&all, &json!({"expirationSeconds": seconds}));
    assert_eq!(expiring(json!(60.0)).unwrap()["expirationSeconds"], 60);
    assert_invalid(expiring(json!(60.5)), "must be of type int");
    for (seconds, says) in [
        (json!("60"), "must be of type int"),
        (json!(true), "must be of type int"),
        (json!([60]), "must be of type int"),
        (json!({}), "must be of type int"),
        (json!(0), "greater than or equal to 1"),
        (json!(-1), "greater than or equal to 1"),
        (json!(1e300), "less than or equal to 2592000"),
        (json!(u64::MAX), "less than or equal to 2592000"),
        (json!(9), "OpenAI client secrets live 10 to 7200 seconds"),
        (json!(7201), "OpenAI client secrets live 10 to 7200 seconds"),
    ] {
        assert_invalid(expiring(seconds), says);
    }
    let openai = |block: Value| with(&all, &json!({"openai": block}));
    assert_invalid(openai(json!({"model": ""})), "at least 1 chars");
    assert_invalid(openai(json!({"model": "m".repeat(129)})), "Too long");
    assert_invalid(openai(json!({"model": "gpt-live-1"})), "models of the Live family");
    assert_invalid(openai(json!({"kind": "realtime"})), "Unsupported value");
    assert_invalid(openai(json!({"session": "x"})), "must be of type object");
    assert_invalid(openai(json!({"modell": "m"})), "unknown field \"spec.openai.modell\"");
}

#[test]
fn deep_bodies_end_at_a_bound() {
    let nested = |levels: usize, wrap: &dyn Fn(Value) -> Value| {
        let value = (0..levels).fold(json!("x"), |inner, _| wrap(inner));
        with(&["openai.session"], &json!({"openai": {"session": {"a": value}}}))
    };
    for wrap in [&(|inner| json!({"a": inner})) as &dyn Fn(Value) -> Value, &|inner| {
        json!([inner])
    }] {
        assert!(nested(28, wrap).is_ok());
        assert_invalid(nested(40, wrap), "more than 32 levels");
        assert_invalid(nested(100, wrap), "more than 32 levels");
    }
    let nowhere = (0..100).fold(json!("x"), |inner, _| json!({"a": inner}));
    assert_invalid(with(&["openai.session"], &nowhere), "more than 32 levels");
}

#[test]
fn what_is_said_is_short_and_plain() {
    let long = "é\u{202e}\n".repeat(20_000);
    for answer in [
        with(&["openai"], &json!({(long.as_str()): 1})),
        with(&["openai.model", "openai.session"], &json!({"openai": {"model": long}})),
        with(&["openai.kind"], &json!({"openai": {"kind": long}})),
        with(
            &["openai.session"],
            &json!({"openai": {"session": {(long.as_str()): null}}}),
        ),
    ] {
        let said = answer.unwrap_err().to_string();
        assert!(said.len() < 800, "{}", said.len());
        assert!(said.chars().all(|c| c == '…' || (' '..='~').contains(&c)), "{said}");
    }
}

fn resolve_customized(spec: &Value, provider_spec: Option<&Value>, overrides: &Value) -> Result<Resolved, Blocked> {
    let customized = customized(&token(spec), &asking(overrides)).unwrap();
    resolved(&serde_json::to_value(customized.spec).unwrap(), provider_spec)
}

#[test]
fn no_secret_goes_into_a_session() {
    let mcp =
        json!({"type": "mcp", "server_label": "a", "server_url": "https://a.example.com", "authorization": "sk-1"});
    let overrides = json!({"openai": {"session": {"tools": [mcp]}}});
    let answer = resolve_customized(&spec(&["openai.session.tools"]), None, &overrides);
    assert_eq!(refused(answer, "authorization"), Reason::InvalidSpec);
    let overrides = json!({"openai": {"session": {"tools": [{"type": "function", "name": "a"}]}}});
    assert!(resolve_customized(&spec(&["openai.session.tools"]), None, &overrides).is_ok());
}

#[test]
fn the_policy_of_a_lent_account_holds() {
    let mut own = spec(&["openai.model", "expirationSeconds"]);
    own["credentials"] = json!({"providerRef": {"name": "platform"}});
    let mut lent = lent();
    lent["policy"] = json!({"allowedModels": ["gpt-realtime-*"], "maxExpirationSeconds": 900});
    let asked = |overrides: Value| resolve_customized(&own, Some(&lent), &overrides);
    let found = asked(json!({"openai": {"model": "gpt-realtime-mini"}, "expirationSeconds": 900})).unwrap();
    assert_eq!(found.ask.block.provider().policy_subject(), Some("gpt-realtime-mini"));
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
        assert_eq!(of(Some(used), Some(&long[1..])).is_ok(), true);
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

/// Not a test: says how long a customization takes. `cargo test --lib customization_takes -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn a_customization_takes() {
    let own = token(&spec(&["openai.session.instructions"]));
    let asked = asking(&json!({"openai": {"session": {"instructions": "Speak German."}}}));
    for round in ["first", "warm"] {
        let times = if round == "first" { 1 } else { 1000 };
        let began = std::time::Instant::now();
        for _ in 0..times {
            customized(&own, &asked).unwrap();
        }
        println!("{round}: {:?} each", began.elapsed() / times);
    }
}
