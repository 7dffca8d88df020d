//! The operator's metrics, in OpenMetrics text. All names begin with `realtime_token_`, except those of the process.
//!
//! Counters and histograms are changed by the code they measure. The gauges of RealtimeTokens are computed at each
//! scrape from the controller's cache, see [`tokens`].

mod certificate;
mod namespaces;
mod process;
mod requests;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kube::Resource;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::namespaces::NamespaceMints;
pub(crate) use self::requests::OK;
use self::requests::RequestMetrics;
use self::tokens::TokenStore;
use crate::api::Reason;
use crate::token::schedule::Swap;

/// The content type of [`Metrics::render`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The outcomes of a mint and of a reconcile. Each series exists from the start, at 0: `increase()` misses the first
/// failure of a counter that appears with the value 1.
const MINT_OUTCOMES: [&str; 7] = [
    outcome(None),
    outcome(Some(Reason::CredentialNotFound)),
    outcome(Some(Reason::CredentialRejected)),
    outcome(Some(Reason::RateLimited)),
    outcome(Some(Reason::QuotaExhausted)),
    outcome(Some(Reason::ProviderUnavailable)),
    outcome(Some(Reason::MintFailed)),
];
const RECONCILE_OUTCOMES: [&str; 5] = ["ok", "api_error", "unreadable", "panic", "timeout"];

/// All metrics. A value that is passed to the code it measures, so that tests have registries of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    mints: Family<MintLabels, Counter>,
    namespace_mints: NamespaceMints,
    mint_duration: Family<ProviderLabels, Histogram, fn() -> Histogram>,
    lateness: Histogram,
    remaining_at_swap: Histogram,
    violations: Counter,
    limited_seconds: Family<ProviderLabels, Counter<f64, AtomicU64>>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_duration: Histogram,
    api_requests: Family<ApiLabels, Counter>,
    leader: Gauge,
    certificate: certificate::NotAfter,
    requests: RequestMetrics,
    tokens: tokens::Slot,
    last_length: AtomicUsize,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MintLabels {
    provider: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProviderLabels {
    provider: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ApiLabels {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

fn seconds() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0])
}

impl Metrics {
    /// Registers every metric. `per_object` keeps a series per RealtimeToken for expiry and readiness.
    pub fn new(per_object: bool) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            mints: Family::default(),
            namespace_mints: NamespaceMints::default(),
            mint_duration: Family::new_with_constructor(seconds),
            lateness: Histogram::new([0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0]),
            remaining_at_swap: Histogram::new([0.0, 15.0, 30.0, 60.0, 90.0, 150.0, 270.0, 600.0, 1800.0, 3600.0]),
            violations: Counter::default(),
            limited_seconds: Family::default(),
            reconciles: Family::default(),
            reconcile_duration: Histogram::new([0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]),
            api_requests: Family::default(),
            leader: Gauge::default(),
            certificate: certificate::NotAfter::default(),
            requests: RequestMetrics::new(per_object),
            tokens: tokens::Slot::default(),
            last_length: AtomicUsize::new(0),
        };
        metrics.register(per_object);
        for kind in ["RealtimeToken", "ClusterRealtimeProvider"] {
            for outcome in RECONCILE_OUTCOMES {
                drop(metrics.reconciles.get_or_create(&ReconcileLabels { kind, outcome }));
            }
        }
        metrics
    }

    fn register(&mut self, per_object: bool) {
        self.registry.register_collector(Box::new(process::Process));
        let registry = self.registry.sub_registry_with_prefix("realtime_token");
        macro_rules! register {
            ($($metric:ident $name:literal: $help:literal;)*) => {
                $(registry.register($name, $help, self.$metric.clone());)*
            };
        }
        register! {
            mints "mints": "Calls to a provider for a token, by outcome";
            mint_duration "mint_duration_seconds": "How long a provider takes to answer";
            lateness "rotation_lateness_seconds": "From the renewal time to the new token in the Secret";
            remaining_at_swap "remaining_at_swap_seconds": "Life left in a token when its successor was stored";
            violations "freshness_violations":
                "Rotations that left readers less than minRemainingSeconds, the kubelet's delay included";
            limited_seconds "provider_limited_seconds": "Time for which a provider told a credential to wait";
            reconciles "reconcile": "Reconciles, by outcome";
            reconcile_duration "reconcile_duration_seconds": "How long a reconcile takes";
            api_requests "api_requests": "Requests to the Kubernetes API";
            leader "leader": "1 if this replica is the leader, 0 if it stands by";
        }
        self.namespace_mints.register(registry);
        self.requests.register(registry);
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", version);
        registry.register_collector(Box::new(self.certificate.clone()));
        registry.register_collector(Box::new(tokens::Tokens {
            store: Arc::clone(&self.tokens),
            per_object,
        }));
    }

    /// Shows the RealtimeTokens in this cache at each scrape, until the result is dropped.
    pub(crate) fn observe_store(&self, tokens: TokenStore) -> tokens::Shown {
        tokens::Shown::new(&self.tokens, tokens)
    }

    /// All metrics as OpenMetrics text, see [`CONTENT_TYPE`].
    pub(crate) fn render(&self) -> String {
        // With 10,000 tokens these are megabytes: start with the last length instead of growing by doubling.
        let last = self.last_length.load(Ordering::Relaxed);
        let mut text = String::with_capacity(last + last / 16);
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        self.last_length.store(text.len(), Ordering::Relaxed);
        text
    }

    /// A provider was asked for a token of a RealtimeToken in this namespace.
    pub(crate) fn minted(&self, namespace: &str, provider: &'static str, outcome: &'static str, took: Duration) {
        self.count(namespace, provider, outcome);
        let duration = self.mint_duration.get_or_create(&ProviderLabels { provider });
        duration.observe(took.as_secs_f64());
    }

    /// A mint ended before the provider was asked: no access token was to be had.
    pub(crate) fn not_asked(&self, namespace: &str, provider: &'static str, outcome: &'static str) {
        self.count(namespace, provider, outcome);
    }

    fn count(&self, namespace: &str, provider: &'static str, outcome: &'static str) {
        self.namespace_mints.count(namespace, provider, outcome);
        let labels = ProviderLabels { provider };
        if self.limited_seconds.get(&labels).is_none() {
            for outcome in MINT_OUTCOMES {
                drop(self.mints.get_or_create(&MintLabels { provider, outcome }));
            }
            drop(self.limited_seconds.get_or_create(&labels));
        }
        self.mints.get_or_create(&MintLabels { provider, outcome }).inc();
    }

    /// Drops the mints of namespaces in which the controller sees no RealtimeToken any more.
    pub(crate) fn sweep_namespaces(&self) {
        let tokens = self.tokens.lock().as_ref().map(TokenStore::state);
        if let Some(tokens) = tokens {
            let namespaces: BTreeSet<_> = tokens
                .iter()
                .filter_map(|token| token.meta().namespace.clone())
                .collect();
            self.namespace_mints.retain(|namespace| namespaces.contains(namespace));
        }
    }

    /// A token that was due was replaced.
    pub(crate) fn rotated(&self, swap: &Swap) {
        self.lateness.observe(swap.late.as_secs_f64());
        let remaining = swap.remaining.as_secs_f64();
        self.remaining_at_swap.observe(remaining.max(0.0)); // the sum is a counter and must not fall
        if swap.violated {
            self.violations.inc();
        }
    }

    /// A provider made a credential wait for so many seconds.
    pub(crate) fn limited(&self, provider: &'static str, wait: f64) {
        self.limited_seconds
            .get_or_create(&ProviderLabels { provider })
            .inc_by(wait);
    }

    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    pub(crate) fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ReconcileLabels { kind, outcome }).inc();
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// The API server answered; code 0 if it didn't.
    pub fn api_request(&self, verb: &'static str, resource: &'static str, code: u16) {
        self.api_requests
            .get_or_create(&ApiLabels { verb, resource, code })
            .inc();
    }
}

pub(crate) const fn outcome(failure: Option<Reason>) -> &'static str {
    match failure {
        None => "success",
        Some(reason) => reason.as_str(),
    }
}

#[cfg(test)]
mod tests;
