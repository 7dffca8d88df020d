//! The one HTTP client of all providers.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONTENT_LENGTH;
use hyper_util::client::proxy::matcher::Matcher;
use jiff::Timestamp;
use reqwest::{Certificate, Response, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::Instant;
use tracing::{debug, instrument};

use super::endpoint;
use super::expiry::Clocks;
use super::failure::{Limits, failure};
use super::refusal::{Responder, responder};
use super::reply::{Reply, signed};
use super::resolver::GuardedResolver;
use super::retry_after::date;
use super::{AccessToken, Ask, Body, Credential, EndpointPolicy, Mint, Minter, Request, Step, SubjectToken, To};
use crate::api::Exchange;
use crate::providers::Block;
use crate::token::{MintError, Minted};

/// OpenAI's reply echoes the session config, at most 48 KiB of it; the other providers' are a few lines.
const REPLY_CAP: usize = 64 * 1024;
/// How long a connection may rest. Its buffers hold the key that was sent last, and the token that came.
const IDLE: Duration = Duration::from_secs(10);
/// An access token, then the token itself.
const MOST_REQUESTS: usize = 2;

/// How long a mint may take by default, from the name's resolution to the reply's last byte.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The `User-Agent` of every request.
pub(crate) const AGENT: &str = concat!("realtime-token-operator/", env!("CARGO_PKG_VERSION"));

/// How to reach the providers.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// How long a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// How long a mint may take, from the name's resolution to the reply's last byte.
    pub timeout: Duration,
    /// Certificates in PEM to trust beside the platform's, for proxies that look into TLS.
    pub ca_bundle: Option<Vec<u8>>,
    /// Where keys may be sent.
    pub endpoints: EndpointPolicy,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: TIMEOUT,
            ca_bundle: None,
            endpoints: EndpointPolicy::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the CA bundle holds no certificate or an unusable one: it must be a file of PEM certificates")]
    CaBundle,
    #[error(
        "can't set up TLS: {0}. The trusted certificates come from the system, or from the file that SSL_CERT_FILE names"
    )]
    Tls(String),
}

/// Mints tokens. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct ProviderClient {
    http: reqwest::Client,
    endpoints: EndpointPolicy,
    /// As reqwest sees them, to say which of them fails.
    proxies: Arc<Matcher>,
    limits: Limits,
}

impl Minter for ProviderClient {
    fn mint<'a>(
        &'a self,
        ask: &'a Ask,
        credential: &'a Credential,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Minted, MintError>> {
        self.mint(ask, credential, now).boxed()
    }

    fn exchange<'a>(
        &'a self,
        exchange: &'a Exchange,
        subject: &'a SubjectToken,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<AccessToken, MintError>> {
        self.exchange_token(exchange, subject, now).boxed()
    }
}

impl ProviderClient {
    /// A client for all providers. The environment's proxies (`HTTPS_PROXY`, `NO_PROXY`) apply.
    pub fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        Self::guarding(config, guarded_hosts(&config.endpoints))
    }

    fn guarding(config: &ClientConfig, hosts: impl Iterator<Item = String>) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(AGENT)
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .pool_idle_timeout(IDLE)
            // A redirect would carry the key to a host that was not checked.
            .redirect(reqwest::redirect::Policy::none())
            // The schedule decides on retries; a second request that it doesn't know of may mint twice.
            .retry(reqwest::retry::never())
            .https_only(!config.endpoints.lists_plain_http())
            .dns_resolver(GuardedResolver::new(hosts).except(config.endpoints.hosts()));
        if let Some(pem) = &config.ca_bundle {
            builder = builder.tls_certs_merge(certificates(pem)?);
        }
        let http = builder.build().map_err(|error| ClientError::Tls(innermost(&error)))?;
        let limits = Limits {
            connect: config.connect_timeout,
            total: config.timeout,
        };
        Ok(Self {
            http,
            endpoints: config.endpoints.clone(),
            proxies: Arc::new(Matcher::from_env()),
            limits,
        })
    }

    /// Mints once. `now` is our clock as the request is sent.
    #[instrument(name = "mint", skip_all, fields(provider = ask.block.provider().name()))]
    pub async fn mint(&self, ask: &Ask, credential: &Credential, now: Timestamp) -> Result<Minted, MintError> {
        let began = Instant::now(); // at once: what passes after `now` must not look like a difference of the clocks
        let provider = ask.block.provider();
        let endpoint = self.endpoints.check(&provider.endpoint())?;
        let mint = Mint {
            expiration: ask.expiration,
            credential,
            namespace: &ask.namespace,
            subject: ask.subject.as_deref(),
            ask: Some(ask),
            now,
            nonce: nonce()?,
        };
        let mut step = provider.start(&mint)?;
        for nth in 0..MOST_REQUESTS {
            let request = match step {
                Step::Send(request) => request,
                Step::Done(answer) => return signed(provider, &mint, answer),
            };
            let origin = match &request.to {
                To::Endpoint => endpoint.clone(),
                To::Service { origin, built_in, .. } => Some(self.endpoints.check_service(origin, *built_in)?),
            };
            let origin = origin.ok_or_else(no_origin)?;
            let responder = responder(provider, &request.to);
            let instant = if nth == 0 { began } else { Instant::now() };
            let sent = now + instant.duration_since(began);
            let reply = self.send(&origin, request, responder, (sent, instant)).await?;
            match reply.read(provider, &mint, nth)? {
                Step::Done(answer) => return reply.minted(provider, &mint, answer, sent),
                next => step = next,
            }
        }
        Err(no_origin())
    }

    pub(super) const fn endpoints(&self) -> &EndpointPolicy {
        &self.endpoints
    }

    /// The proxy on the way to this origin, without its credentials.
    fn proxy(&self, origin: &Url) -> Option<String> {
        let proxy = self.proxies.intercept(&origin.as_str().parse().ok()?)?;
        let authority = proxy.uri().authority()?.as_str();
        authority.rsplit('@').next().map(str::to_owned)
    }

    pub(super) async fn send(
        &self,
        origin: &Url,
        request: Request,
        responder: Responder,
        (sent, instant): (Timestamp, Instant),
    ) -> Result<Reply, MintError> {
        let host = origin.host_str().unwrap_or_default();
        let failed = |error: reqwest::Error| failure(&error, host, self.proxy(origin).as_deref(), self.limits);

        let url = format!("{}{}", origin.as_str().trim_end_matches('/'), request.path);
        let mut call = self.http.request(request.method, url).headers(request.headers);
        call = match request.body {
            Body::None => call,
            Body::Empty => call.header(CONTENT_LENGTH, 0).body(Vec::new()),
            Body::Bytes(body) => call.body(body),
        };
        let mut response = call.send().await.map_err(failed)?;
        let elapsed = instant.elapsed();

        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let millis = elapsed.as_millis();
        debug!(status = status.as_u16(), millis, "the provider answered");

        let body = if status.is_success() {
            let (body, whole) = read(&mut response, REPLY_CAP).await.map_err(failed)?;
            if !whole {
                let message = format!(
                    "{} answered {} with more than {REPLY_CAP} bytes, which no token takes. If it stays so, \
                     something on the way answers in the provider's place.",
                    responder.name,
                    status.as_u16()
                );
                // It may have minted one all the same, as with any reply that can't be used.
                return Err(MintError::Rejected {
                    credential: false,
                    message,
                });
            }
            body
        } else {
            // The status is enough; a failure to read the body must not hide it.
            read(&mut response, REPLY_CAP)
                .await
                .map(|(body, _)| body)
                .unwrap_or_default()
        };
        let clocks = Clocks::new(sent, elapsed, date(&headers));
        Ok(Reply {
            status,
            headers,
            body,
            clocks,
            responder,
        })
    }
}

/// Random bytes for ids and salts.
fn nonce() -> Result<[u8; 16], MintError> {
    let mut nonce = [0; 16];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| MintError::internal("the system gives no random numbers"))?;
    Ok(nonce)
}

/// A bug of an adapter, as an error and not as a panic.
pub(crate) fn no_origin() -> MintError {
    MintError::internal("the adapter sends requests without end or to nowhere; this is a bug of the operator")
}

/// The body up to the cap, and whether that is all of it.
async fn read(response: &mut Response, cap: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let left = cap - body.len();
        if chunk.len() > left {
            body.extend_from_slice(&chunk[..left]);
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}

/// The certificates of a PEM file, each of them good enough to trust.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ClientError> {
    let certificates = CertificateDer::pem_slice_iter(pem).map(|der| {
        let der = der.map_err(|_| ClientError::CaBundle)?;
        RootCertStore::empty()
            .add(der.clone())
            .map_err(|_| ClientError::CaBundle)?;
        Certificate::from_der(&der).map_err(|_| ClientError::CaBundle)
    });
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        Err(ClientError::CaBundle)
    } else {
        Ok(certificates)
    }
}

/// The hosts that keys are sent to although `--allow-endpoint` doesn't list them.
fn guarded_hosts(policy: &EndpointPolicy) -> impl Iterator<Item = String> {
    let built_in = Block::every_facts().iter().flat_map(|facts| facts.origins);
    built_in
        .chain(Exchange::ORIGINS)
        .filter_map(|own| match own.strip_prefix("https://*") {
            Some(domain) => Some(domain.to_owned()),
            None => {
                let origin = endpoint::origin(own).ok().filter(|origin| !policy.lists(origin))?;
                origin.host_str().map(str::to_owned)
            }
        })
}

/// The last cause of an error: the outer ones of an HTTP client only say that a request failed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
