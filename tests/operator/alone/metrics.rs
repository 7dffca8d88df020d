//! Counts over all tokens.

use testkit::standin::Fault;

use crate::metrics::lines_appear;
use crate::world::World;

/// Alerts on a key that is refused look at how many tokens are stuck with it now, so that they end with the trouble.
#[tokio::test]
async fn tokens_in_trouble_are_counted_by_reason() {
    let world = World::with_own_operator("trouble", &[]).await;
    let case = world.case("trouble").await;
    case.fail(Fault::status(401));
    case.create("refused", case.openai()).await;
    case.create("fine", case.elevenlabs("SignedUrl")).await;
    let count = |provider, ready, reason, count| {
        format!("realtime_token_tokens{{provider=\"{provider}\",ready=\"{ready}\",reason=\"{reason}\"}} {count}\n")
    };
    let fine = count("elevenlabs", true, "Ready", 1);
    let refused = count("openai", false, "CredentialRejected", 1);
    lines_appear(&world, &[refused, fine.clone()]).await;
    world.standin.heal();
    case.put_key("openai", &case.spare_key).await;
    let repaired = count("openai", true, "Ready", 1);
    lines_appear(&world, &[repaired, fine]).await;
}
