//! What a ClusterRealtimeProvider says of itself.

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use realtime_token_operator::api::ClusterRealtimeProviderStatus;
use serde_json::json;
use testkit::standin::{Fault, Scope};
use testkit::wait;

use super::super::world::{Case, DEADLINE, world};
use crate::expect::{AT_ONCE, message, seconds};

fn says(status: &ClusterRealtimeProviderStatus, type_: &str, value: &str, reason: &str) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|it| it.type_ == type_ && it.status == value && it.reason == reason)
}

async fn warned(case: &Case<'_>, reason: &str) {
    let api: Api<Event> = Api::namespaced(case.namespace.client(), "default");
    wait::until(&format!("event {reason}"), DEADLINE, async || {
        let events = api.list(&ListParams::default()).await?;
        Ok(events.into_iter().find(|event| {
            let about = event.regarding.as_ref().and_then(|about| about.name.as_deref());
            about == Some(case.provider()) && event.reason.as_deref() == Some(reason)
        }))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn from_missing_to_accepted_to_rejected_and_back() {
    let case = world().await.case("conditions").await;
    let mut account = case.account();
    account.as_object_mut().unwrap().remove("namespaceSelector");
    case.create_provider(account).await;
    let status = case
        .provider_status(|s| says(s, "Ready", "False", "CredentialNotFound"))
        .await;
    assert!(
        says(&status, "CredentialValid", "Unknown", "CredentialUntested"),
        "{status:?}"
    );
    assert_eq!(status.observed_generation, Some(1));
    let text = &status.conditions[0].message;
    let missing = format!(
        "Secret {}/{} does not exist",
        case.world.platform.name(),
        case.provider()
    );
    assert!(text.contains(&missing), "{text}");
    warned(&case, "CredentialNotFound").await;

    case.put_platform_key(&case.key).await;
    let status = case
        .provider_status(|s| says(s, "Ready", "True", "CredentialFound"))
        .await;
    let text = &status.conditions[0].message;
    assert!(
        text.contains("no namespace may use it until namespaceSelector is set"),
        "{text}"
    );
    assert!(
        says(&status, "CredentialValid", "Unknown", "CredentialUntested"),
        "{status:?}"
    );

    case.patch_provider(json!({"namespaceSelector": {}})).await;
    case.provider_status(|s| s.observed_generation == Some(2)).await;
    case.create("voice", case.tenant("voice")).await;
    case.provider_status(|s| says(s, "CredentialValid", "True", "CredentialAccepted"))
        .await;
    case.recovered("voice", 1).await;

    let wrong = format!("sk-wrong-{}", case.provider());
    // The new key was not used yet, so nothing is known of it: until it is used, hence a look that begins before.
    let untested = case.provider_status(|s| says(s, "CredentialValid", "Unknown", "CredentialUntested"));
    tokio::join!(untested, case.put_platform_key(&wrong));
    let status = case
        .provider_status(|s| says(s, "CredentialValid", "False", "CredentialRejected"))
        .await;
    assert!(
        says(&status, "Ready", "True", "CredentialFound"),
        "the key is there: {status:?}"
    );
    let text = &status.conditions[1].message;
    assert!(text.contains("answered 401") && !text.contains(&wrong), "{text}");
    warned(&case, "CredentialRejected").await;

    case.put_platform_key(&case.spare_key).await;
    case.provider_status(|s| says(s, "CredentialValid", "True", "CredentialAccepted"))
        .await;
    case.recovered("voice", 2).await;

    case.platform_secrets()
        .delete(case.provider(), &DeleteParams::default())
        .await
        .unwrap();
    case.provider_status(|s| says(s, "Ready", "False", "CredentialNotFound"))
        .await;
    let keys: Vec<_> = case
        .calls_of("voice")
        .into_iter()
        .map(|call| call.api_key.unwrap())
        .collect();
    assert_eq!(keys, [case.key.clone(), wrong, case.spare_key.clone()]);
}

#[tokio::test]
async fn a_limit_shows_while_it_holds() {
    let case = world().await.case("limited").await;
    case.put_platform_key(&case.key).await;
    case.create_provider(case.account()).await;
    case.world
        .standin
        .fail_next_for(Scope::Key(case.key.clone()), 1, Fault::throttled(12));
    case.create("voice", case.tenant("voice")).await;
    let limited_at = case.calls_of_reach("voice", 1).await[0].time;
    // A RealtimeToken that waits names the ClusterRealtimeProvider, and not the Secret of its key.
    case.create("next", case.tenant("next")).await;
    let (status, _, waiting) = tokio::join!(
        case.provider_status(|s| s.rate_limit.is_some()),
        case.not_issued("voice", "RateLimited"),
        case.not_issued("next", "RateLimited"),
    );
    let until = status.rate_limit.unwrap().limited_until.unwrap().0;
    let wait = until.duration_since(limited_at);
    assert!(
        wait > seconds(11.0) && wait < seconds(12.0) + AT_ONCE,
        "limited for {wait:?}"
    );
    let text = message(&waiting, "Ready");
    let named = format!("the key of ClusterRealtimeProvider {} is limited", case.provider());
    assert!(text.starts_with(&named), "{text}");
    case.provider_status(|s| s.rate_limit.is_none()).await;
    assert!(
        Timestamp::now() >= until,
        "the limit is gone from the status before its end"
    );
    case.recovered("voice", 1).await;
    assert_eq!(case.calls_of("voice").len(), 2);
    case.assert_strict();
}
