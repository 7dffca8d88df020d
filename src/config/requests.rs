//! The flags of tokens on request.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use clap::Args;
use jiff::SignedDuration;

use super::is_label;
use crate::requests::certificate::{Address, Source};

/// The settings of tokens on request.
#[derive(Args, Clone, Debug)]
pub struct RequestsArgs {
    /// Where tokens on request are served over TLS, such as 0.0.0.0:8443. Without it there are none, and the rights for
    /// them are not needed.
    #[arg(long = "requests-listen", env = "REQUESTS_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The Service by which pods reach it, in the operator's own namespace and on port 443.
    #[arg(
        long = "requests-service",
        env = "REQUESTS_SERVICE",
        default_value = "realtime-token-operator",
        value_name = "NAME",
        value_parser = service_name
    )]
    pub service: String,
    /// Another URL by which pods reach it, such as that of a gateway which passes TLS through: https://tokens.example.com.
    #[arg(
        long = "requests-url",
        env = "REQUESTS_URL",
        requires = "listen",
        value_name = "URL",
        value_parser = https_url
    )]
    pub url: Option<Address>,
    /// A Secret of type kubernetes.io/tls in the operator's own namespace with the serving certificate, kept by others such
    /// as cert-manager. Its tls.crt and tls.key are served; its ca.crt, if there is one, is what pods are to trust. Without
    /// it the operator makes a CA and a certificate of its own.
    #[arg(
        long = "requests-tls-secret",
        env = "REQUESTS_TLS_SECRET",
        requires = "listen",
        conflicts_with_all = ["ca_secret", "ca_days"],
        value_name = "NAME",
        value_parser = object_name
    )]
    pub tls_secret: Option<String>,
    /// The Secret in which the operator keeps its own CA and certificate. Default: the Service's name and -requests-tls.
    #[arg(
        long = "requests-ca-secret",
        env = "REQUESTS_CA_SECRET",
        requires = "listen",
        value_name = "NAME",
        value_parser = object_name
    )]
    pub ca_secret: Option<String>,
    /// For how many days the operator's own CA is valid. It is renewed after two thirds of them.
    #[arg(
        long = "requests-ca-days",
        env = "REQUESTS_CA_DAYS",
        default_value_t = 365,
        value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub ca_days: u16,
}

/// What the flags come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    pub listen: SocketAddr,
    pub address: Address,
    pub source: Source,
}

impl RequestsArgs {
    /// What the flags come to in this namespace; `None` if tokens on request are not enabled. `probes` is what --listen
    /// says.
    pub fn validate(&self, namespace: &str, probes: SocketAddr) -> Result<Option<Requests>, String> {
        let Some(listen) = self.listen else {
            return Ok(None);
        };
        let same_host = listen.ip() == probes.ip() || listen.ip().is_unspecified() || probes.ip().is_unspecified();
        if listen.port() == probes.port() && listen.port() != 0 && same_host {
            return Err(format!(
                "--requests-listen {listen}: --listen {probes} has that port; choose another, such as 8443"
            ));
        }
        let service = format!("{}.{namespace}.svc", self.service);
        let address = self.url.clone().unwrap_or_else(|| Address {
            url: format!("https://{service}"),
            host: service.clone(),
        });
        let source = match &self.tls_secret {
            Some(secret) => Source::Given { secret: secret.clone() },
            None => Source::Own {
                secret: self
                    .ca_secret
                    .clone()
                    .unwrap_or_else(|| format!("{}-requests-tls", self.service)),
                names: BTreeSet::from([
                    format!("{}.{namespace}", self.service),
                    format!("{service}.cluster.local"),
                    "localhost".to_owned(), // kubectl port-forward
                    address.host.clone(),
                    service,
                ]),
                ca_life: SignedDuration::from_hours(24 * i64::from(self.ca_days)),
            },
        };
        Ok(Some(Requests {
            listen,
            address,
            source,
        }))
    }
}

fn service_name(text: &str) -> Result<String, String> {
    let valid = is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    valid.then(|| text.to_owned()).ok_or_else(|| {
        "a Service's name has 1 to 63 small letters, digits and '-', begins with a letter and doesn't end with '-'"
            .to_owned()
    })
}

fn object_name(text: &str) -> Result<String, String> {
    is_domain(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "a Secret's name has small letters, digits, '-' and '.', and at most 253 of them".to_owned())
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// `https://` and a host, then a port and a path if need be.
fn https_url(text: &str) -> Result<Address, String> {
    let example = "such as https://tokens.example.com";
    let uri: http::Uri = text
        .parse()
        .map_err(|problem| format!("{problem}; a URL is needed, {example}"))?;
    if uri.scheme_str() != Some("https") {
        return Err(format!("it must begin with https://, {example}"));
    }
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if authority.contains('@') || uri.query().is_some() || text.contains('#') {
        return Err(format!("it must have no user, no '?' and no '#', {example}"));
    }
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_ascii_lowercase();
    let host = match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(), // in the form in which it is read back from a certificate
        Err(_) if is_domain(&host) => host,
        Err(_) => return Err(format!("{host:?} is no host's name and no IP address; {example}")),
    };
    if uri.port().is_some_and(|port| port.as_u16() == 0) || authority.ends_with(':') {
        return Err(format!("its port is missing, {example}:8443"));
    }
    Ok(Address {
        url: text.trim_end_matches('/').to_owned(),
        host,
    })
}
