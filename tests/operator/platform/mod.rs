//! ClusterRealtimeProviders: an account of the platform team, lent to namespaces. They have no namespace of their own,
//! so each test names its own after its namespace.

mod access;
mod account;
mod isolation;
mod policy;
mod status;
mod tenants;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use realtime_token_operator::api::{ClusterRealtimeProvider, ClusterRealtimeProviderStatus};
use serde_json::{Value, json};
use testkit::wait;

use crate::expect::cluster_wide;
use crate::world::{Case, DEADLINE, put_secret};

impl Case<'_> {
    /// The name of this case's provider, and of its key Secret in the operator's namespace.
    fn provider(&self) -> &str {
        self.namespace.name()
    }

    /// The Secrets of the operator's own namespace, by a client of this test.
    fn platform_secrets(&self) -> Api<Secret> {
        Api::namespaced(self.namespace.client(), self.world.platform.name())
    }

    async fn put_platform_key(&self, key: &str) {
        put_secret(&self.platform_secrets(), self.provider(), "api-key", key).await;
    }

    /// The spec of an OpenAI account at the stand-in that every namespace may use.
    fn account(&self) -> Value {
        json!({
            "openai": {"endpoint": self.world.standin.url()},
            "credentials": {"secretRef": {"name": self.provider()}},
            "namespaceSelector": {},
        })
    }

    /// The spec of a token of this case's provider.
    fn tenant(&self, name: &str) -> Value {
        json!({
            "openai": {"model": "gpt-realtime-2.1", "safetyIdentifier": self.identity(name)},
            "credentials": {"providerRef": {"name": self.provider()}},
        })
    }

    async fn create_provider(&self, spec: Value) {
        let provider = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider",
            "metadata": {"name": self.provider()}, "spec": spec,
        });
        let provider: ClusterRealtimeProvider = serde_json::from_value(provider).unwrap();
        cluster_wide(self)
            .create(&PostParams::default(), &provider)
            .await
            .unwrap();
    }

    async fn patch_provider(&self, spec: Value) {
        let api: Api<ClusterRealtimeProvider> = cluster_wide(self);
        let patch = Patch::Merge(json!({"spec": spec}));
        api.patch(self.provider(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// A provider with its key, and a token of it that was issued.
    async fn lent(&self, spec: Value) -> Secret {
        self.put_platform_key(&self.key).await;
        self.create_provider(spec).await;
        self.create("voice", self.tenant("voice")).await;
        self.recovered("voice", 1).await
    }

    async fn provider_status(
        &self,
        fits: impl Fn(&ClusterRealtimeProviderStatus) -> bool,
    ) -> ClusterRealtimeProviderStatus {
        let api: Api<ClusterRealtimeProvider> = cluster_wide(self);
        let fits = |provider: &ClusterRealtimeProvider| provider.status.as_ref().is_some_and(&fits);
        wait::object_when(&api, self.provider(), DEADLINE, fits)
            .await
            .unwrap()
            .status
            .unwrap()
    }

    async fn label_namespace(&self, key: &str, value: Option<&str>) {
        let api: Api<Namespace> = cluster_wide(self);
        let patch = Patch::Merge(json!({"metadata": {"labels": {key: value}}}));
        api.patch(self.namespace.name(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}
