//! `request`: asks for a token as an application in the cluster would: with a token of its ServiceAccount, over TLS, by
//! the URL and the CA that stand in the RealtimeToken's Secret. Only the way there is another: a port-forward.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio_rustls::TlsConnector;

use super::{PluginError, missing};
use crate::api::CONNECTION_KEYS;
use crate::cluster::inspect::Inspector;
use crate::cluster::{ClusterError, Name};

/// The operator gives a provider 25 s to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer is a token with its config.
const MOST_BYTES: usize = 1 << 20;

/// Whose token, and for whom.
#[derive(Args, Debug)]
pub(super) struct Request {
    /// The RealtimeToken.
    name: String,
    /// The ServiceAccount to ask as, which needs the right to `create` `realtimetokens/token`. You need the right to
    /// request its tokens.
    #[arg(long, value_name = "NAME")]
    service_account: String,
    /// Who the token is for: an opaque id or a hash.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(
        "Secret {secret} has no `{key}`: `spec.requests` of RealtimeToken {token} is not set, or this installation hands \
         out no tokens on request (condition Serving says which)"
    )]
    NoUrl {
        secret: Name,
        token: Name,
        key: &'static str,
    },
    #[error(
        "`{url}` is not https://SERVICE.NAMESPACE.svc: this command reaches Services of the cluster only; ask with curl"
    )]
    NotAService { url: String },
    #[error("no ready pod is behind Service {0}")]
    NoPod(Name),
    #[error("{what}: {problem}")]
    Cluster { what: String, problem: ClusterError },
    #[error("the port-forward to {pod}: {problem}")]
    Forward { pod: Name, problem: String },
    #[error("the operator answered {status} {reason}: {detail}")]
    Refused {
        status: u16,
        reason: String,
        detail: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    reason: String,
    detail: String,
}

/// Where to ask, as the Secret says.
struct Endpoint {
    url: http::Uri,
    host: String,
    service: Name,
    port: u16,
    ca: Option<Vec<u8>>,
}

/// The token as the operator answers it.
pub(super) async fn request(cluster: &Inspector, namespace: &str, wanted: Request) -> Result<String, PluginError> {
    let name = Name::new(namespace, &*wanted.name);
    let token = cluster.token(&name).await.map_err(|problem| missing(&name, problem))?;
    let secret_name = Name::new(namespace, token.target_name());
    let at = |what: String| move |problem| RequestError::Cluster { what, problem };
    let secret = cluster.secret(&secret_name).await;
    let secret = secret.map_err(at(format!("Secret {secret_name}")))?;
    let endpoint = Endpoint::of(&secret, &secret_name, &name)?;
    let account = Name::new(namespace, &*wanted.service_account);
    let bearer = cluster.service_account_token(&account).await;
    let bearer = bearer.map_err(at(format!("a token of ServiceAccount {account}")))?;
    let service = cluster.service(&endpoint.service).await;
    let service = service.map_err(at(format!("Service {}", endpoint.service)))?;
    let (pod, port) = pod_behind(cluster, &service, &endpoint).await?;
    let body = match wanted.subject {
        Some(subject) => json!({"subject": subject}),
        None => json!({}),
    };
    let asked = ask(cluster, &pod, port, &endpoint, &bearer, body.to_string());
    let answer = tokio::time::timeout(TIMEOUT, asked).await;
    let answer = answer.unwrap_or_else(|_| {
        let problem = format!("no answer within {} s", TIMEOUT.as_secs());
        Err(RequestError::Forward { pod, problem })
    });
    Ok(answer? + "\n")
}

impl Endpoint {
    fn of(secret: &Secret, secret_name: &Name, token: &Name) -> Result<Self, RequestError> {
        let [url_key, ca_key] = CONNECTION_KEYS;
        let value = |key: &str| secret.data.as_ref()?.get(key).map(|value| value.0.clone());
        let url = value(url_key).and_then(|url| String::from_utf8(url).ok());
        let url = url.ok_or_else(|| RequestError::NoUrl {
            secret: secret_name.clone(),
            token: token.clone(),
            key: url_key,
        })?;
        let not_a_service = || RequestError::NotAService { url: url.clone() };
        let parsed: http::Uri = url.parse().map_err(|_| not_a_service())?;
        let host = parsed.host().ok_or_else(not_a_service)?.to_owned();
        let mut labels = host.split('.');
        let service = match (labels.next(), labels.next(), labels.next()) {
            (Some(service), Some(namespace), Some("svc")) => Name::new(namespace, service),
            _ => return Err(not_a_service()),
        };
        Ok(Self {
            port: parsed.port_u16().unwrap_or(443),
            url: parsed,
            host,
            service,
            ca: value(ca_key),
        })
    }
}

/// A ready pod behind the Service, and its port.
async fn pod_behind(cluster: &Inspector, service: &Service, endpoint: &Endpoint) -> Result<(Name, u16), RequestError> {
    let no_pod = || RequestError::NoPod(endpoint.service.clone());
    let spec = service.spec.as_ref().ok_or_else(no_pod)?;
    let labels: Vec<_> = spec
        .selector
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let namespace = &endpoint.service.namespace;
    let pods = cluster.pods(namespace, &labels.join(",")).await;
    let pods = pods.map_err(|problem| RequestError::Cluster {
        what: format!("the pods of Service {}", endpoint.service),
        problem,
    })?;
    let is_ready = |pod: &&k8s_openapi::api::core::v1::Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions
            .clone()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let pod = pods.iter().find(is_ready).ok_or_else(no_pod)?;
    let ports = spec.ports.iter().flatten();
    let target = ports.clone().find(|port| port.port == i32::from(endpoint.port));
    let port = match target.and_then(|port| port.target_port.clone()) {
        Some(IntOrString::Int(port)) => u16::try_from(port).ok(),
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let named = ports.find(|port| port.name.as_deref() == Some(&*name));
            named.and_then(|port| u16::try_from(port.container_port).ok())
        }
        None => Some(endpoint.port),
    };
    let name = pod.metadata.name.clone().unwrap_or_default();
    Ok((Name::new(&**namespace, name), port.ok_or_else(no_pod)?))
}

async fn ask(
    cluster: &Inspector,
    pod: &Name,
    port: u16,
    endpoint: &Endpoint,
    bearer: &SecretString,
    body: String,
) -> Result<String, RequestError> {
    let failed = |problem: String| RequestError::Forward {
        pod: pod.clone(),
        problem,
    };
    let stream = cluster.forward(pod, port).await;
    let stream = stream.map_err(|problem| failed(problem.to_string()))?;
    let tls = TlsConnector::from(Arc::new(tls_config(endpoint).map_err(failed)?));
    let server = ServerName::try_from(endpoint.host.clone()).map_err(|problem| failed(problem.to_string()))?;
    let stream = tls
        .connect(server, stream)
        .await
        .map_err(|problem| failed(problem.to_string()))?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|problem| failed(problem.to_string()))?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post(endpoint.url.path())
        .header(HOST, &endpoint.host)
        .header(AUTHORIZATION, format!("Bearer {}", bearer.expose_secret()))
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|problem| failed(problem.to_string()))?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|problem| failed(problem.to_string()))?;
    let status = answer.status().as_u16();
    let body = to_bytes(Body::new(answer.into_body()), MOST_BYTES).await;
    let body = body.map_err(|problem| failed(problem.to_string()))?;
    connection.abort();
    if status == 201 {
        return String::from_utf8(body.into()).map_err(|problem| failed(problem.to_string()));
    }
    let Problem { reason, detail } = serde_json::from_slice(&body).unwrap_or_default();
    Err(RequestError::Refused { status, reason, detail })
}

fn tls_config(endpoint: &Endpoint) -> Result<rustls::ClientConfig, String> {
    let Some(ca) = &endpoint.ca else {
        return Err(
            "the Secret has no CA certificate, so the system's would have to be trusted: ask with curl".to_owned(),
        );
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let certificate = certificate.map_err(|problem| problem.to_string())?;
        roots.add(certificate).map_err(|problem| problem.to_string())?;
    }
    Ok(rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}
