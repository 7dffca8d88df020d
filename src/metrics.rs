//! The operator's metrics, all below `realtime_token_`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::Reason;

/// All metrics. A plain value in the context: no globals.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    mints: Family<MintLabels, Counter>,
    mint_duration: Family<ProviderLabels, Histogram, fn() -> Histogram>,
    lateness: Histogram,
    remaining_at_swap: Histogram,
    violations: Counter,
    limited_seconds: Family<ProviderLabels, Counter<f64, std::sync::atomic::AtomicU64>>,
    expiration: Family<ObjectLabels, Gauge>,
    ready: Family<ObjectLabels, Gauge>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_duration: Histogram,
    api_requests: Family<ApiLabels, Counter>,
    leader: Gauge,
    per_object: bool,
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
struct ObjectLabels {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileLabels {
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
    /// Registers everything. `per_object` keeps a series per RealtimeToken for expiry and readiness.
    #[must_use]
    pub fn new(per_object: bool) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("realtime_token"),
            mints: Family::default(),
            mint_duration: Family::new_with_constructor(seconds),
            lateness: Histogram::new([0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0]),
            remaining_at_swap: Histogram::new([
                0.0, 15.0, 30.0, 60.0, 90.0, 150.0, 270.0, 600.0, 1800.0, 3600.0,
            ]),
            violations: Counter::default(),
            limited_seconds: Family::default(),
            expiration: Family::default(),
            ready: Family::default(),
            reconciles: Family::default(),
            reconcile_duration: Histogram::new([0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]),
            api_requests: Family::default(),
            leader: Gauge::default(),
            per_object,
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "mints",
            "Calls to a provider for a token, by outcome",
            self.mints.clone(),
        );
        registry.register(
            "mint_duration_seconds",
            "How long a provider takes to answer",
            self.mint_duration.clone(),
        );
        registry.register(
            "rotation_lateness_seconds",
            "From the renewal time to the new token in the Secret",
            self.lateness.clone(),
        );
        registry.register(
            "remaining_at_swap_seconds",
            "Life left in a token when its successor was stored",
            self.remaining_at_swap.clone(),
        );
        registry.register(
            "freshness_violations",
            "Rotations that left readers less than minRemainingSeconds, the kubelet's delay included",
            self.violations.clone(),
        );
        registry.register(
            "provider_limited_seconds",
            "Time for which a provider told a credential to wait",
            self.limited_seconds.clone(),
        );
        registry.register(
            "reconcile",
            "Reconciles, by outcome",
            self.reconciles.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "How long a reconcile takes",
            self.reconcile_duration.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the Kubernetes API",
            self.api_requests.clone(),
        );
        registry.register(
            "leader",
            "1 if this replica works, 0 if it stands by",
            self.leader.clone(),
        );
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", version);
        if self.per_object {
            registry.register(
                "expiration_timestamp_seconds",
                "End of the stored token's usable life, seconds since the epoch",
                self.expiration.clone(),
            );
            registry.register(
                "ready",
                "1 if the Secret holds a token with enough life",
                self.ready.clone(),
            );
        }
    }

    /// The text format that Prometheus scrapes.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A provider was asked.
    pub fn minted(&self, provider: &'static str, outcome: &'static str, took: Duration) {
        self.mints
            .get_or_create(&MintLabels { provider, outcome })
            .inc();
        self.mint_duration
            .get_or_create(&ProviderLabels { provider })
            .observe(took.as_secs_f64());
    }

    /// A token was replaced: how late, with how much life left in the old one, and whether that broke the floor.
    pub fn rotated(&self, late: f64, remaining: f64, violated: bool) {
        self.lateness.observe(late.max(0.0));
        self.remaining_at_swap.observe(remaining);
        if violated {
            self.violations.inc();
        }
    }

    /// A provider told a credential to wait.
    pub fn limited(&self, provider: &'static str, wait: f64) {
        self.limited_seconds
            .get_or_create(&ProviderLabels { provider })
            .inc_by(wait);
    }

    /// The state of one RealtimeToken.
    pub fn object(&self, namespace: &str, name: &str, expiration: Option<i64>, ready: bool) {
        if self.per_object {
            let labels = ObjectLabels {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            self.ready.get_or_create(&labels).set(i64::from(ready));
            match expiration {
                Some(expiration) => {
                    self.expiration.get_or_create(&labels).set(expiration);
                }
                None => {
                    self.expiration.remove(&labels);
                }
            }
        }
    }

    /// A RealtimeToken is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let labels = ObjectLabels {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.ready.remove(&labels);
        self.expiration.remove(&labels);
    }

    /// This replica works from now on, or no longer.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// A reconcile ended.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles
            .get_or_create(&ReconcileLabels { outcome })
            .inc();
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// The API server answered; code 0 if it didn't.
    pub fn api_request(&self, verb: &'static str, resource: &'static str, code: u16) {
        self.api_requests
            .get_or_create(&ApiLabels {
                verb,
                resource,
                code,
            })
            .inc();
    }
}

/// The outcome label of a mint.
#[must_use]
pub const fn outcome(failure: Option<Reason>) -> &'static str {
    match failure {
        None => "success",
        Some(reason) => reason.as_str(),
    }
}
