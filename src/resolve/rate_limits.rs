//! The configured rate of each credential.

use std::collections::HashMap;

use super::CredentialRef;
use crate::api::{ClusterRealtimeProvider, RateLimit};

/// The rates that ClusterRealtimeProviders set for their credentials. Where several name one credential, all of their
/// limits hold: the lowest of each number.
pub(crate) fn rate_limits<'a>(
    providers: impl IntoIterator<Item = &'a ClusterRealtimeProvider>,
    operator_namespace: &str,
) -> HashMap<CredentialRef, RateLimit> {
    let mut limits = HashMap::new();
    for provider in providers {
        let credential = CredentialRef::of_provider(operator_namespace, provider);
        if let (Some(credential), Some(limit)) = (credential, provider.spec.rate_limit) {
            let strictest = limits.entry(credential).or_insert(limit);
            *strictest = strictest_of(*strictest, limit);
        }
    }
    limits
}

fn strictest_of(one: RateLimit, other: RateLimit) -> RateLimit {
    RateLimit {
        requests_per_minute: one.requests_per_minute.min(other.requests_per_minute),
        burst: one.burst.min(other.burst),
    }
}
