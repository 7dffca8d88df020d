//! Errors as providers really send them: their reason, and what their message says and doesn't.

use super::*;

fn block(name: &str, block: Value) -> Ask {
    let spec = json!({name: block, "credentials": {"secretRef": {"name": "key"}}});
    let spec: crate::api::RealtimeTokenSpec = serde_json::from_value(spec).unwrap();
    Ask {
        block: crate::resolve::block_of(&spec).unwrap(),
        expiration: SignedDuration::from_secs(600),
        namespace: "apps".to_owned(),
        subject: None,
        of_caller: false,
    }
}

pub(super) fn asked(provider: &str) -> Ask {
    match provider {
        "openai" => openai(json!({})),
        "elevenlabs" => elevenlabs(),
        "xai" => block("xai", json!({})),
        "gemini" => block("gemini", json!({})),
        "deepgram" => block("deepgram", json!({})),
        "azure" => block("azureOpenAI", json!({"deployment": "d", "resource": "r"})),
        other => panic!("{other}"),
    }
}

struct Case {
    provider: &'static str,
    status: u16,
    body: Value,
    reason: Reason,
    says: &'static [&'static str],
}

impl Case {
    fn check(&self) {
        let body = match &self.body {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let error = answer(&asked(self.provider), self.status, &[], &body).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.reason(), self.reason, "{body}: {text}");
        for part in self.says {
            assert!(text.contains(part), "no {part:?} for {body}: {text}");
        }
        if self.status == 401 || self.status == 403 {
            assert!(!text.contains("Repeated"), "{text}");
        }
    }
}

fn case(provider: &'static str, status: u16, body: Value, reason: Reason, says: &'static [&'static str]) -> Case {
    Case {
        provider,
        status,
        body,
        reason,
        says,
    }
}

#[test]
fn an_account_without_credit_or_quota() {
    let spent = "Your team 00000000-0000-0000-0000-000000000000 has either used all available credits or reached its \
                 monthly spending limit.";
    let hint: &[&str] = &["The API key is fine", "add credit or raise the limit at the provider"];
    let quota = |provider, status, body| case(provider, status, body, Reason::QuotaExhausted, hint);
    let openai = |code: &str, kind: &str| json!({"error": {"message": "m", "type": kind, "param": null, "code": code}});
    let per_day = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m", "details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
            {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.8s"}]}});
    for case in [
        quota("openai", 429, openai("credit_balance_exhausted", "insufficient_quota")),
        quota("openai", 429, openai("insufficient_quota", "insufficient_quota")),
        quota(
            "openai",
            429,
            json!({"error": {"message": "m", "type": "insufficient_quota", "code": null}}),
        ),
        quota(
            "openai",
            400,
            openai("billing_hard_limit_reached", "invalid_request_error"),
        ),
        quota("xai", 429, json!({"error": spent})),
        quota(
            "xai",
            403,
            json!({"code": "The caller does not have permission", "error": spent}),
        ),
        quota(
            "elevenlabs",
            401,
            json!({"detail": {"status": "quota_exceeded", "message": "m"}}),
        ),
        quota("gemini", 429, per_day),
        quota(
            "deepgram",
            402,
            json!({"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "m"}),
        ),
        quota("elevenlabs", 402, json!("")),
    ] {
        case.check();
    }
    let error = answer(&asked("xai"), 429, &[], &json!({"error": spent}).to_string()).unwrap_err();
    assert_eq!(
        error.limit(),
        Some(SignedDuration::from_mins(4)),
        "at most 15 calls an hour and key"
    );

    let per_minute = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, please check your plan and billing details.", "details": [
        {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]}]}});
    for (provider, body) in [
        ("gemini", per_minute),
        ("openai", openai("rate_limit_exceeded", "requests")),
        (
            "elevenlabs",
            json!({"detail": {"status": "too_many_concurrent_requests", "message": "m"}}),
        ),
    ] {
        case(provider, 429, body, Reason::RateLimited, &["mints with it wait"]).check();
    }
}

#[test]
fn a_region_or_network_is_not_the_key() {
    let network: &[&str] = &["The API key is not the cause", "region or network", "egress"];
    let on_the_way: &[&str] = &["not the API key", "something on the way", "proxy"];
    let country = json!({"error": {"code": "unsupported_country_region_territory", "type": "request_forbidden",
        "message": "Country, region, or territory not supported Repeated", "param": null}});
    let azure = |message: &str| json!({"error": {"code": "AccessDenied", "message": message}});
    let html = "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>";
    for (provider, status, body, says) in [
        ("openai", 403, country, network),
        (
            "azure",
            403,
            azure("Public access is disabled. Please configure private endpoint."),
            network,
        ),
        (
            "azure",
            403,
            azure("Access denied due to Virtual Network/Firewall rules."),
            network,
        ),
        (
            "gemini",
            400,
            json!({"error": {"code": 400, "message": "User location is not supported for the API use.",
                "status": "FAILED_PRECONDITION"}}),
            network,
        ),
        ("openai", 403, json!(html), on_the_way),
        ("elevenlabs", 401, json!(html), on_the_way),
        ("elevenlabs", 403, json!("RBAC: access denied"), on_the_way),
        ("deepgram", 401, json!("Authentication required by proxy"), on_the_way),
    ] {
        case(provider, status, body, Reason::MintFailed, says).check();
    }
    case(
        "elevenlabs",
        401,
        json!("Invalid API key"),
        Reason::CredentialRejected,
        &["Check the API key"],
    )
    .check();
    case(
        "elevenlabs",
        401,
        json!(""),
        Reason::CredentialRejected,
        &["Check the API key"],
    )
    .check();
    let cut = format!("{{\"error\": \"{}", "x".repeat(70_000));
    case(
        "openai",
        401,
        json!(cut),
        Reason::CredentialRejected,
        &["Check the API key"],
    )
    .check();
}

#[test]
fn what_the_key_may_not_do_is_named() {
    let refused = Reason::CredentialRejected;
    let openai = |code: Value, message: &str| {
        json!({"error": {"code": code, "type": "invalid_request_error",
        "message": message, "param": null}})
    };
    for case in [
        case(
            "elevenlabs",
            401,
            json!({"detail": {"status": "missing_permissions",
                "message": "The API key you used is missing the permission convai_read to execute this operation."}}),
            refused,
            &["(missing_permissions)", "lacks the permission convai_read: grant it"],
        ),
        case(
            "openai",
            403,
            openai(
                json!(null),
                "You have insufficient permissions for this operation. Missing scopes: api.model.request. Repeated",
            ),
            refused,
            &["lacks the permission api.model.request:"],
        ),
        case(
            "elevenlabs",
            401,
            json!({"detail": {"status": "missing_permissions", "message": "Repeated"}}),
            refused,
            &["lacks a permission"],
        ),
        case(
            "openai",
            403,
            openai(
                json!("model_not_found"),
                "Your organization must be verified to use the model `m`. Repeated",
            ),
            Reason::MintFailed,
            &["must be verified"],
        ),
        case(
            "openai",
            403,
            openai(
                json!("model_not_found"),
                "Project `p` does not have access to model `m`. Repeated",
            ),
            Reason::MintFailed,
            &["(model_not_found)", "Check the model "],
        ),
    ] {
        case.check();
    }
}

#[test]
fn a_deployment_that_is_not_there_and_a_wrong_key_under_400() {
    for case in [
        case(
            "azure",
            404,
            json!({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
            Reason::MintFailed,
            &[
                "The API deployment for this resource",
                "Check the deployment in the spec",
            ],
        ),
        case(
            "azure",
            400,
            json!({"error": {"code": "OpperationNotSupported", "message": "The realtime operation does not work with it."}}),
            Reason::MintFailed,
            &["Check the deployment in the spec"],
        ),
        case(
            "deepgram",
            400,
            json!({"err_code": "BAD_REQUEST", "err_msg": "Invalid credentials."}),
            Reason::CredentialRejected,
            &["(BAD_REQUEST)", "Check the API key in the Secret"],
        ),
        case(
            "deepgram",
            400,
            json!({"err_code": "BAD_REQUEST", "err_msg": "ttl_seconds is too large"}),
            Reason::MintFailed,
            &["Check the provider block"],
        ),
    ] {
        case.check();
    }
}

#[test]
fn statuses_of_the_api_are_not_blamed_on_the_way() {
    for (status, says) in [
        (402, "add credit"),
        (405, "check the endpoint"),
        (413, "shorten the session"),
        (415, "check the endpoint"),
    ] {
        let text = refused(&openai(json!({})), status, &[], "{}");
        assert!(
            text.contains(says) && !text.contains("not an answer of the API"),
            "{text}"
        );
    }
}

#[test]
fn a_long_error_is_read_whole() {
    let voices: Vec<_> = (0..2000).map(|n| format!("'voice-{n:04}'")).collect();
    let message = format!("Invalid value: 'marn'. Supported values are: {}", voices.join(", "));
    let body = json!({"error": {"message": message, "type": "invalid_request_error", "code": "invalid_value"}});
    let text = refused(&openai(json!({})), 400, &[], &body.to_string());
    let start = "OpenAI answered 400 (invalid_value): Invalid value: 'marn'. Supported values are: 'voice-0000'";
    assert!(text.starts_with(start) && text.chars().count() < 400, "{text}");
}

#[test]
fn waits_stand_in_bodies_and_other_headers_too() {
    let wait = |ask: &Ask, status, headers: &[(&'static str, &'static str)], body: Value| match answer(
        ask,
        status,
        headers,
        &body.to_string(),
    )
    .unwrap_err()
    {
        MintError::Throttled { retry_after, .. } | MintError::Unavailable { retry_after, .. } => {
            retry_after.map(|wait| wait.as_secs())
        }
        other => panic!("{other:?}"),
    };
    let gemini = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded.", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"}]}});
    assert_eq!(wait(&asked("gemini"), 429, &[], gemini.clone()), Some(45));
    assert_eq!(wait(&asked("gemini"), 429, &[], json!([gemini])), Some(45));
    let limited = json!({"error": {"message": "m", "type": "requests", "code": "rate_limit_exceeded"}});
    let headers = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6m0s"),
    ];
    assert_eq!(wait(&openai(json!({})), 429, &headers, limited.clone()), Some(360));
    assert_eq!(
        wait(&openai(json!({})), 503, &headers, limited),
        None,
        "that limit is not why"
    );
    for (value, seconds) in [("120", Some(120)), ("86400", Some(600)), ("0", None), ("-1", None)] {
        let headers = [("retry-after", value)];
        assert_eq!(wait(&openai(json!({})), 503, &headers, json!({})), seconds, "{value}");
    }
}

#[test]
fn an_unusable_success_says_what_came() {
    let error = json!({"error": {"code": 429, "message": "Rate limit exceeded for sk-canary"}}).to_string();
    assert_eq!(
        refused(&openai(json!({})), 200, &[], &error),
        "OpenAI answered 200, but it holds no token in `value`; it holds an error (429): Rate limit exceeded for \
         [redacted]. If it stays so, something on the way answers in the provider's place, or its API has changed."
    );
    let custom = openai(json!({"endpoint": "https://gw.example"}));
    let text = refused(&custom, 200, &[], &error);
    assert!(
        text.contains("it holds an error. If") && !text.contains("Rate"),
        "{text}"
    );
}

#[test]
fn openai_may_nest_the_token() {
    let body = json!({"client_secret": {"value": "ek_case", "expires_at": 1_795_335_000}}).to_string();
    let minted = answer(&openai(json!({})), 200, &[], &body).unwrap();
    assert_eq!(minted.value.expose_secret(), "ek_case");
    assert_eq!(minted.usable_until.as_second(), 1_795_335_000);
}

/// Whatever their bodies say, time is what helps.
#[test]
fn statuses_that_time_restores_are_not_about_the_model() {
    let body = json!({"error": {"code": "model_not_found", "type": "invalid_request_error", "message": "No model m",
        "param": null}});
    for status in [408, 409, 429] {
        let text = answer(&asked("openai"), status, &[], &body.to_string())
            .unwrap_err()
            .to_string();
        assert!(!text.contains("Check the model"), "{status}: {text}");
    }
    let text = answer(&asked("openai"), 404, &[], &body.to_string())
        .unwrap_err()
        .to_string();
    assert!(text.contains("Check the model"), "{text}");
}
