//! What callers try that they may not.

use serde_json::Map;

use super::*;
use crate::api::Blocks;

/// Whether it is refused by the name of this field.
#[track_caller]
fn assert_named(overridable: &[&str], overrides: Value, field: &str) {
    assert_eq!(with(overridable, &overrides), not_overridable(field), "{overrides}");
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
