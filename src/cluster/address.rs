//! Which API server is asked, who says so, and by which proxy: for the start and for what goes wrong on the way.

use http::Uri;
use kube::Error as KubeError;
use kube::client::AuthError;
use tower::BoxError;
use tower::timeout::error::Elapsed;

use super::HEAD_TIMEOUT;
use super::proxy::Proxy;
use crate::mint::innermost;
use crate::text::without_number;

/// Where the API server is.
#[derive(Clone, Debug)]
pub struct Address {
    pub(super) url: Uri,
    pub(super) named_by: NamedBy,
    pub(super) proxy: Option<Proxy>,
}

/// Who names the API server.
#[derive(Clone, Debug)]
pub(super) enum NamedBy {
    Pod,
    Context(String),
}

/// No answer from the API server, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreachable(String);

impl std::fmt::Display for Address {
    /// `https://127.0.0.1:6443 (context kind-kind)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.to_string();
        let url = url.trim_end_matches('/');
        match &self.named_by {
            NamedBy::Pod => write!(f, "{url}"),
            NamedBy::Context(context) => write!(f, "{url} (context {context})"),
        }
    }
}

impl Address {
    /// Turns the error of a transport into a sentence. Errors with words of their own stay.
    pub(super) fn explain(&self, error: BoxError) -> BoxError {
        // The plugin of a kubeconfig, or the pod's token: no request was made.
        let transport = |problem: BoxError| match problem.downcast::<AuthError>() {
            Ok(problem) => KubeError::Auth(*problem).into(),
            Err(problem) => self.unreachable(&*problem).into(),
        };
        match error.downcast::<KubeError>() {
            Ok(error) => match *error {
                KubeError::Service(problem) => transport(problem),
                KubeError::HyperError(problem) => self.unreachable(&problem).into(),
                other => other.into(),
            },
            Err(problem) => transport(problem),
        }
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Unreachable {
        let problem = match error.is::<Elapsed>() {
            true => format!("no answer within {} s", HEAD_TIMEOUT.as_secs()),
            false => without_number(&innermost(error)).to_owned(),
        };
        Unreachable(match &self.proxy {
            Some(proxy) => {
                let (title, from) = (proxy.title(), proxy.from);
                let host = self.url.host().unwrap_or_default();
                format!(
                    "the API server {self} can't be reached through the proxy {title}: {problem}; check {from}, or list \
                     {host} in NO_PROXY"
                )
            }
            None => format!(
                "the API server {self} can't be reached: {problem}; {}",
                self.cure(&problem)
            ),
        })
    }

    fn cure(&self, problem: &str) -> &'static str {
        // Not an alert about our own certificate.
        let untrusted = problem.contains("invalid peer certificate");
        match &self.named_by {
            NamedBy::Context(_) if untrusted => {
                "check certificate-authority-data of this cluster in the kubeconfig, or get the kubeconfig anew"
            }
            NamedBy::Context(_) => {
                "start that cluster, or choose another one's context with `kubectl config use-context`"
            }
            NamedBy::Pod if untrusted => "the pod needs to be restarted if the cluster's CA was replaced",
            NamedBy::Pod => "see if network policies let this pod reach it",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::cluster::ClusterError;

    fn address(named_by: NamedBy, proxy: Option<&str>) -> Address {
        Address {
            url: Uri::from_static("https://10.1.2.3:6443"),
            named_by,
            proxy: proxy.map(|url| Proxy::parse(url, "HTTPS_PROXY").unwrap()),
        }
    }

    #[test]
    fn no_answer_is_a_sentence_with_the_address_and_what_to_do() {
        let refused = || BoxError::from(io::Error::from_raw_os_error(111));
        let kind = || NamedBy::Context("kind-kind".to_owned());
        for (address, error, expected) in [
            (
                address(kind(), None),
                KubeError::Service(refused()).into(),
                "the API server https://10.1.2.3:6443 (context kind-kind) can't be reached: Connection refused; start \
                 that cluster, or choose another one's context with `kubectl config use-context`",
            ),
            (
                address(NamedBy::Pod, None),
                Elapsed::new().into(),
                "the API server https://10.1.2.3:6443 can't be reached: no answer within 10 s; see if network policies \
                 let this pod reach it",
            ),
            (
                address(kind(), Some("http://me:pw@proxy:3128")),
                refused(),
                "the API server https://10.1.2.3:6443 (context kind-kind) can't be reached through the proxy \
                 http://proxy:3128: Connection refused; check HTTPS_PROXY, or list 10.1.2.3 in NO_PROXY",
            ),
        ] {
            assert_eq!(address.explain(error).to_string(), expected);
        }
    }

    #[test]
    fn credentials_that_cannot_be_got_are_no_matter_of_the_network() {
        let address = address(NamedBy::Context("a".to_owned()), None);
        let expired = || AuthError::UnrefreshableTokenResponse;
        for error in [expired().into(), KubeError::Service(expired().into()).into()] {
            let explained = address.explain(error).downcast::<KubeError>().unwrap();
            let said = ClusterError::from(&*explained).to_string();
            assert!(said.ends_with("log in again"), "{said}");
        }
    }

    #[test]
    fn an_untrusted_certificate_is_no_matter_of_the_network() {
        let untrusted = || io::Error::other("invalid peer certificate: UnknownIssuer").into();
        let context = address(NamedBy::Context("a".to_owned()), None);
        assert!(
            context
                .explain(untrusted())
                .to_string()
                .contains("certificate-authority-data")
        );
        let pod = address(NamedBy::Pod, None).explain(untrusted()).to_string();
        assert!(pod.contains("restarted"), "{pod}");
    }
}
