//! The API client: bounded in time, without hidden retries, counting its requests.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;
use tower::util::MapErrLayer;
use tower::{BoxError, Layer, Service};

use super::HEAD_TIMEOUT;
use super::address::Address;
use super::connections::Connections;
use super::kubeconfig::{self, KubeconfigProblem};
use super::proxy::ProxyError;
use super::retry_after::RetryAfterLayer;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "there is no cluster: this is no pod, and neither KUBECONFIG nor ~/.kube/config is a kubeconfig; set KUBECONFIG to \
         the file of the cluster's kubeconfig"
    )]
    NoCluster,
    #[error("{0}")]
    Kubeconfig(#[from] KubeconfigProblem),
    #[error("the pod's ServiceAccount can't be used: {0}; automountServiceAccountToken must be true")]
    Pod(String),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(
        "the Kubernetes configuration can't be used: {0}; log in again, or check the user of this context in the kubeconfig"
    )]
    Build(String),
}

/// Is called with verb, resource and HTTP status of each request; 0 if there was no answer.
pub(crate) type CountRequest = Arc<dyn Fn(&'static str, &'static str, u16) + Send + Sync>;

/// A client, and of which API server.
pub struct Connected {
    pub client: Client,
    pub address: Address,
}

/// Builds the client from the kubeconfig of `KUBECONFIG` or of the home folder; without one from the pod's service
/// account.
pub async fn connect(count: CountRequest) -> Result<Connected, ClientError> {
    let (config, address) = kubeconfig::find().await?;
    let client = build(config, address.clone(), count)?;
    Ok(Connected { client, address })
}

/// Builds the client of a person: from a context of the kubeconfig, with its namespace.
pub(crate) async fn connect_as_user(
    context: Option<&str>,
    count: CountRequest,
) -> Result<(Connected, String), ClientError> {
    let (config, address) = kubeconfig::of_context(context).await?;
    let namespace = config.default_namespace.clone();
    let client = build(config, address.clone(), count)?;
    Ok((Connected { client, address }, namespace))
}

fn build(mut config: Config, address: Address, count: CountRequest) -> Result<Client, ClientError> {
    // kube would retry 429 and 5xx up to 16 times, for minutes; retries are the reconcile loop's.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let make = move || {
        let builder = ClientBuilder::try_from(config.clone());
        let builder = builder.map_err(|problem| ClientError::Build(problem.to_string()))?;
        Ok(builder.build())
    };
    Ok(ClientBuilder::new(Connections::new(make)?, namespace)
        .with_layer(&RetryAfterLayer)
        .with_layer(&TimeoutLayer::new(HEAD_TIMEOUT))
        .with_layer(&MapErrLayer::new(move |error: BoxError| address.explain(error)))
        .with_layer(&CountLayer(count))
        .build())
}

#[derive(Clone)]
struct CountLayer(CountRequest);

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Count {
            inner,
            count: Arc::clone(&self.0),
        }
    }
}

struct Count<S> {
    inner: S,
    count: CountRequest,
}

impl<S, B> Service<http::Request<Body>> for Count<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: 'static,
{
    type Response = http::Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let count = Arc::clone(&self.count);
        let (verb, resource) = describe(&request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into);
            count(
                verb,
                resource,
                answer.as_ref().map_or(0, |answer| answer.status().as_u16()),
            );
            answer
        })
    }
}

/// The verb and the resource as metrics labels: few and fixed, whatever the path.
fn describe(request: &http::Request<Body>) -> (&'static str, &'static str) {
    let path = request.uri().path();
    let watching = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true") || query.contains("watch=1"));
    let kinds = [
        "realtimetokens",
        "clusterrealtimeproviders",
        "secrets",
        "events",
        "leases",
        "tokenreviews",
        "subjectaccessreviews",
        "namespaces",
    ];
    let found = kinds.into_iter().find(|kind| path.split('/').any(|part| part == *kind));
    let resource = found.unwrap_or("other");
    let collection = path.rsplit('/').next() == found;
    let verb = match *request.method() {
        http::Method::GET if watching => "watch",
        http::Method::GET if collection => "list",
        http::Method::GET => "get",
        http::Method::POST => "create",
        http::Method::PATCH => "patch",
        http::Method::PUT => "update",
        http::Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource)
}
