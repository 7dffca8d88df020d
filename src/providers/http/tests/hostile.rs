//! Blocks that would send the key astray, forge a header or never end.

use super::*;

#[test]
fn hostile_blocks_are_refused_with_place_and_reason() {
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!({"a": deep});
    }
    for (changes, place, reason) in [
        // Huge, deep, endless.
        (
            json!({"request": {"json": {"x": "y".repeat(20_000)}}}),
            "http.request.json",
            "at most 16384",
        ),
        (
            json!({"request": {"json": {"x": deep}}}),
            "http.request.json/x/a",
            "levels deep",
        ),
        (
            json!({"params": {"a": "{{ params.a }}"}, "request": {"json": {"x": "{{ params.a }}"}}}),
            "http.params.a",
            "no template",
        ),
        (
            json!({"params": {"a": "x".repeat(2000)}, "request": {"json": {"x": "{{ params.a }}"}}}),
            "http.params.a",
            "1024",
        ),
        (
            json!({"params": {"a": "x".repeat(1000)}, "request": {"json": {"x": vec!["{{ params.a }}"; 20]}}}),
            "http.request.json",
            "once filled in",
        ),
        // Of a wrong type.
        (
            json!({"params": {"a": {"b": 1}}, "request": {"json": {"x": "{{ params.a }}"}}}),
            "http.params.a",
            "a text, a number",
        ),
        (
            json!({"params": {"a": ""}, "request": {"json": {"x": "{{ params.a }}"}}}),
            "http.params.a",
            "1 to",
        ),
        (json!({"params": {"a": "1"}}), "http.params.a", "nothing uses it"),
        (
            json!({"request": {"json": {"x": "{{ params.a }}"}}}),
            "http.params.a",
            "not set",
        ),
        (
            json!({"request": {"json": {"x": "{{ env.HOME }}"}}}),
            "http.request.json/x",
            "no placeholder \"env.HOME\"",
        ),
        (
            json!({"request": {"json": {"x": "{% for a in b %}{{"}}}),
            "http.request.json/x",
            "doesn't end",
        ),
        (
            json!({"request": {"json": {"{{ uuid }}": 1}}}),
            "http.request.json/{{ uuid }}",
            "a name",
        ),
        // No expressions, or ones that fail.
        (
            json!({"request": {"json": {"x": "{{ uuid uuid }}"}}}),
            "http.request.json/x",
            "syntax error",
        ),
        (
            json!({"request": {"json": {"x": "{{ params }}"}}}),
            "http.request.json/x",
            "no placeholder \"params\"",
        ),
        (
            json!({"request": {"json": {"x": "{{ uuid.x }}"}}}),
            "http.request.json/x",
            "no placeholder \"uuid.x\"",
        ),
        (
            json!({"request": {"json": {"x": "{{ uuid['x'] }}"}}}),
            "http.request.json/x",
            "undefined value",
        ),
        (
            json!({"request": {"json": {"x": "{{ uuid + 1 }}"}}}),
            "http.request.json/x",
            "invalid operation",
        ),
        (
            json!({"request": {"json": {"x": "{{ uuid | shout }}"}}}),
            "http.request.json/x",
            "unknown filter",
        ),
        (
            json!({"request": {"json": {"x": "{{ [0] * 100000000 }}"}}}),
            "http.request.json/x",
            "invalid operation",
        ),
        (
            json!({"request": {"json": {"x": "{{ 'x' * 100000000 }}"}}}),
            "http.request.json/x",
            "instructions",
        ),
        (
            json!({"request": {"json": {"x": "{{ debug }}"}}}),
            "http.request.json/x",
            "invalid operation",
        ),
        (
            json!({"request": {"path": "/a/{{ '' }}/b"}}),
            "http.request.path",
            "empty segment",
        ),
        (
            json!({"request": {"query": {"q": "{{ 'x' ~ credential[0] }}"}}}),
            "http.request.query",
            "logs on the way",
        ),
        // Headers.
        (
            json!({"params": {"a": "x\r\nx-evil: 1"}, "request": {"headers": {"x-a": "{{ params.a }}"}}}),
            "http.request.headers.x-a",
            "line break",
        ),
        (
            json!({"request": {"headers": {"x-a": "ü"}}}),
            "http.request.headers.x-a",
            "no header can carry",
        ),
        (
            json!({"request": {"headers": {"x a": "b"}}}),
            "x a",
            "no name of a header",
        ),
        (
            json!({"request": {"headers": {"Host": "evil.example"}}}),
            "http.request.headers.Host",
            "connection",
        ),
        (
            json!({"request": {"headers": {"Transfer-Encoding": "chunked"}}}),
            "Transfer-Encoding",
            "connection",
        ),
        (
            json!({"request": {"headers": {"AUTHORIZATION": "x"}}}),
            "http.request.headers.AUTHORIZATION",
            "auth sends it",
        ),
        (
            json!({"request": {"auth": {"header": "host"}}}),
            "http.request.auth.header",
            "connection",
        ),
        (
            json!({"request": {"auth": {"prefix": "x\n"}}}),
            "http.request.auth.prefix",
            "ASCII",
        ),
        // Out of the path, to another host.
        (
            json!({"request": {"path": "v1"}}),
            "http.request.path",
            "begins with one /",
        ),
        (
            json!({"request": {"path": "//evil.example/x"}}),
            "http.request.path",
            "the host is the endpoint's",
        ),
        (
            json!({"request": {"path": "/a\\b"}}),
            "http.request.path",
            "letters, digits",
        ),
        (
            json!({"request": {"path": "/%2e%2e/b"}}),
            "http.request.path",
            "letters, digits",
        ),
        (
            json!({"request": {"path": "/a?b=c"}}),
            "http.request.path",
            "http.request.query",
        ),
        (
            json!({"request": {"path": "/a/../b"}}),
            "http.request.path",
            "leave the path",
        ),
        (
            json!({"params": {"a": ".."}, "request": {"path": "/x/{{ params.a }}/y"}}),
            "http.request.path",
            "leave the path",
        ),
        (
            json!({"params": {"a": "."}, "request": {"path": "/x/.{{ params.a }}"}}),
            "http.request.path",
            "leave the path",
        ),
        (
            json!({"request": {"path": "/{{ credential }}"}}),
            "http.request.path",
            "logs on the way",
        ),
        (
            json!({"request": {"query": {"key": "{{ base64(credential) }}"}}}),
            "http.request.query",
            "logs on the way",
        ),
        // What can't be.
        (
            json!({"request": {"form": {"a": "b"}}}),
            "http.request.form",
            "not both",
        ),
        (json!({"request": {"method": "GET"}}), "http.request.method", "no body"),
        (
            json!({"request": {"auth": {"kind": "Basic"}, "json": {"k": "{{ credential }}"}}}),
            "http.request.auth.kind",
            "no {{ credential }}",
        ),
        (json!({"sideEffects": true}), "http.sideEffects", "by a timer"),
        (json!({"endpoint": null}), "http.endpoint", "set it"),
        (json!({"response": {"token": null}}), "http.response.token", "such as"),
        (
            json!({"response": {"token": "token"}}),
            "http.response.token",
            "begins with /",
        ),
        (
            json!({"response": {"format": "Text"}}),
            "http.response.token",
            "whole body",
        ),
        (
            json!({"response": {"outputs": {"token": "/x"}}}),
            "http.response.outputs.token",
            "the operator's own",
        ),
        (
            json!({"response": {"outputs": {"request-url": "/x"}}}),
            "http.response.outputs.request-url",
            "the operator's own",
        ),
        (
            json!({"response": {"outputs": {"a/b": "/x"}}}),
            "http.response.outputs",
            "a key of a Secret",
        ),
        (
            json!({"response": {"expiry": []}}),
            "http.response.expiry",
            "at least one",
        ),
        (
            json!({"response": {"expiry": [{"pointer": "/x"}]}}),
            "http.response.expiry",
            "pointer and unit",
        ),
        (
            json!({"response": {"expiry": [{"from": "Jwt", "unit": "Seconds"}]}}),
            "http.response.expiry",
            "neither",
        ),
    ] {
        let message = refused(changes.clone());
        assert!(
            message.contains(place) && message.contains(reason),
            "{changes:.200}: {message:.400}"
        );
        assert!(message.len() < 600, "{message}");
    }
}

/// A RealtimeToken must not be able to use up the operator's stack or memory.
#[test]
fn expressions_are_bounded() {
    let at_most_512 = |expression: String| expression.chars().take(508).collect::<String>();
    for expression in [
        format!("{}1{}", "(".repeat(6000), ")".repeat(6000)),
        format!("1{}", "~1".repeat(7000)),
        format!("1{}", " and 1".repeat(2500)),
        format!("1{}", "[0]".repeat(5000)),
        format!("uuid{}", ".a".repeat(7000)),
        format!("uuid{}", "|upper".repeat(2500)),
        format!("{}1", "not ".repeat(4000)),
        format!("{}1", "-".repeat(16000)),
        format!("{}1", "1 if 1 else ".repeat(1300)),
        format!("{}1", "1**".repeat(5000)),
        format!("{}1{}", "base64(".repeat(1700), ")".repeat(1700)),
        format!("{}{}", "[".repeat(8000), "]".repeat(8000)),
        "'x' | center(100000000)".to_owned(),
        "'%0999999999d' | format(1)".to_owned(),
        format!("'aaaa'{}", "|replace('a','aaaa')".repeat(700)),
    ] {
        let check = |expression: &str| {
            let json = json!({"ttl": "{{ ttlSeconds }}", "x": format!("{{{{ {expression} }}}}")});
            block(json!({"request": {"json": json}})).validate()
        };
        let refused = match expression.len() > 512 {
            true => check(&expression).unwrap_err().to_string(),
            false => "a placeholder has at most 512 bytes".to_owned(),
        };
        assert!(refused.ends_with("a placeholder has at most 512 bytes"), "{refused}");
        // Shorter ones may fail or not, but end.
        if let Err(problem) = check(&at_most_512(expression)) {
            assert!(problem.to_string().len() < 600, "{problem}");
        }
    }
}
