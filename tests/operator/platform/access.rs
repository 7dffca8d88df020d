//! Which namespaces may use a ClusterRealtimeProvider: none, unless it selects them.

use jiff::Timestamp;
use kube::Api;
use kube::api::DeleteParams;
use realtime_token_operator::api::ClusterRealtimeProvider;
use serde_json::json;

use crate::expect::{AT_ONCE, cluster_wide, message};
use crate::world::world;

#[tokio::test]
async fn namespaces_come_and_go_by_their_labels() {
    let case = world().await.case("selector").await;
    case.put_platform_key(&case.key).await;
    let mut spec = case.account();
    spec.as_object_mut().unwrap().remove("namespaceSelector");
    case.create_provider(spec).await;
    case.create("voice", case.tenant("voice")).await;
    let status = case.not_issued("voice", "ProviderNotFound").await;
    let missing = format!("has no ClusterRealtimeProvider {}: there is none", case.provider());
    let text = message(&status, "Ready");
    assert!(
        text.contains(&missing) && text.contains("ask the platform team"),
        "{text}"
    );

    case.patch_provider(json!({"namespaceSelector": {"matchLabels": {"voice": "yes"}}}))
        .await;
    case.settle().await;
    assert!(case.calls_of("voice").is_empty());
    let status = case.status_when("voice", |s| !s.conditions.is_empty()).await;
    assert_eq!(
        message(&status, "Ready"),
        text,
        "the selector is not the tenant's to see"
    );

    // Another value is another label.
    case.label_namespace("voice", Some("no")).await;
    case.settle().await;
    assert!(case.calls_of("voice").is_empty());

    let labelled = Timestamp::now();
    case.label_namespace("voice", Some("yes")).await;
    let calls = case.calls_of_reach("voice", 1).await;
    assert!(calls[0].time.duration_since(labelled) < AT_ONCE, "noticed at once");
    case.recovered("voice", 1).await;
    let old = case.revision("voice", 1).await;

    case.label_namespace("voice", None).await;
    case.not_renewed("voice", "ProviderNotFound", &old).await;
    case.force("voice", "now").await;
    case.settle().await;
    case.assert_untouched(&old).await;
    assert_eq!(case.calls_of("voice").len(), 1, "no mint for a namespace that may not");

    case.label_namespace("voice", Some("yes")).await;
    case.recovered("voice", 2).await;
    assert_eq!(case.calls_of("voice").len(), 2, "what was asked for meanwhile, once");
    case.assert_strict();
}

#[tokio::test]
async fn an_empty_selector_is_everybody_and_expressions_work() {
    let case = world().await.case("everybody").await;
    case.lent(case.account()).await;
    let name = case.namespace.name();
    let not_here = json!([{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [name]}]);
    case.patch_provider(json!({"namespaceSelector": {"matchExpressions": not_here}}))
        .await;
    let old = case.revision("voice", 1).await;
    case.not_renewed("voice", "ProviderNotFound", &old).await;
    case.create("other", case.tenant("other")).await;
    case.not_issued("other", "ProviderNotFound").await;
    let here = json!([{"key": "kubernetes.io/metadata.name", "operator": "In", "values": [name]}]);
    case.patch_provider(json!({"namespaceSelector": {"matchExpressions": here}}))
        .await;
    case.recovered("other", 1).await;
    case.recovered("voice", 1).await;
    case.assert_untouched(&old).await;
    assert_eq!(case.calls().len(), 2);
    case.assert_strict();
}

#[tokio::test]
async fn a_provider_that_is_missing_then_there_then_gone() {
    let case = world().await.case("missing").await;
    case.put_platform_key(&case.key).await;
    case.create("voice", case.tenant("voice")).await;
    let status = case.not_issued("voice", "ProviderNotFound").await;
    let text = message(&status, "Ready");
    assert!(
        text.contains(&format!("no ClusterRealtimeProvider {}", case.provider())),
        "{text}"
    );
    assert!(text.contains("there is none"), "{text}");
    assert!(case.calls_of("voice").is_empty());
    let created = Timestamp::now();
    case.create_provider(case.account()).await;
    let calls = case.calls_of_reach("voice", 1).await;
    assert!(calls[0].time.duration_since(created) < AT_ONCE, "noticed at once");
    case.recovered("voice", 1).await;
    let old = case.revision("voice", 1).await;

    let api: Api<ClusterRealtimeProvider> = cluster_wide(&case);
    api.delete(case.provider(), &DeleteParams::default()).await.unwrap();
    case.not_renewed("voice", "ProviderNotFound", &old).await;
    case.create_provider(case.account()).await;
    case.recovered("voice", 1).await;
    case.assert_untouched(&old).await;
    assert_eq!(
        case.calls_of("voice").len(),
        1,
        "a provider that comes back as it was changes no token"
    );
    case.assert_strict();
}
