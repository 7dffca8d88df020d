//! An application team's namespace.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use realtime_token_operator::api::{RealtimeToken, RealtimeTokenStatus};
use serde_json::{Value, json};
use testkit::wait;

/// Two mints of a RealtimeToken are ten seconds apart; the rest is for a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

pub struct Tenant {
    pub client: Client,
    pub namespace: String,
    endpoint: String,
}

impl Tenant {
    pub fn new(client: Client, namespace: &str, endpoint: String) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            endpoint,
        }
    }

    pub fn tokens(&self) -> Api<RealtimeToken> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A spec with the team's own key.
    pub fn own(&self) -> Value {
        json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": self.endpoint},
            "credentials": {"secretRef": {"name": "openai"}},
            "expirationSeconds": 1800,
        })
    }

    /// A spec with a key of the platform team's.
    pub fn lent(&self, provider: &str) -> Value {
        json!({
            "openai": {"model": "gpt-realtime-2.1"},
            "credentials": {"providerRef": {"name": provider}},
        })
    }

    pub fn manifest(name: &str, spec: Value) -> Value {
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name}, "spec": spec,
        })
    }

    pub async fn create(&self, name: &str, spec: Value) {
        let token = serde_json::from_value(Self::manifest(name, spec)).unwrap();
        self.tokens().create(&PostParams::default(), &token).await.unwrap();
    }

    pub async fn patch(&self, name: &str, patch: Value) {
        self.tokens()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Asks for another token by the annotation.
    pub async fn force(&self, name: &str, when: &str) {
        let annotations = json!({"realtime-token.dev/renew-requested-at": when});
        self.patch(name, json!({"metadata": {"annotations": annotations}}))
            .await;
    }

    pub async fn delete(&self, name: &str) {
        self.tokens().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the status fits.
    pub async fn status(&self, name: &str, fits: impl Fn(&RealtimeTokenStatus) -> bool) -> RealtimeTokenStatus {
        let fits = |token: &RealtimeToken| token.status.as_ref().is_some_and(&fits);
        let token = wait::object_when(&self.tokens(), name, SOON, fits).await;
        token.unwrap().status.unwrap()
    }

    /// Waits for a condition; its message.
    pub async fn condition(&self, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let found = |s: &RealtimeTokenStatus| {
            let mut conditions = s.conditions.iter();
            conditions
                .find(|c| c.type_ == type_ && c.status == status && c.reason == reason)
                .map(|c| c.message.clone())
        };
        let status = self.status(name, |status| found(status).is_some()).await;
        found(&status).unwrap()
    }

    /// Waits until a RealtimeToken says that its token of this revision is in the Secret.
    pub async fn revision(&self, name: &str, revision: i64) {
        self.status(name, |status| status.revision == Some(revision)).await;
    }

    /// Waits for a Secret that fits.
    pub async fn secret(&self, name: &str, fits: impl Fn(&Secret) -> bool) -> Secret {
        wait::object_when(&self.secrets(), name, SOON, fits).await.unwrap()
    }

    /// Waits until an Event has come so many times.
    pub async fn event(&self, name: &str, reason: &str, times: i32) {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        wait::until(&format!("{times} events {reason} of {name}"), SOON, async || {
            let events = api.list(&ListParams::default()).await?;
            let about = |event: &Event| {
                let regarding = event.regarding.as_ref().and_then(|it| it.name.as_deref());
                event.reason.as_deref() == Some(reason) && regarding == Some(name)
            };
            let came = |event: &Event| event.series.as_ref().map_or(1, |series| series.count);
            let count: i32 = events.iter().filter(|it| about(it)).map(came).sum();
            Ok((count >= times).then_some(()))
        })
        .await
        .unwrap();
    }
}
