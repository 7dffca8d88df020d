//! The examples without a key. Their stand-in is asked by nobody else: other tests count its calls.

use crate::examples::{read, serve};
use crate::world::World;

/// Each with one exchange of a real token of its ServiceAccount.
#[tokio::test]
async fn a_team_without_a_key() {
    let world = World::with_own_operator("keyless", &[]).await;
    let case = world.case("keyless").await;
    let standin = &case.world.standin;
    let subject = format!("system:serviceaccount:{}:voice-caller", case.namespace.name());
    let (issuer, jwks) = case.world.cluster.issuer().await.unwrap();
    standin.trust(&issuer, jwks, [&subject]);
    for (number, (file, secret)) in [
        ("openai.yaml", "keyless-openai"),
        ("azure.yaml", "keyless-azure"),
        ("google.yaml", "keyless-google"),
    ]
    .into_iter()
    .enumerate()
    {
        serve(&case, &read(&format!("keyless/{file}"))).await;
        case.revision(secret, 1).await;
        assert_eq!(standin.exchanges(&subject), number + 1, "{file}");
    }
}
