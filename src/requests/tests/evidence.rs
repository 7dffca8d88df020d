//! What is known of a mint when a provider's answer is judged.

use super::*;

/// What providers say of such a mint may be the caller's words.
#[tokio::test(start_paused = true)]
async fn a_mint_is_marked_of_which_the_caller_chose_some() {
    let world = World::new(json!({"subject": "Optional", "overridable": ["expirationSeconds"]})).await;
    for (body, of_caller) in [
        (Value::Null, false),
        (json!({"overrides": {}}), false),
        (json!({"subject": "u_1"}), true),
        (json!({"overrides": {"expirationSeconds": 60}}), true),
    ] {
        assert_eq!(world.ask(body.clone()).await.status, 201, "{body}");
        let calls = world.provider.calls();
        assert_eq!(calls.last().unwrap().of_caller, of_caller, "{body}");
    }
}
