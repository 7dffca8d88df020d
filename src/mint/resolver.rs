//! Name resolution that keeps the keys of the built-in hosts off private addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// The system's resolver. Private addresses are left out for the guarded hosts, so that a manipulated cluster DNS
/// can't point a provider's name at a service inside. TLS would stop that too, unless there is an extra CA bundle.
/// Proxies and listed endpoints are not guarded.
pub(crate) struct GuardedResolver {
    /// Hosts, and `.domain` for every host of a domain.
    guarded: BTreeSet<String>,
    /// Hosts that are exempt, though their domain is guarded.
    exempt: BTreeSet<String>,
}

/// A guarded host that resolves to no public address.
#[derive(Debug, thiserror::Error)]
#[error("{0} resolves to a private address")]
pub(crate) struct PrivateAddress(String);

impl GuardedResolver {
    pub(crate) fn new(guarded: impl IntoIterator<Item = String>) -> Self {
        Self {
            guarded: guarded.into_iter().collect(),
            exempt: BTreeSet::new(),
        }
    }

    /// Exempts hosts of a guarded domain.
    pub(crate) fn except(self, hosts: impl IntoIterator<Item = String>) -> Self {
        Self {
            exempt: hosts.into_iter().collect(),
            ..self
        }
    }

    fn guards(&self, host: &str) -> bool {
        let domain = || host.find('.').map(|dot| &host[dot..]);
        self.guarded.contains(host)
            || !self.exempt.contains(host) && domain().is_some_and(|domain| self.guarded.contains(domain))
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let guarded = self.guards(&host);
        Box::pin(async move {
            // The port comes from the URL later on.
            let mut found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if guarded {
                found.retain(|address| is_public(address.ip()));
                if found.is_empty() {
                    return Err(PrivateAddress(host).into());
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_guarded_but_for_the_listed_hosts() {
        let resolver =
            GuardedResolver::new([".openai.azure.com".to_owned()]).except(["private.openai.azure.com".to_owned()]);
        assert!(resolver.guards("my-resource.openai.azure.com"));
        for other in [
            "private.openai.azure.com",
            "openai.azure.com",
            "example.com",
            "localhost",
        ] {
            assert!(!resolver.guards(other), "{other}");
        }
    }

    #[tokio::test]
    async fn only_guarded_hosts_are_guarded() {
        let resolver = GuardedResolver::new(["localhost".to_owned()]);
        let error = resolver.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.is::<PrivateAddress>(), "{error}");

        let resolver = GuardedResolver::new(["api.openai.com".to_owned()]);
        assert!(
            resolver
                .resolve("localhost".parse().unwrap())
                .await
                .unwrap()
                .next()
                .is_some()
        );
    }
}
