//! What a person at a terminal asks of the cluster, with their own rights: RealtimeTokens as they are, who reads their
//! Secrets, what happened lately; and the few edits of `kubectl realtime-token`.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::address::Address;
use super::client::Connected;
use super::{ClusterError, Name, bounded};
use crate::api::{REQUESTS_AUDIENCE, RealtimeToken};

/// Of each answer: a terminal is read by a person.
const PAGE: u32 = 500;
/// In seconds. The API server grants no shorter life.
const SHORTEST_LIFE: i64 = 600;

/// One cluster, asked by a person.
pub(crate) struct Inspector {
    client: Client,
    address: Address,
}

impl Inspector {
    pub(crate) fn new(Connected { client, address }: Connected) -> Self {
        Self { client, address }
    }

    /// Which API server is asked.
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) async fn token(&self, name: &Name) -> Result<RealtimeToken, ClusterError> {
        bounded(self.tokens_in(&name.namespace).get(&name.name)).await
    }

    /// The RealtimeTokens of a namespace, or of all.
    pub(crate) async fn tokens(&self, namespace: Option<&str>) -> Result<Vec<RealtimeToken>, ClusterError> {
        let api = namespace.map_or_else(|| Api::all(self.client.clone()), |namespace| self.tokens_in(namespace));
        let mut params = ListParams::default().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = bounded(api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(all),
            }
        }
    }

    pub(crate) async fn patch(&self, name: &Name, patch: &Value) -> Result<RealtimeToken, ClusterError> {
        let params = PatchParams::default();
        bounded(
            self.tokens_in(&name.namespace)
                .patch(&name.name, &params, &Patch::Merge(patch)),
        )
        .await
    }

    /// The Events about one RealtimeToken.
    pub(crate) async fn events(&self, name: &Name) -> Result<Vec<Event>, ClusterError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &name.namespace);
        let about = format!("involvedObject.kind=RealtimeToken,involvedObject.name={}", name.name);
        Ok(bounded(api.list(&ListParams::default().fields(&about).limit(PAGE)))
            .await?
            .items)
    }

    pub(crate) async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        Ok(bounded(api.list(&ListParams::default().labels(labels).limit(PAGE)))
            .await?
            .items)
    }

    pub(crate) async fn secret(&self, name: &Name) -> Result<Secret, ClusterError> {
        bounded(Api::<Secret>::namespaced(self.client.clone(), &name.namespace).get(&name.name)).await
    }

    pub(crate) async fn service(&self, name: &Name) -> Result<Service, ClusterError> {
        bounded(Api::<Service>::namespaced(self.client.clone(), &name.namespace).get(&name.name)).await
    }

    pub(crate) async fn crd(&self, name: &str) -> Result<CustomResourceDefinition, ClusterError> {
        bounded(Api::<CustomResourceDefinition>::all(self.client.clone()).get(name)).await
    }

    /// The Deployments of operators, in all namespaces.
    pub(crate) async fn operators(&self) -> Result<Vec<Deployment>, ClusterError> {
        let ours = "app.kubernetes.io/part-of=realtime-token-operator,app.kubernetes.io/component=operator";
        let api = Api::<Deployment>::all(self.client.clone());
        Ok(bounded(api.list(&ListParams::default().labels(ours).limit(PAGE)))
            .await?
            .items)
    }

    pub(crate) async fn lease(&self, name: &Name) -> Result<Option<Lease>, ClusterError> {
        bounded(Api::<Lease>::namespaced(self.client.clone(), &name.namespace).get_opt(&name.name)).await
    }

    /// A token of a ServiceAccount with which it can ask for tokens on request, as the kubelet projects one.
    pub(crate) async fn service_account_token(&self, name: &Name) -> Result<SecretString, ClusterError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &name.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![REQUESTS_AUDIENCE.to_owned()],
                expiration_seconds: Some(SHORTEST_LIFE),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let answer = bounded(api.create_token_request(&name.name, &PostParams::default(), &request)).await?;
        Ok(answer.status.map(|status| status.token).unwrap_or_default().into())
    }

    /// A connection to a port of a pod, through the API server.
    pub(crate) async fn forward(
        &self,
        pod: &Name,
        port: u16,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let mut forwarder = bounded(api.portforward(&pod.name, &[port])).await?;
        let stream = forwarder.take_stream(port);
        stream.ok_or_else(|| ClusterError::Unavailable("the API server opened no stream".to_owned()))
    }

    fn tokens_in(&self, namespace: &str) -> Api<RealtimeToken> {
        Api::namespaced(self.client.clone(), namespace)
    }
}
