//! What a message repeats of a refusal, and what it doesn't.

use super::*;

fn code_and_message(body: &str) -> (Option<String>, Option<String>) {
    let code_and_message = ErrorBody::read(body.as_bytes());
    (code_and_message.code, code_and_message.message)
}

#[test]
fn every_shape() {
    for (shape, code, message) in [
        (
            r#"{"error":{"message":"M","type":"T","param":null,"code":"C"}}"#,
            "C",
            "M",
        ),
        (
            r#"{"error":{"message":"M","type":"T","param":null,"code":null}}"#,
            "T",
            "M",
        ),
        (
            r#"{"error":{"code":400,"message":"M","status":"INVALID_ARGUMENT"}}"#,
            "INVALID_ARGUMENT",
            "M",
        ),
        (r#"{"code":"C","error":"M"}"#, "C", "M"),
        (
            r#"{"detail":{"type":"T","code":"C","message":"M","status":"S","request_id":"R"}}"#,
            "C",
            "M",
        ),
        (r#"{"detail":{"status":"S","message":"M"}}"#, "S", "M"),
        (
            r#"{"detail":[{"loc":["query","agent_id"],"msg":"Field required","type":"missing"}]}"#,
            "missing",
            "query.agent_id: Field required",
        ),
        (
            r#"{"detail":[{"loc":["body",0,"x"],"msg":"M","type":"T"}]}"#,
            "T",
            "body.0.x: M",
        ),
        (r#"{"err_code":"C","err_msg":"M","request_id":"R"}"#, "C", "M"),
        (
            r#"{"category":"C","message":"M","details":"D","request_id":"R"}"#,
            "C",
            "M",
        ),
        (
            r#"{"status_code":401,"error_type":"C","message":"M","request_id":"R"}"#,
            "C",
            "M",
        ),
        (r#"{"error_code":401,"error_type":"C","error_message":"M"}"#, "C", "M"),
        (
            r#"{"code":20003,"message":"M","more_info":"I","status":401}"#,
            "20003",
            "M",
        ),
        (r#"{"code":403,"error":"E","detail":"M"}"#, "403", "E: M"),
        (r#"{"code":422,"message":"M"}"#, "422", "M"),
        (
            r#"{"error":{"code":"C","message":"M","param":null,"type":null,"inner_error":null}}"#,
            "C",
            "M",
        ),
        (
            r#"{"error":{"code":400,"message":"M","status":"INVALID_ARGUMENT","details":[{"@type":"t","reason":"API_KEY_INVALID"}]}}"#,
            "API_KEY_INVALID",
            "M",
        ),
        (r#"{"error":"M","code":"C","details":{}}"#, "C", "M"),
        (
            r#"{"timestamp":"t","path":"/p","request_id":"R","statusCode":400,"message":"M","code":"C"}"#,
            "C",
            "M",
        ),
        (r#"{"code":"C","message":"M","request_id":"R"}"#, "C", "M"),
        (r#"{"error":"C","error_description":"M"}"#, "C", "M"),
        (r#"{"error":"C","info":"M"}"#, "C", "M"),
        (r#"{"status":"error","message":"M"}"#, "error", "M"),
    ] {
        assert_eq!(
            code_and_message(shape),
            (Some(code.into()), Some(message.into())),
            "{shape}"
        );
    }
    assert_eq!(code_and_message(r#"{"detail":"M"}"#), (None, Some("M".into())));
    assert_eq!(code_and_message(r#""M""#), (None, Some("M".into())));
}

#[test]
fn the_request_id_is_found_inside_and_outside() {
    let id = |body: &str| ErrorBody::read(body.as_bytes()).request_id;
    assert_eq!(
        id(r#"{"detail":{"message":"M","request_id":"R"}}"#).as_deref(),
        Some("R")
    );
    assert_eq!(id(r#"{"err_msg":"M","request_id":"R"}"#).as_deref(), Some("R"));
}

#[test]
fn what_has_no_shape_says_nothing() {
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "17",
        "<html>sk-secret</html>",
        r#"{"error":{}}"#,
        r#"{"detail":[]}"#,
        r#"{"error":{"message":"cut o"#,
    ] {
        assert_eq!(code_and_message(body), (None, None), "{body}");
    }
}

#[test]
fn a_body_is_a_page_only_by_its_first_tag() {
    for (body, format) in [
        ("  <!DOCTYPE html>", Format::Html),
        ("<HTML>", Format::Html),
        ("<?xml version=\"1.0\"?>", Format::Text),
        ("too many requests", Format::Text),
        (" ", Format::Empty),
        ("{", Format::Json),
    ] {
        assert!(Format::of(body.as_bytes()) == format, "{body}");
    }
    assert_eq!(ErrorBody::read(b"Quota").text, "quota");
    for body in ["<html>Quota", "{ Quota"] {
        assert_eq!(ErrorBody::read(body.as_bytes()).text, "", "{body}");
    }
}

#[test]
fn an_empty_code_is_none() {
    let (code, message) = code_and_message(r#"{"error":{"code":"","type":"T","message":"","err_msg":"M"}}"#);
    assert_eq!((code.as_deref(), message.as_deref()), (Some("T"), Some("M")));
}

#[test]
fn a_success_with_an_error_in_it_is_one() {
    for (body, is_error) in [
        (r#"{"error":"M"}"#, true),
        (r#"{"error":{"message":"M"}}"#, true),
        (r#"{"error":""}"#, false),
        (r#"{"error":{}}"#, false),
        (r#"{"error":null}"#, false),
        (r#"{"error":false}"#, false),
        (r#"{"token":"t"}"#, false),
    ] {
        assert_eq!(ErrorBody::within_success(body.as_bytes()).is_some(), is_error, "{body}");
    }
}

#[test]
fn every_code_of_a_body_counts_and_not_only_the_one_that_is_named() {
    let body = ErrorBody::read(br#"{"error":{"code":"C","type":"insufficient_quota","status":"S"}}"#);
    assert_eq!(body.code.as_deref(), Some("C"));
    assert!(
        ["c", "insufficientquota", "s"]
            .iter()
            .all(|code| body.has_code(&[code]))
    );
}
