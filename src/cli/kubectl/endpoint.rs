//! Where tokens are handed out on request, and how a person asks there: a Service of the cluster through a port-forward,
//! any other host directly, over TLS by the same URL and CA as an application.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_rustls::TlsConnector;

use super::request::RequestError;
use crate::api::CONNECTION_KEYS;
use crate::cli::check::requests::https;
use crate::cluster::inspect::Inspector;
use crate::cluster::{Name, is_this_machine};
use crate::mint::innermost;

/// The operator gives a provider 25 s to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer is a token with its config.
const MOST_BYTES: usize = 1 << 20;

/// A URL, and the CA of the certificate there.
pub(super) struct Endpoint {
    url: http::Uri,
    host: String,
    port: u16,
    ca: Option<Vec<u8>>,
}

/// Status and body.
pub(super) type Answer = (u16, Vec<u8>);

impl Endpoint {
    pub(super) fn new(url: &str, ca: Option<Vec<u8>>) -> Result<Self, RequestError> {
        let not_https = || RequestError::NotHttps { url: url.to_owned() };
        let parsed: http::Uri = url.parse().map_err(|_| not_https())?;
        if parsed.scheme_str() != Some("https") {
            return Err(not_https());
        }
        Ok(Self {
            host: parsed.host().ok_or_else(not_https)?.to_owned(),
            port: parsed.port_u16().unwrap_or(443),
            url: parsed,
            ca,
        })
    }

    /// As the Secret of a RealtimeToken says.
    pub(super) fn of(secret: &Secret, secret_name: &Name, token: &Name) -> Result<Self, RequestError> {
        let [url_key, ca_key] = CONNECTION_KEYS;
        let value = |key: &str| secret.data.as_ref()?.get(key).map(|value| value.0.clone());
        let url = value(url_key).and_then(|url| String::from_utf8(url).ok());
        let url = url.ok_or_else(|| RequestError::NoUrl {
            secret: secret_name.clone(),
            token: token.clone(),
            key: url_key,
        })?;
        Self::new(&url, value(ca_key))
    }

    /// The same operator, under another URL.
    pub(super) fn with_url(self, url: &str) -> Result<Self, RequestError> {
        Self::new(url, self.ca)
    }

    pub(super) fn url(&self) -> String {
        self.url.to_string()
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        match self.port {
            443 => format!("https://{}", self.host),
            port => format!("https://{}:{port}", self.host),
        }
    }

    /// That of `https://SERVICE.NAMESPACE.svc`, which no host outside of the cluster can resolve.
    fn service(&self) -> Option<Name> {
        let mut labels = self.host.split('.');
        match (labels.next(), labels.next(), labels.next()) {
            (Some(service), Some(namespace), Some("svc")) => Some(Name::new(namespace, service)),
            _ => None,
        }
    }

    /// Asks with the token of a ServiceAccount.
    pub(super) async fn ask(
        &self,
        cluster: &Inspector,
        bearer: &SecretString,
        body: String,
    ) -> Result<Answer, RequestError> {
        let Some(service_name) = self.service() else {
            return self.ask_directly(bearer, body).await;
        };
        let service = cluster.service(&service_name).await;
        let service = service.map_err(|problem| RequestError::Cluster {
            what: format!("Service {service_name}"),
            problem,
        })?;
        let (pod, port) = pod_behind(cluster, &service_name, &service, self.port).await?;
        let asked = self.ask_pod(cluster, &pod, port, bearer, body);
        let problem = match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(problem)) => problem,
            Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        };
        Err(RequestError::Forward { pod, problem })
    }

    async fn ask_directly(&self, bearer: &SecretString, body: String) -> Result<Answer, RequestError> {
        let url = self.url();
        let failed = |problem: reqwest::Error| RequestError::Unreachable {
            url: url.clone(),
            problem: innermost(&problem.without_url()),
        };
        let mut builder = https();
        if is_this_machine(&self.host) {
            builder = builder.no_proxy();
        }
        if let Some(ca) = &self.ca {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca).map_err(failed)?);
        }
        let request = builder.build().map_err(failed)?.post(&url);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let sent = request.bearer_auth(bearer.expose_secret()).send().await;
        let mut answer = sent.map_err(failed)?;
        let mut body = Vec::new();
        while body.len() < MOST_BYTES
            && let Some(piece) = answer.chunk().await.map_err(failed)?
        {
            body.extend_from_slice(&piece);
        }
        Ok((answer.status().as_u16(), body))
    }

    async fn ask_pod(
        &self,
        cluster: &Inspector,
        pod: &Name,
        port: u16,
        bearer: &SecretString,
        body: String,
    ) -> Result<Answer, String> {
        fn text(problem: impl std::fmt::Display) -> String {
            problem.to_string()
        }
        let stream = cluster.forward(pod, port).await.map_err(text)?;
        let tls = TlsConnector::from(Arc::new(self.tls_config()?));
        let server = ServerName::try_from(self.host.clone()).map_err(text)?;
        let stream = tls.connect(server, stream).await.map_err(text)?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(text)?;
        let connection = tokio::spawn(connection);
        let request = http::Request::post(self.url.path())
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {}", bearer.expose_secret()))
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(text)?;
        let answer = sender.send_request(request).await.map_err(text)?;
        let status = answer.status().as_u16();
        let body = to_bytes(Body::new(answer.into_body()), MOST_BYTES).await;
        connection.abort();
        Ok((status, body.map_err(text)?.into()))
    }

    /// No public CA issues certificates for Services.
    fn tls_config(&self) -> Result<rustls::ClientConfig, String> {
        let Some(ca) = &self.ca else {
            return Err(
                "the CA of the certificate there isn't known: the Secret has no `request-ca.crt`, or --ca is left out"
                    .to_owned(),
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
}

/// A ready pod behind the Service, and its port.
async fn pod_behind(
    cluster: &Inspector,
    name: &Name,
    service: &Service,
    port: u16,
) -> Result<(Name, u16), RequestError> {
    let no_pod = || RequestError::NoPod(name.clone());
    let spec = service.spec.as_ref().ok_or_else(no_pod)?;
    let labels: Vec<_> = spec
        .selector
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods = cluster.pods(&name.namespace, &labels.join(",")).await;
    let pods = pods.map_err(|problem| RequestError::Cluster {
        what: format!("the pods of Service {name}"),
        problem,
    })?;
    let is_ready = |pod: &&Pod| {
        let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let pod = pods.iter().find(is_ready).ok_or_else(no_pod)?;
    let mut ports = spec.ports.iter().flatten();
    let target = ports.find(|it| it.port == i32::from(port));
    let port = match target.and_then(|port| port.target_port.clone()) {
        Some(IntOrString::Int(port)) => u16::try_from(port).ok(),
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let named = ports.find(|port| port.name.as_deref() == Some(&*name));
            named.and_then(|port| u16::try_from(port.container_port).ok())
        }
        None => Some(port),
    };
    let pod = pod.metadata.name.clone().unwrap_or_default();
    Ok((Name::new(&*name.namespace, pod), port.ok_or_else(no_pod)?))
}
