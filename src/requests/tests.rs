//! Requests against stand-ins for the Kubernetes API and the provider, under paused time; with sockets in [`server`].

mod answers;
mod evidence;
mod pools;
mod provided;
mod reviews;
mod secrecy;
mod server;
mod storm;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::FutureExt;
use http::{HeaderMap, Request};
use jiff::SignedDuration;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::handler::Handler;
use super::{Options, prepare};
use crate::cluster::Scope;
use crate::health::Health;
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::mint::EndpointPolicy;
use crate::resolve::MetadataPolicy;
use crate::testing::{FakeApi, FakeProvider};

const PATH: &str = "/v1alpha1/namespaces/shop/realtimetokens/voice/token";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const USER: &str = "system:serviceaccount:shop:web";
/// The bearer token of [`USER`].
const BEARER: &str = "bearer-of-web";

/// A cluster with the key Secret shop/openai, the RealtimeToken shop/voice, and a ServiceAccount that may request its
/// tokens.
struct World {
    api: FakeApi,
    provider: FakeProvider,
    handler: Arc<Handler>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
    _background: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn token(&self) -> &str {
        assert_eq!(self.status, 201, "{self:?}");
        self.body["token"].as_str().unwrap()
    }

    /// Status and reason of a problem.
    fn problem(&self) -> (u16, &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        assert!(!self.body["detail"].as_str().unwrap().is_empty());
        (self.status, self.body["reason"].as_str().unwrap())
    }

    fn retry_after(&self) -> u64 {
        self.headers["retry-after"].to_str().unwrap().parse().unwrap()
    }
}

impl World {
    /// With these `spec.requests`, and tokens that live 600 s.
    async fn new(requests: Value) -> Self {
        Self::with(requests, 600).await
    }

    async fn with(requests: Value, life: i64) -> Self {
        let api = cluster(requests);
        let world = Self::start(api, FakeProvider::new(SignedDuration::from_secs(life)));
        while world.health.unready().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.api.forget_requests();
        world
    }

    fn start(api: FakeApi, provider: FakeProvider) -> Self {
        let (metrics, health) = (Arc::new(Metrics::new(true)), Arc::new(Health::default()));
        let options = options(&api, &provider, &metrics, &health);
        health.wait_for(None);
        let shutdown = CancellationToken::new();
        let (handler, background) = prepare(options, shutdown.clone());
        let background = AbortOnDropHandle::new(tokio::spawn(background));
        Self {
            api,
            provider,
            handler,
            metrics,
            health,
            shutdown,
            _background: background,
        }
    }

    async fn request(&self, request: Request<Body>) -> Answer {
        self.request_from(PEER, request).await
    }

    async fn request_from(&self, peer: IpAddr, request: Request<Body>) -> Answer {
        let (parts, body) = self.handler.answer(request, peer).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    /// Asks with the bearer token of [`USER`] and this body; null is none.
    async fn ask(&self, body: Value) -> Answer {
        self.request(request(BEARER, body)).await
    }

    async fn ask_as(&self, bearer: &str) -> Answer {
        self.request(request(bearer, Value::Null)).await
    }

    fn edit(&self, patch: Value) {
        self.api.edit("realtimetokens", "shop", "voice", &patch);
    }

    /// The sum of a counter's or gauge's series that contain this text.
    fn metric(&self, contains: &str) -> f64 {
        let text = self.metrics.render();
        let matching = text
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(contains));
        matching
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

/// What the API server of a [`World`] holds.
fn cluster(requests: Value) -> FakeApi {
    let api = FakeApi::new();
    api.create(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai", "namespace": "shop"},
        "data": {"api-key": "c2stMQ=="},
    }));
    api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "voice", "namespace": "shop"},
        "spec": {
            "openai": {"model": "voice"}, "credentials": {"secretRef": {"name": "openai", "key": "api-key"}},
            "requests": requests, "target": {"content": "Connection"},
        },
    }));
    api.add_bearer_token(BEARER, USER, &["realtime-token.dev"]);
    api.allow_requests(USER, "shop", "voice", true);
    api
}

fn options(api: &FakeApi, provider: &FakeProvider, metrics: &Arc<Metrics>, health: &Arc<Health>) -> Options {
    let client = api.client();
    let issuer = Issuer::of_process(client.clone(), provider, metrics, health);
    Options {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        client,
        issuer,
        endpoints: EndpointPolicy::default(),
        metadata: MetadataPolicy::default(),
        operator_namespace: "operator".to_owned(),
        scope: Scope {
            namespaces: Vec::new(),
            cluster_providers: true,
        },
        certificate: Arc::new(NoCertificate),
        has_certificate: std::future::ready(()).boxed(),
        health: Arc::clone(health),
        metrics: Arc::clone(metrics),
    }
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn request(bearer: &str, body: Value) -> Request<Body> {
    let request = Request::post(PATH)
        .header("authorization", format!("Bearer {bearer}"))
        .header("content-type", "application/json");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    request.body(body.into()).unwrap()
}
