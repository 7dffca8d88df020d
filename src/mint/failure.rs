//! Calls without an answer: what the network did, in words that name host and remedy.
//!
//! reqwest's own messages hold the URL, and a URL's query may name people; these hold the host.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::resolver::PrivateAddress;
use crate::token::MintError;

/// The limits to name when one is hit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) total: Duration,
}

/// The error for a call that got no complete answer from `host`, to which the way is through `proxy`, if through one.
pub(crate) fn failure(error: &reqwest::Error, host: &str, proxy: Option<&str>, limits: Limits) -> MintError {
    let message = if let Some(proxy) = proxy.filter(|_| closed(error)) {
        no_way_through(proxy, error, host, limits)
    } else if find::<PrivateAddress>(error).is_some() {
        format!(
            "{host} resolves to a private address, where its API can't be: check DNS. If it is meant, allow it with \
             --allow-endpoint https://{host}"
        )
    } else if error.is_dns() {
        format!("the name {host} can't be resolved: check DNS, or set HTTPS_PROXY if a proxy is the way out")
    } else if let Some(tls) = find::<rustls::Error>(error) {
        certificate(tls, host)
    } else if error.is_timeout() && error.is_connect() {
        let seconds = limits.connect.as_secs_f64();
        format!("no connection to {host} within {seconds} s: check that network policies and firewalls let it out")
    } else if error.is_timeout() {
        let seconds = limits.total.as_secs_f64();
        format!("no complete answer from {host} within {seconds} s")
    } else {
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => format!("{host} refused the connection"),
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                format!("{host} reset the connection")
            }
            Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
                format!("there is no route to {host}: check the network and its policies")
            }
            _ if error.is_connect() => {
                format!("can't connect to {host}: check that network policies, firewalls and HTTPS_PROXY let it out")
            }
            _ => format!("{host} broke off the answer"),
        }
    };
    MintError::unavailable(message)
}

/// Whether there was no connection, over which TLS might have gone wrong.
fn closed(error: &reqwest::Error) -> bool {
    error.is_connect() && find::<rustls::Error>(error).is_none()
}

fn no_way_through(proxy: &str, error: &reqwest::Error, host: &str, limits: Limits) -> String {
    if error.is_dns() {
        format!("the name of the proxy {proxy} can't be resolved: check HTTPS_PROXY")
    } else if error.is_timeout() {
        let seconds = limits.connect.as_secs_f64();
        format!("no connection to {host} through the proxy {proxy} within {seconds} s")
    } else if find::<io::Error>(error).is_some_and(|it| it.kind() == io::ErrorKind::ConnectionRefused) {
        format!(
            "the proxy {proxy} refused the connection: check HTTPS_PROXY, and NO_PROXY if {host} is reached without it"
        )
    } else {
        format!(
            "the proxy {proxy} gave no connection to {host}: allow that host and its port there; it may also want a \
             user and a password in HTTPS_PROXY"
        )
    }
}

fn certificate(error: &rustls::Error, host: &str) -> String {
    let rustls::Error::InvalidCertificate(error) = error else {
        return format!("TLS with {host} failed: check any proxy on the way");
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired; check this machine's clock too")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet; check this machine's clock")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate presented for {host} is for another name: check any proxy on the way")
        }
        _ => format!(
            "the certificate of {host} is not trusted: if a proxy of yours signs it, add its CA with --ca-bundle"
        ),
    }
}

/// The first error of the type in the chain, looking into I/O errors, whose `source` skips what they wrap.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        if let Some(wrapped) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find(wrapped)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reqwest::dns::{Name, Resolve, Resolving};

    use super::*;
    use crate::mint::resolver::GuardedResolver;

    /// The text for a call to localhost with this resolver, given up on after `connect`.
    async fn text(resolver: impl Resolve + 'static, url: &str, connect: Duration) -> String {
        let total = Duration::from_secs(30);
        let builder = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(connect)
            .timeout(total);
        let client = builder.dns_resolver(Arc::new(resolver)).build().unwrap();
        let error = client.get(url).send().await.unwrap_err();
        match failure(&error, "localhost", None, Limits { connect, total }) {
            MintError::Unavailable { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    struct NoSuchName;

    impl Resolve for NoSuchName {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(async { Err(io::Error::other("no such name").into()) })
        }
    }

    struct Pending;

    impl Resolve for Pending {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn names_host_and_remedy_and_nothing_else() {
        let url = "http://localhost:1/path?agent_id=canary";
        let guarded = GuardedResolver::new(["localhost".to_owned()]);
        let long = Duration::from_secs(20);
        for (text, words) in [
            (
                text(NoSuchName, url, long).await,
                "the name localhost can't be resolved: check DNS",
            ),
            (
                text(Pending, url, Duration::from_millis(50)).await,
                "no connection to localhost within 0.05 s",
            ),
            (
                text(GuardedResolver::new([]), url, long).await,
                "localhost refused the connection",
            ),
            (
                text(guarded, url, long).await,
                "localhost resolves to a private address, where its API can't be",
            ),
        ] {
            assert!(text.starts_with(words), "{text}");
            assert!(!text.contains("canary") && !text.contains("/path"), "{text}");
        }
    }

    fn said(error: &reqwest::Error, proxy: Option<&str>, limit: Duration) -> String {
        let limits = Limits {
            connect: limit,
            total: limit,
        };
        match failure(error, "localhost", proxy, limits) {
            MintError::Unavailable { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named() {
        let proxy = reqwest::Proxy::all("http://127.0.0.1:1").unwrap();
        let client = reqwest::Client::builder().proxy(proxy).build().unwrap();
        let error = client.get("https://localhost").send().await.unwrap_err();
        let text = said(&error, Some("127.0.0.1:1"), Duration::from_secs(30));
        let words = "the proxy 127.0.0.1:1 refused the connection: check HTTPS_PROXY, and NO_PROXY if localhost";
        assert!(text.starts_with(words), "{text}");
    }

    /// Once there is a connection, the proxy is not to blame.
    #[tokio::test]
    async fn an_answer_that_does_not_come_or_breaks_off_is_the_hosts() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let limit = Duration::from_millis(50);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let error = client.get(&url).timeout(limit).send().await.unwrap_err();
        let text = said(&error, Some("proxy:3128"), limit);
        assert_eq!(text, "no complete answer from localhost within 0.05 s");

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let read_and_close = async {
            let (stream, _) = listener.accept().await.unwrap();
            while stream.try_read(&mut [0; 4096]).is_err() {
                stream.readable().await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(client.get(&url).send(), read_and_close);
        let text = said(&answer.unwrap_err(), None, limit);
        assert_eq!(text, "localhost broke off the answer");

        let reset = async { listener.accept().await.unwrap().0.set_zero_linger().unwrap() };
        let (answer, ()) = tokio::join!(client.get(&url).send(), reset);
        let text = said(&answer.unwrap_err(), None, limit);
        assert_eq!(text, "localhost reset the connection");
    }

    struct WithoutInterface;

    impl Resolve for WithoutInterface {
        fn resolve(&self, _: Name) -> Resolving {
            let link_local = "[fe80::1]:0".parse::<std::net::SocketAddr>();
            Box::pin(async { Ok(Box::new(link_local.into_iter()) as reqwest::dns::Addrs) })
        }
    }

    /// Such as an address of a link that no interface is named for: nothing is sent.
    #[tokio::test]
    async fn whatever_else_keeps_a_connection_from_being_made() {
        let text = text(WithoutInterface, "http://localhost:1", Duration::from_secs(20)).await;
        assert!(text.starts_with("can't connect to localhost: check"), "{text}");
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_named() {
        let text = |error| certificate(&rustls::Error::InvalidCertificate(error), "localhost");
        for (error, words) in [
            (CertificateError::Expired, "the certificate of localhost has expired"),
            (
                CertificateError::NotValidYet,
                "the certificate of localhost is not valid yet",
            ),
            (
                CertificateError::NotValidForName,
                "the certificate presented for localhost is for another name",
            ),
            (
                CertificateError::UnknownIssuer,
                "the certificate of localhost is not trusted",
            ),
        ] {
            assert!(text(error).starts_with(words), "{words}");
        }
        let text = certificate(&rustls::Error::DecryptError, "localhost");
        assert_eq!(text, "TLS with localhost failed: check any proxy on the way");
    }
}
