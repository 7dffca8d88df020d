//! Providers repeat what they don't accept: what the caller of a request or the owner of a spec wrote is no evidence against
//! a credential.

use super::cases::asked;
use super::*;

/// Or a caller could limit or reject the credential of others, with a value that the provider doesn't accept.
#[test]
fn what_a_caller_wrote_says_nothing_of_quota_and_key() {
    let repeated =
        |value: &str| json!({"error": {"code": "invalid_value", "message": format!("Invalid value: '{value}'.")}});
    let status = |status: &str, value: &str| json!({"error": {"code": 400, "status": status, "message": value}});
    let coded = |code: &str| json!({"error": {"code": code, "message": "Repeated"}});
    let (failed, quota) = (Reason::MintFailed, Reason::QuotaExhausted);
    let rejected = Reason::CredentialRejected;
    for (provider, status, body, of_secret, of_caller) in [
        ("openai", 400, repeated("out of credits"), quota, failed),
        ("openai", 400, repeated("Exceeds your quota"), quota, failed),
        ("openai", 403, repeated("insufficient funds"), quota, rejected),
        ("openai", 429, repeated("credit balance"), quota, Reason::RateLimited),
        ("openai", 400, repeated("incorrect api key"), rejected, failed),
        ("deepgram", 400, json!("invalid credentials"), rejected, failed),
        (
            "gemini",
            400,
            status("INVALID_ARGUMENT", "an API key"),
            rejected,
            failed,
        ),
        // What the provider says by itself.
        ("openai", 401, json!({}), rejected, rejected),
        ("openai", 402, json!({}), quota, quota),
        ("openai", 429, coded("insufficient_quota"), quota, quota),
        ("elevenlabs", 401, coded("quota_exceeded"), quota, quota),
        ("openai", 400, coded("invalid_api_key"), rejected, rejected),
        ("openai", 403, repeated("country, region, or territory"), failed, failed),
    ] {
        for (asked_by_caller, reason) in [(false, of_secret), (true, of_caller)] {
            let ask = Ask {
                of_caller: asked_by_caller,
                ..asked(provider)
            };
            let error = answer(&ask, status, &[], &body.to_string()).unwrap_err();
            assert_eq!(
                error.reason(),
                reason,
                "{provider} {status} {body}, of a caller: {asked_by_caller}"
            );
        }
    }
}

/// The owner of a spec uses the key of a platform team, which others use too.
#[test]
fn what_stands_in_the_spec_says_nothing_of_quota_and_key() {
    let voiced = |voice: &str| openai(json!({"session": {"audio": {"output": {"voice": voice}}}}));
    let refused = |ask: &Ask, message: &str| {
        let body = json!({"error": {"code": "invalid_value", "message": message}});
        answer(ask, 400, &[], &body.to_string()).unwrap_err().reason()
    };
    let repeated = "Invalid value: 'Out of credits'.";
    assert_eq!(refused(&voiced("Out of credits"), repeated), Reason::MintFailed);
    assert_eq!(
        refused(&voiced("incorrect API key"), "Invalid value: 'incorrect API key'."),
        Reason::MintFailed
    );
    assert_eq!(refused(&voiced("marin"), repeated), Reason::QuotaExhausted);
    assert_eq!(
        refused(&voiced("out of credits"), "You have no credits left."),
        Reason::QuotaExhausted
    );
}
