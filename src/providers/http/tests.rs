use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::fixture::{answer, request};
use super::*;
use crate::mint::{Credential, Expiry};

mod hostile;

fn block(changes: Value) -> Http {
    let mut block = json!({
        "endpoint": "https://api.example.com",
        "request": {"path": "/v1/tokens", "json": {"ttl": "{{ ttlSeconds }}"}},
        "ttl": {"maxSeconds": 3600},
        "response": {"token": "/token", "expiry": [{"from": "Ttl"}]},
    });
    merge(&mut block, &changes);
    serde_json::from_value(block).unwrap()
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                match change {
                    Value::Null => drop(into.remove(key)),
                    change => merge(into.entry(key.clone()).or_insert(Value::Null), change),
                }
            }
        }
        (into, change) => *into = change.clone(),
    }
}

fn sent(block: &Http, key: &str) -> Request {
    block.validate().unwrap();
    let credential = Credential::new([("api-key", key.into()), ("key-id", "kid".into())]);
    request(block, 900, &credential).unwrap()
}

fn refused(changes: Value) -> String {
    block(changes).validate().unwrap_err().to_string()
}

#[test]
fn a_reply_in_text_is_asked_for_as_text() {
    let accepted = |changes: Value| {
        let request = sent(&block(changes), "key");
        let accepted = request.headers.get_all("accept").iter();
        accepted
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let text = json!({"format": "Text", "token": null});
    assert_eq!(accepted(json!({"response": text})), ["text/plain"]);
    assert_eq!(accepted(json!({})), ["application/json"]);
    let own = json!({"response": text, "request": {"headers": {"Accept": "application/jwt"}}});
    assert_eq!(accepted(own), ["application/jwt"]);
}

#[test]
fn a_placeholder_alone_has_its_own_type() {
    let request = sent(
        &block(json!({
            "params": {"count": 3, "admin": false, "user": "jo\"hn\\"},
            "request": {"json": {
                "ttl": "{{ ttlSeconds }}", "text": "{{ ttlSeconds }}s", "at": "{{expires}}", "millis": "{{ nowMillis }}",
                "when": "{{ expiresRfc3339 }}", "id": "{{ uuid }}", "list": ["{{ params.count }}", {"admin": "{{ params.admin }}"}],
                "user": "{{ params.user }}", "basic": "{{ base64(params.count) }}", "key": "{{ keyId }}", "kept": [1, null, true],
            }},
        })),
        "key",
    );
    let body: Value = serde_json::from_slice(request.bytes()).unwrap();
    let expected = json!({
        "ttl": 900, "text": "900s", "at": 900, "millis": 0, "when": "1970-01-01T00:15:00Z",
        "id": "00000000-0000-4000-8000-000000000000", "list": [3, {"admin": false}], "user": "jo\"hn\\",
        "basic": "Mw==", "key": "kid", "kept": [1, null, true],
    });
    assert_eq!(body, expected);
}

/// The language is MiniJinja, as in `target.template.data`.
#[test]
fn a_placeholder_is_an_expression() {
    let request = sent(
        &block(json!({
            "params": {"user": "Jo", "admin": true},
            "request": {
                "path": "/v1/{{ 7200 / 2 }}/{{ params.user ~ '/x' }}",
                "json": {
                    "ttl": "{{ ttlSeconds // 60 }}", "hours": "{{ ttlSeconds / 3600 }}", "later": "{{ now + 300 }}",
                    "user": "{{ params.user | upper }}", "role": "{{ 'admin' if params.admin else 'guest' }}",
                    "basic": "{{ (keyId ~ ':x') | base64 }}", "none": "{{ none }}", "plain": "{% if %} {# #}",
                    "debug": "{{ debug() }}",
                },
            },
        })),
        "canary",
    );
    assert_eq!(request.path, "/v1/3600.0/Jo%2Fx");
    let mut body: Value = serde_json::from_slice(request.bytes()).unwrap();
    let debug = body.as_object_mut().unwrap().remove("debug").unwrap().to_string();
    assert!(!debug.contains("canary") && !debug.contains("Jo"), "{debug}");
    let expected = json!({
        "ttl": 15, "hours": 0.25, "later": 300, "user": "JO", "role": "admin", "basic": "a2lkOng=", "none": null,
        "plain": "{% if %} {# #}",
    });
    assert_eq!(body, expected);
}

#[test]
fn values_stay_where_they_stand() {
    let request = sent(
        &block(json!({
            "params": {"id": "a/b?c#d%2e ü", "more": "x&y=z+ w"},
            "request": {
                "path": "/v1/{{ params.id }}/token", "query": {"q": "{{ params.more }}"},
                "json": null, "form": {"f": "{{ params.more }}", "ttl": "{{ ttlSeconds }}"},
            },
        })),
        "key",
    );
    assert_eq!(request.path, "/v1/a%2Fb%3Fc%23d%252e%20%C3%BC/token?q=x%26y%3Dz%2B%20w");
    assert_eq!(request.bytes(), b"f=x%26y%3Dz%2B+w&ttl=900");
}

#[test]
fn the_key_goes_where_auth_says() {
    let header = |request: &Request, name: &str| request.headers[name].to_str().unwrap().to_owned();
    let request = sent(&block(json!({})), "sk");
    assert_eq!(header(&request, "authorization"), "Bearer sk");
    assert!(request.headers["authorization"].is_sensitive());
    let auth = json!({"request": {"auth": {"header": "X-API-Key", "prefix": ""}}});
    assert_eq!(header(&sent(&block(auth), "sk"), "x-api-key"), "sk");

    let basic = block(json!({"request": {"auth": {"kind": "Basic"}}}));
    basic.validate().unwrap();
    assert_eq!(
        basic.secret_fields().iter().map(|field| field.key).collect::<Vec<_>>(),
        ["username", "password"]
    );
    let credential = Credential::new([("username", "u".into()), ("password", "p".into())]);
    let request = super::super::fixture::request(&basic, 900, &credential).unwrap();
    assert_eq!(header(&request, "authorization"), "Basic dTpw");

    let twice = json!({"request": {"headers": {"x-key": "{{ credential }}"}}});
    let request = sent(&block(twice), "sk");
    assert!(request.headers["x-key"].is_sensitive());
}

#[test]
fn a_life_must_be_asked_for_or_stated() {
    let mute = json!({"request": {"json": {"ttl": 600}}});
    assert!(refused(mute.clone()).contains("never ends"));
    let mut fixed = mute;
    merge(&mut fixed, &json!({"ttl": {"maxSeconds": null, "fixedSeconds": 600}}));
    assert_eq!(block(fixed).validate(), Ok(()));
    for asks in [
        "{{ ttlSeconds }}s",
        "{{ expires }}",
        "{{ expiresMillis }}",
        "{{ expiresRfc3339 }}",
    ] {
        let changes = json!({"request": {"json": {"ttl": asks}}});
        assert_eq!(block(changes).validate(), Ok(()), "{asks}");
    }
    for (ttl, reason) in [
        (json!({"maxSeconds": null}), "set maxSeconds"),
        (json!({"fixedSeconds": 60}), "not both"),
        (json!({"minSeconds": 7200}), "more than maxSeconds"),
        (json!({"maxSeconds": 900_000}), "more than http.response.maxSeconds"),
    ] {
        let message = refused(json!({ "ttl": ttl }));
        assert!(message.starts_with("http.ttl") && message.contains(reason), "{message}");
    }
}

#[test]
fn ends_are_read_in_every_unit_and_in_order() {
    let at = |seconds| Expiry::At(Timestamp::from_second(seconds).unwrap());
    let after = |seconds| Expiry::After(SignedDuration::from_secs(seconds));
    let read = |expiry: Value, combine: &str, reply: Value| {
        let response = json!({"expiry": expiry, "combine": combine});
        let block = block(json!({ "response": response }));
        block.validate().unwrap();
        let answer = answer(&block, 900, reply.to_string().as_bytes());
        answer.map(|answer| answer.expiry)
    };
    for (unit, value, expected) in [
        ("Seconds", json!(600), after(600)),
        ("Seconds", json!(599.9), after(599)),
        ("SecondsText", json!("600"), after(600)),
        ("EpochSeconds", json!(700), at(700)),
        ("EpochMillis", json!(700_000), at(700)),
        ("Rfc3339", json!("1970-01-01T00:11:40Z"), at(700)),
    ] {
        let source = json!([{"pointer": "/end", "unit": unit}]);
        let reply = |end: Value| json!({"token": "t", "end": end});
        assert_eq!(read(source.clone(), "First", reply(value)), Ok(expected), "{unit}");
        assert!(read(source, "First", reply(json!(["x"]))).is_err(), "{unit}");
    }
    let all = json!([{"pointer": "/end", "unit": "EpochSeconds"}, {"from": "Jwt"}, {"from": "Ttl"}]);
    // {"exp":800}
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjgwMH0.fake";
    let whole = json!({"token": jwt, "end": 850});
    assert_eq!(read(all.clone(), "First", whole.clone()), Ok(at(850)));
    assert_eq!(read(all.clone(), "First", json!({"token": jwt})), Ok(at(800)));
    assert_eq!(read(all.clone(), "First", json!({"token": "t"})), Ok(after(900)));
    let earliest = Expiry::Earlier(Timestamp::from_second(800).unwrap(), SignedDuration::from_secs(900));
    assert_eq!(read(all, "Earliest", whole), Ok(earliest));
}

/// A provider that was given an instant keeps it by its own clock, however far that is from ours.
#[test]
fn an_instant_that_was_asked_for_is_by_the_providers_clock() {
    let end = |ttl: &str| {
        let block = block(json!({"request": {"json": {"ttl": ttl}}}));
        block.validate().unwrap();
        answer(&block, 900, br#"{"token":"t"}"#).unwrap().expiry
    };
    let instant = Expiry::At(Timestamp::from_second(900).unwrap());
    assert_eq!(end("{{ expires }}"), instant);
    assert_eq!(end("{{ expiresRfc3339 }}"), instant);
    assert_eq!(end("{{ expires * 1000 }}"), instant);
    let life = Expiry::After(SignedDuration::from_secs(900));
    assert_eq!(end("{{ ttlSeconds }}"), life);
    assert_eq!(end("{{ expires - now }}"), life);
    assert_eq!(end("{{ ttlSeconds }} {{ expires }}"), life);
}

#[test]
fn replies_that_are_the_token() {
    for (format, body, token) in [
        ("Text", " tok\n", Ok("tok")),
        ("Text", "", Err("its body is no token")),
        ("JsonString", "\"tok\"", Ok("tok")),
        ("JsonString", "tok", Err("its body is no JSON")),
        ("JsonString", "{\"token\":\"tok\"}", Err("its body is no token")),
    ] {
        let block = block(json!({"response": {"format": format, "token": null}}));
        block.validate().unwrap();
        let answer = answer(&block, 900, body.as_bytes());
        let read = answer.map(|it| secrecy::ExposeSecret::expose_secret(&it.value).to_owned());
        let expected = token.map(str::to_owned).map_err(|text| UnusableReply(text.into()));
        assert_eq!(read, expected, "{format} {body:?}");
    }
}

#[test]
fn further_keys_are_texts_or_json() {
    let block = block(json!({"response": {"outputs": {"id": "/id", "ice.json": "/ice"}}}));
    let body = json!({"token": "t", "id": "s-1", "ice": [{"urls": "u"}]});
    let found = answer(&block, 900, body.to_string().as_bytes()).unwrap().outputs;
    let text = |key: &str| secrecy::ExposeSecret::expose_secret(&found[key]).to_owned();
    assert_eq!(
        (text("id"), text("ice.json")),
        ("s-1".into(), "[{\"urls\":\"u\"}]".into())
    );
    let without = answer(&block, 900, br#"{"token":"t","id":null,"ice":[]}"#);
    let message = without.unwrap_err().0;
    assert!(message.contains("/id") && message.contains("outputs.id"), "{message}");
}
