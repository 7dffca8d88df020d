//! Mints by namespace: who uses how much of a provider, and whose mints fail. Only namespaces that have RealtimeTokens
//! have series; those of others are dropped.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Default)]
pub(super) struct NamespaceMints {
    mints: Family<Labels, Counter>,
    /// The series of a namespace, without it.
    series: Mutex<HashMap<String, BTreeSet<(&'static str, &'static str)>>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    namespace: String,
    provider: &'static str,
    outcome: &'static str,
}

impl Labels {
    fn new(namespace: &str, (provider, outcome): (&'static str, &'static str)) -> Self {
        Self {
            namespace: namespace.to_owned(),
            provider,
            outcome,
        }
    }
}

impl NamespaceMints {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "namespace_mints",
            "Calls to a provider for a token, by the namespace of the RealtimeToken",
            self.mints.clone(),
        );
    }

    pub(super) fn count(&self, namespace: &str, provider: &'static str, outcome: &'static str) {
        let mut series = self.series.lock();
        let labels = (provider, outcome);
        match series.get_mut(namespace) {
            Some(known) => known.insert(labels),
            None => series.entry(namespace.to_owned()).or_default().insert(labels),
        };
        self.mints.get_or_create(&Labels::new(namespace, labels)).inc();
    }

    pub(super) fn retain(&self, has_tokens: impl Fn(&str) -> bool) {
        self.series.lock().retain(|namespace, series| {
            let stays = has_tokens(namespace);
            if !stays {
                for &labels in &*series {
                    self.mints.remove(&Labels::new(namespace, labels));
                }
            }
            stays
        });
    }
}
