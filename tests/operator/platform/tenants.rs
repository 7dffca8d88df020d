//! Two tenants of one account: neither opens what is the other's. And what each may have written and sent at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::expect::message;
use crate::world::{Case, data, world};

impl Case<'_> {
    /// A LiveKit key in the operator's namespace, under the name of this case's provider.
    async fn put_livekit_key(&self) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.provider()},
            "stringData": {"LIVEKIT_API_SECRET": "livekit-secret-of-a-test", "LIVEKIT_API_KEY": "APItest"},
        });
        let apply = PatchParams::apply("test").force();
        let api = self.platform_secrets();
        api.patch(self.provider(), &apply, &Patch::Apply(&secret))
            .await
            .unwrap();
    }
}

fn opening(provider: &str, room: &str) -> Value {
    json!({
        "livekit": {"identity": "kiosk", "video": {"roomJoin": true, "room": room}},
        "credentials": {"providerRef": {"name": provider}},
    })
}

#[tokio::test]
async fn neither_tenant_opens_the_others_room() {
    let shop = world().await.case("tenant").await;
    let other = world().await.case("tenant").await;
    shop.put_livekit_key().await;
    shop.create_provider(json!({
        "livekit": {}, "credentials": {"secretRef": {"name": shop.provider()}}, "namespaceSelector": {},
        "policy": {"allowedRooms": ["{{ namespace }}_*"]},
    }))
    .await;
    for (tenant, neighbour) in [(&shop, &other), (&other, &shop)] {
        let (own, foreign) = (tenant.namespace.name(), neighbour.namespace.name());
        tenant
            .create("own", opening(shop.provider(), &format!("{own}_lobby")))
            .await;
        let secret = tenant.revision("own", 1).await;
        assert_eq!(secret.type_.as_deref(), Some("realtime-token.dev/token"));
        let token = data(&secret, "token");
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["video"]["room"], format!("{own}_lobby"));
        for (name, room) in [("foreign", format!("{foreign}_lobby")), ("any", "lobby".to_owned())] {
            tenant.create(name, opening(shop.provider(), &room)).await;
            let status = tenant.not_issued(name, "FieldNotAllowed").await;
            let text = message(&status, "Ready");
            assert!(
                text.starts_with(&format!("livekit.video.room: {room} is not among")),
                "{text}"
            );
        }
        let mut beyond = opening(shop.provider(), &format!("{own}_lobby"));
        beyond["livekit"]["roomConfig"] = json!({"agents": [{"agentName": "a"}]});
        tenant.create("beyond", beyond).await;
        let status = tenant.not_issued("beyond", "FieldNotAllowed").await;
        let text = message(&status, "Ready");
        assert!(text.starts_with("livekit.roomConfig.agents: "), "{text}");
    }
}

/// What is there already, such as a ServiceAccount's token, is no key, whoever names it.
#[tokio::test]
async fn secrets_of_other_types_are_no_keys() {
    let case = world().await.case("types").await;
    let secret = |labels: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ci", "labels": labels},
            "type": "kubernetes.io/basic-auth",
            "stringData": {"username": "ci", "password": "canary", "api-key": case.key},
        })
    };
    let apply = PatchParams::apply("test").force();
    let put = async |labels: Value| {
        let secret = secret(labels);
        case.secrets()
            .patch("ci", &apply, &Patch::Apply(&secret))
            .await
            .unwrap();
    };
    put(json!({})).await;
    let mut spec = case.openai();
    spec["credentials"] = json!({"secretRef": {"name": "ci"}});
    case.create("voice", spec).await;
    let status = case.not_issued("voice", "CredentialNotAllowed").await;
    let text = message(&status, "Ready");
    assert!(text.contains("is of type kubernetes.io/basic-auth"), "{text}");
    assert!(
        text.contains("realtime-token.dev/credentials=true") && !text.contains("canary"),
        "{text}"
    );
    assert!(case.calls().is_empty());
    put(json!({"realtime-token.dev/credentials": "true"})).await;
    case.revision("voice", 1).await;
}

#[tokio::test]
async fn only_listed_labels_reach_a_secret() {
    let case = world().await.case("labels").await;
    let mut spec = case.openai();
    spec["target"] = json!({"template": {"metadata": {"labels": {"grafana_dashboard": "1"}}}});
    case.create("voice", spec).await;
    let status = case.not_issued("voice", "TargetNotAllowed").await;
    let text = message(&status, "Ready");
    assert!(
        text.starts_with("target.template.metadata.labels: grafana_dashboard is not among"),
        "{text}"
    );
    assert!(case.secrets().get_opt("voice").await.unwrap().is_none());
    let labels = json!({"grafana_dashboard": null, "team": "kiosk"});
    case.patch(
        "voice",
        json!({"spec": {"target": {"template": {"metadata": {"labels": labels}}}}}),
    )
    .await;
    let secret = case.revision("voice", 1).await;
    assert_eq!(secret.metadata.labels.unwrap()["team"], "kiosk");
}
