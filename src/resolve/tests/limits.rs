//! What `policy` allows.

use super::*;

fn seconds(block: &Value, asked: Option<i64>, maximum: Option<i64>) -> Result<i64, Reason> {
    let mut spec = borrowing(block);
    if let Some(asked) = asked {
        spec["expirationSeconds"] = asked.into();
    }
    let policy = maximum.map(|maximum| Policy {
        max_expiration_seconds: Some(maximum),
        ..Policy::default()
    });
    let spec = token(&spec).spec;
    expiration(&spec, &block_of(&spec).unwrap(), policy.as_ref())
        .map(|life| life.as_secs())
        .map_err(|blocked| blocked.reason)
}

#[test]
fn lives() {
    let too_long = Err(Reason::ExpirationNotAllowed);
    let fixed = Err(Reason::InvalidSpec);
    let url = elevenlabs("SignedUrl");
    let conversation = elevenlabs("ConversationToken");
    let cases = [
        // Chosen
        (&openai(), None, None, Ok(1800)),
        (&openai(), None, Some(7200), Ok(1800)),
        (&openai(), None, Some(1800), Ok(1800)),
        (&openai(), None, Some(600), Ok(600)),
        (&openai(), Some(7200), None, Ok(7200)),
        (&openai(), Some(600), Some(600), Ok(600)),
        (&openai(), Some(601), Some(600), too_long),
        (&openai(), Some(60), Some(600), Ok(60)),
        // Fixed, 900 s
        (&url, None, None, Ok(900)),
        (&url, None, Some(900), Ok(900)),
        (&url, None, Some(899), too_long),
        (&url, Some(900), None, fixed),
        (&url, Some(900), Some(900), fixed),
        // Stated by the token
        (&conversation, None, None, Ok(0)),
        (&conversation, None, Some(2_592_000), too_long),
        (&conversation, Some(600), None, fixed),
        (&conversation, Some(600), Some(600), fixed),
    ];
    for (block, asked, maximum, expected) in cases {
        let found = seconds(block, asked, maximum);
        assert_eq!(found, expected, "{block} {asked:?} {maximum:?}");
    }
}

#[test]
fn an_own_key_knows_no_policy() {
    let mut spec = with_own_key(&openai());
    spec["expirationSeconds"] = 7200.into();
    let mut policy = lent();
    policy["policy"] = json!({"maxExpirationSeconds": 10, "allowedModels": ["none"]});
    let found = resolved(&spec, Some(&policy)).unwrap();
    assert_eq!(found.ask.expiration.as_secs(), 7200);
}

#[test]
fn models() {
    let allowed = |model: &str, patterns: &[&str]| {
        let mut spec = lent();
        spec["policy"] = json!({"allowedModels": patterns});
        match borrowed(&json!({"openai": {"model": model}}), &spec) {
            Ok(_) => true,
            Err(blocked) => {
                assert_eq!(blocked.reason, Reason::ModelNotAllowed);
                assert!(blocked.message.contains(model));
                false
            }
        }
    };
    for (model, patterns, expected) in [
        ("gpt-realtime-2.1", &["gpt-realtime-2.1"][..], true),
        ("gpt-realtime-2.1", &["gpt-realtime-*"], true),
        ("gpt-realtime-2.1", &["*-2.1"], true),
        ("gpt-realtime-2.1", &["gpt*2*1"], true),
        ("gpt-realtime-2.1", &["*"], true),
        ("gpt-realtime-2.1", &["**"], true),
        ("gpt-realtime-2.1", &["x", "gpt-realtime-2.1"], true),
        ("gpt-realtime-", &["gpt-realtime-*"], true), // any text, also none
        ("gpt-realtime-2.1", &[], false),
        ("gpt-realtime-2.1", &[""], false),
        ("gpt-realtime-2.1", &["gpt-realtime"], false),
        ("gpt-realtime-2.1", &["realtime-2.1"], false),
        ("gpt-realtime-2.1", &["GPT-realtime-2.1"], false),
        ("gpt-realtime-2x1", &["gpt-realtime-2.1"], false), // no regular expression
        ("gpt-realtime-2.1", &["gpt-realtime-2?1"], false),
        ("gpt-realtime-2?1", &["gpt-realtime-2?1"], true),
        ("a1", &["a[0-9]"], false),
        ("a[0-9]", &["a[0-9]"], true),
        ("a\\b", &["a\\b"], true),
        ("a*", &["a\\*"], false), // no escapes
    ] {
        assert_eq!(allowed(model, patterns), expected, "{model} {patterns:?}");
    }
}

#[test]
fn agents_are_models_too() {
    let mut spec = json!({
        "elevenlabs": {}, "namespaceSelector": {},
        "credentials": {"secretRef": {"name": "platform-key"}},
        "policy": {"allowedModels": ["agent_2"]},
    });
    let agent = elevenlabs("SignedUrl");
    let reason = refused(borrowed(&agent, &spec), "agent_1 is not among");
    assert_eq!(reason, Reason::ModelNotAllowed);
    spec["policy"]["allowedModels"] = json!(["agent_*"]);
    assert!(borrowed(&agent, &spec).is_ok());
}

proptest! {
    #[test]
    fn a_life_is_never_longer_than_the_maximum(
        asked in prop::option::of(-10i64..10_000), maximum in 10i64..10_000, which in 0usize..3,
    ) {
        let blocks = [openai(), elevenlabs("SignedUrl"), elevenlabs("ConversationToken")];
        if let Ok(life) = seconds(&blocks[which], asked, Some(maximum)) {
            prop_assert!(life <= maximum);
        }
    }
}
