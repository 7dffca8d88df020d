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
    #[arg(long, env = "REQUESTS_LISTEN", value_name = "ADDRESS")]
    pub requests_listen: Option<SocketAddr>,
    /// The Service by which pods reach it, in the operator's own namespace and on port 443.
    #[arg(
        long,
        env = "REQUESTS_SERVICE",
        default_value = "realtime-token-operator",
        value_name = "NAME",
        value_parser = service_name
    )]
    pub requests_service: String,
    /// Another URL by which pods reach it, such as that of a gateway which passes TLS through: https://tokens.example.com.
    #[arg(
        long,
        env = "REQUESTS_URL",
        requires = "requests_listen",
        value_name = "URL",
        value_parser = https_url
    )]
    pub requests_url: Option<Address>,
    /// A Secret of type kubernetes.io/tls in the operator's own namespace with the serving certificate, kept by others such
    /// as cert-manager. Its tls.crt and tls.key are served; its ca.crt, if there is one, is what pods are to trust. Without
    /// it the operator makes a CA and a certificate of its own.
    #[arg(
        long,
        env = "REQUESTS_TLS_SECRET",
        requires = "requests_listen",
        conflicts_with_all = ["requests_ca_secret", "requests_ca_days"],
        value_name = "NAME",
        value_parser = object_name
    )]
    pub requests_tls_secret: Option<String>,
    /// The Secret in which the operator keeps its own CA and certificate. Default: the Service's name and -requests-tls.
    #[arg(
        long,
        env = "REQUESTS_CA_SECRET",
        requires = "requests_listen",
        value_name = "NAME",
        value_parser = object_name
    )]
    pub requests_ca_secret: Option<String>,
    /// For how many days the operator's own CA is valid. It is renewed after two thirds of them.
    #[arg(
        long,
        env = "REQUESTS_CA_DAYS",
        default_value_t = 365,
        value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub requests_ca_days: u16,
}

/// What the flags come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    pub listen: SocketAddr,
    pub address: Address,
    pub source: Source,
}

impl RequestsArgs {
    /// What the flags come to in this namespace; `None` if tokens on request are not enabled. `others` are the
    /// operator's other ports.
    pub fn validate(&self, namespace: &str, others: &[SocketAddr]) -> Result<Option<Requests>, String> {
        let Some(listen) = self.requests_listen else {
            return Ok(None);
        };
        let same_host = |other: &SocketAddr| {
            listen.ip() == other.ip() || listen.ip().is_unspecified() || other.ip().is_unspecified()
        };
        let taken = |other: &&SocketAddr| listen.port() == other.port() && listen.port() != 0 && same_host(other);
        if let Some(other) = others.iter().find(taken) {
            return Err(format!(
                "--requests-listen {listen}: probes or metrics are served at {other}; choose another port, such as 8443"
            ));
        }
        let service = format!("{}.{namespace}.svc", self.requests_service);
        let address = self.requests_url.clone().unwrap_or_else(|| Address {
            url: format!("https://{service}"),
            host: service.clone(),
        });
        let source = match &self.requests_tls_secret {
            Some(secret) => Source::Given { secret: secret.clone() },
            None => Source::Own {
                secret: self
                    .requests_ca_secret
                    .clone()
                    .unwrap_or_else(|| format!("{}-requests-tls", self.requests_service)),
                names: BTreeSet::from([
                    format!("{}.{namespace}", self.requests_service),
                    format!("{service}.cluster.local"),
                    "localhost".to_owned(), // kubectl port-forward
                    address.host.clone(),
                    service,
                ]),
                ca_life: SignedDuration::from_hours(24 * i64::from(self.requests_ca_days)),
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Requests>, String> {
        let all = ["realtime-token-operator", "run", "--namespace", "ops"];
        let cli = Cli::try_parse_from(all.iter().chain(args)).map_err(|problem| problem.to_string())?;
        let Command::Run(run) = cli.command else { unreachable!() };
        run.requests
            .validate(&run.namespace, &[run.health_listen, run.metrics_listen])
    }

    #[test]
    fn nothing_is_served_without_an_address() {
        assert_eq!(parse(&[]), Ok(None));
        for flag in [
            ["--requests-url", "https://a.example"],
            ["--requests-tls-secret", "tls"],
            ["--requests-ca-secret", "ca"],
        ] {
            let problem = parse(&flag).unwrap_err();
            assert!(problem.contains("--requests-listen"), "{problem}");
        }
    }

    #[test]
    fn an_own_certificate_has_every_name_of_the_service() {
        let requests = parse(&["--requests-listen", "0.0.0.0:8443", "--requests-service", "rto"])
            .unwrap()
            .unwrap();
        assert_eq!(requests.address.url, "https://rto.ops.svc");
        let Source::Own { secret, names, ca_life } = requests.source else {
            unreachable!()
        };
        assert_eq!(secret, "rto-requests-tls");
        assert_eq!(ca_life, SignedDuration::from_hours(365 * 24));
        let expected = ["localhost", "rto.ops", "rto.ops.svc", "rto.ops.svc.cluster.local"];
        assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn another_url_adds_its_host() {
        for (url, host) in [
            ("https://Tokens.Example.com", "tokens.example.com"),
            ("https://tokens.example.com:8443/voice/", "tokens.example.com"),
            ("https://10.1.2.3", "10.1.2.3"),
            ("https://[0:0::1]:443", "::1"),
        ] {
            let requests = parse(&["--requests-listen", "0.0.0.0:8443", "--requests-url", url])
                .unwrap()
                .unwrap();
            assert_eq!(requests.address.host, host);
            assert_eq!(requests.address.url, url.trim_end_matches('/'));
            let Source::Own { names, .. } = requests.source else {
                unreachable!()
            };
            assert!(
                names.contains(host) && names.contains("realtime-token-operator.ops.svc"),
                "{names:?}"
            );
        }
    }

    #[test]
    fn a_url_that_pods_can_not_use_is_refused() {
        for url in [
            "http://a.example",
            "a.example",
            "https://",
            "https://me:pw@a.example",
            "https://a.example?x=1",
            "https://a.example#x",
            "https://a_b.example",
            "https://a.example:",
            "https://a.example:0",
            "https://a..example",
        ] {
            let problem = parse(&["--requests-listen", "0.0.0.0:8443", "--requests-url", url]).unwrap_err();
            assert!(
                problem.contains("--requests-url") && problem.contains("https://"),
                "{url}: {problem}"
            );
        }
    }

    #[test]
    fn a_certificate_of_others_needs_no_ca_of_ours() {
        let given = ["--requests-listen", "0.0.0.0:8443", "--requests-tls-secret", "tls"];
        let source = parse(&given).unwrap().unwrap().source;
        assert_eq!(
            source,
            Source::Given {
                secret: "tls".to_owned()
            }
        );
        for flag in [["--requests-ca-secret", "ca"], ["--requests-ca-days", "30"]] {
            let args: Vec<&str> = given.iter().chain(&flag).copied().collect();
            let all = ["realtime-token-operator", "run"];
            let problem = Cli::try_parse_from(all.iter().chain(&args)).unwrap_err();
            assert_eq!(problem.kind(), ErrorKind::ArgumentConflict);
        }
    }

    #[test]
    fn a_port_that_is_taken_is_refused() {
        for (flag, other, requests) in [
            ("--metrics-listen", "0.0.0.0:8080", "0.0.0.0:8080"),
            ("--health-listen", "127.0.0.1:8080", "0.0.0.0:8080"),
            ("--metrics-listen", "0.0.0.0:8080", "10.1.1.1:8080"),
        ] {
            let problem = parse(&[flag, other, "--requests-listen", requests]).unwrap_err();
            assert!(problem.contains("8443"), "{problem}");
        }
        for (other, requests) in [("127.0.0.1:8080", "10.1.1.1:8080"), ("127.0.0.1:0", "127.0.0.1:0")] {
            parse(&["--metrics-listen", other, "--requests-listen", requests]).unwrap();
        }
    }
}
