//! The API client: bounded in time, without hidden retries, counting its requests.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::client::{Body, ClientBuilder};
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer, Service};

use super::HEAD_TIMEOUT;
use super::connections::Connections;
use super::retry_after::RetryAfterLayer;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no Kubernetes cluster is configured: run inside a cluster, or set KUBECONFIG to a kubeconfig file ({0})")]
    Config(String),
    #[error("the Kubernetes configuration can't be used: {0}")]
    Build(String),
}

/// Is called with verb, resource and HTTP status of each request; 0 if there was no answer.
pub(crate) type CountRequest = Arc<dyn Fn(&'static str, &'static str, u16) + Send + Sync>;

/// Builds the client from the pod's service account, or from `KUBECONFIG`.
pub async fn connect(count: CountRequest) -> Result<Client, ClientError> {
    let mut config = Config::infer()
        .await
        .map_err(|problem| ClientError::Config(first_line(&problem)))?;
    apply_no_proxy(&mut config, &Matcher::from_env());
    build(config, count)
}

/// Builds the client of a person: from a context of the kubeconfig, with its namespace.
pub(crate) async fn connect_as_user(
    context: Option<&str>,
    count: CountRequest,
) -> Result<(Client, String), ClientError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_kubeconfig(&options)
        .await
        .map_err(|problem| ClientError::Config(first_line(&problem)))?;
    apply_no_proxy(&mut config, &Matcher::from_env());
    let namespace = config.default_namespace.clone();
    Ok((build(config, count)?, namespace))
}

/// Drops a proxy of the environment if NO_PROXY names the API server: kube 5 compares NO_PROXY with the proxy's own host
/// instead. A proxy that the kubeconfig names stays.
fn apply_no_proxy(config: &mut Config, environment: &Matcher) {
    let elsewhere = Uri::from_static("https://elsewhere.invalid");
    let of_environment = environment.intercept(&elsewhere).is_some_and(|proxy| {
        let used = config.proxy_url.as_ref();
        used.is_some_and(|used| used.host() == proxy.uri().host() && used.port() == proxy.uri().port())
    });
    if of_environment && environment.intercept(&config.cluster_url).is_none() {
        config.proxy_url = None;
    }
}

/// A parser's message without the excerpt that follows it: a kubeconfig holds credentials.
fn first_line(problem: &impl std::fmt::Display) -> String {
    let text = problem.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

pub(crate) fn build(mut config: Config, count: CountRequest) -> Result<Client, ClientError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy that is used for `https://10.1.2.3:6443`.
    fn proxy(of_config: &str, no_proxy: &str) -> Option<String> {
        let mut config = Config::new(Uri::from_static("https://10.1.2.3:6443"));
        config.proxy_url = of_config.parse().ok();
        let environment = Matcher::builder().https("http://me:pw@proxy:3128");
        apply_no_proxy(&mut config, &environment.no(no_proxy).build());
        config.proxy_url.map(|proxy| proxy.to_string())
    }

    #[test]
    fn no_proxy_is_compared_with_the_api_server() {
        let proxied = "http://me:pw@proxy:3128/";
        for spared in ["10.1.2.3", "10.0.0.0/8", "x.example, 10.1.2.3"] {
            assert_eq!(proxy(proxied, spared), None, "{spared}");
        }
        for other in ["", "10.1.2.4", "proxy", "192.168.0.0/16"] {
            assert_eq!(proxy(proxied, other).as_deref(), Some(proxied), "{other}");
        }
        // A proxy of the kubeconfig stays.
        let own = "http://own:8080/";
        assert_eq!(proxy(own, "10.1.2.3").as_deref(), Some(own));
    }
}
