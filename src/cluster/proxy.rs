//! The proxy on the way to the API server, chosen as kubectl does it: that of the kubeconfig; else that of the environment,
//! unless NO_PROXY names the API server or it is this machine, as with kind, k3d and minikube.
//!
//! kube would proxy loopback addresses too, and compares NO_PROXY with the proxy's own host.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::proxy::matcher::Matcher;

/// A proxy, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) url: Uri,
    pub(super) from: &'static str,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProxyError {
    /// The value may hold a password and is not repeated.
    #[error("{0} is no URL of a proxy: write it as http://HOST:PORT")]
    NoUrl(&'static str),
    #[error("{0} names a proxy that isn't one of http or https, which are those supported: write http://HOST:PORT")]
    Unsupported(&'static str),
}

/// The proxy of a kubeconfig's cluster, and where it says so.
pub(super) const PROXY_URL: &str = "proxy-url in the kubeconfig";

impl Proxy {
    /// Takes the text of a proxy's URL; without a scheme it is http, as in Go.
    pub(super) fn parse(text: &str, from: &'static str) -> Result<Self, ProxyError> {
        let url = match text.contains("://") {
            true => text.parse::<Uri>(),
            false => format!("http://{text}").parse(),
        };
        let url = url.ok().filter(|url| url.host().is_some_and(|host| !host.is_empty()));
        let url = url.ok_or(ProxyError::NoUrl(from))?;
        let supported = [Scheme::HTTP, Scheme::HTTPS];
        match url.scheme().is_some_and(|scheme| supported.contains(scheme)) {
            true => Ok(Self { url, from }),
            false => Err(ProxyError::Unsupported(from)),
        }
    }

    /// The proxy that the environment names for this API server.
    pub(super) fn of_environment(
        server: &Uri,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyError> {
        let names = match server.scheme() == Some(&Scheme::HTTP) {
            true => ["HTTP_PROXY", "http_proxy"],
            false => ["HTTPS_PROXY", "https_proxy"],
        };
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let spared = ["NO_PROXY", "no_proxy"].into_iter().find_map(set).unwrap_or_default();
        let spares_all = spared.split(',').any(|entry| entry.trim() == "*"); // also addresses, as in Go
        let proxied = Matcher::builder().all("http://proxy.invalid").no(spared).build();
        if is_this_machine(server.host().unwrap_or_default()) || spares_all || proxied.intercept(server).is_none() {
            return Ok(None);
        }
        let found = names.into_iter().find_map(|name| Some((name, set(name)?)));
        found.map(|(name, text)| Self::parse(&text, name)).transpose()
    }

    /// Without user and password.
    pub(super) fn title(&self) -> String {
        let scheme = self.url.scheme().unwrap_or(&Scheme::HTTP);
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        format!("{scheme}://{host}{}", port.unwrap_or_default())
    }
}

/// Whether a host, as a URL has it, is a loopback address or localhost.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(server: &'static str, environment: &[(&str, &str)]) -> Result<Option<String>, ProxyError> {
        let variable = |name| {
            let mut all = environment.iter();
            all.find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        };
        Ok(Proxy::of_environment(&Uri::from_static(server), variable)?.map(|proxy| proxy.url.to_string()))
    }

    const FAR: &str = "https://10.1.2.3:6443";

    #[test]
    fn the_environments_proxy_is_for_clusters_elsewhere_that_no_proxy_does_not_name() {
        let set = ("HTTPS_PROXY", "http://me:pw@proxy:3128");
        let proxied = || Ok(Some("http://me:pw@proxy:3128/".to_owned()));
        assert_eq!(proxy(FAR, &[set]), proxied());
        assert_eq!(proxy(FAR, &[("https_proxy", set.1)]), proxied());
        assert_eq!(proxy(FAR, &[]), Ok(None));
        assert_eq!(proxy(FAR, &[("HTTPS_PROXY", "")]), Ok(None));
        for spared in ["10.1.2.3", "10.0.0.0/8", "x.example, 10.1.2.3", "*"] {
            assert_eq!(proxy(FAR, &[set, ("NO_PROXY", spared)]), Ok(None), "{spared}");
        }
        for other in ["10.1.2.4", "proxy", "192.168.0.0/16"] {
            assert_eq!(proxy(FAR, &[set, ("no_proxy", other)]), proxied(), "{other}");
        }
    }

    /// kind, k3d and minikube; whatever the environment says, as with kubectl.
    #[test]
    fn a_cluster_on_this_machine_is_never_proxied() {
        let set = [
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("HTTP_PROXY", "http://proxy:3128"),
        ];
        for server in [
            "https://127.0.0.1:6443",
            "https://127.8.9.1",
            "https://localhost:6550",
            "https://[::1]:6443",
            "http://127.0.0.1:8001",
        ] {
            assert_eq!(proxy(server, &set), Ok(None), "{server}");
            assert_eq!(proxy(server, &[("HTTPS_PROXY", "::")]), Ok(None), "{server}");
        }
        assert!(proxy("https://[fd00::1]:6443", &set).is_ok_and(|proxy| proxy.is_some()));
    }

    #[test]
    fn a_bad_proxy_is_named_by_its_variable_and_not_repeated() {
        let with = |text| proxy(FAR, &[("HTTPS_PROXY", text)]);
        assert_eq!(with("proxy:3128"), Ok(Some("http://proxy:3128/".to_owned())));
        for bad in ["http://", "::secret", "http://a b"] {
            assert_eq!(with(bad), Err(ProxyError::NoUrl("HTTPS_PROXY")), "{bad}");
        }
        assert_eq!(with("socks5://p:1"), Err(ProxyError::Unsupported("HTTPS_PROXY")));
    }

    #[test]
    fn a_title_has_no_password() {
        let proxy = Proxy::parse("http://me:pw@proxy:3128/", "HTTPS_PROXY").unwrap();
        assert_eq!(proxy.title(), "http://proxy:3128");
    }
}
