//! Tokens on request: answers by RealtimeToken and outcome, answer times, pools, connections.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::cluster::Name;

/// The outcome of a request that got a token. The others are the reasons of the answers.
pub(crate) const OK: &str = "ok";
/// Outcomes whose series begin at 0 with the first request for a RealtimeToken, so that `increase()` sees the first
/// failure.
const FROM_THE_START: [&str; 8] = [
    OK,
    "CredentialNotFound",
    "CredentialRejected",
    "MintFailed",
    "ProviderUnavailable",
    "QuotaExhausted",
    "RateLimited",
    "InvalidSpec",
];

#[derive(Debug)]
pub(super) struct RequestMetrics {
    answers: Family<AnswerLabels, Counter>,
    duration: Family<SourceLabels, Histogram, fn() -> Histogram>,
    pool_ready: Family<ObjectLabels, Gauge>,
    connections: Gauge,
    per_object: bool,
    /// The outcomes that a RealtimeToken has a series for.
    outcomes: Mutex<HashMap<Name, BTreeSet<&'static str>>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabels {
    namespace: String,
    name: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabels {
    namespace: String,
    name: String,
}

/// From less than a millisecond, out of a pool, to the longest answer.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0,
    ])
}

impl RequestMetrics {
    pub(super) fn new(per_object: bool) -> Self {
        Self {
            answers: Family::default(),
            duration: Family::new_with_constructor(seconds),
            pool_ready: Family::default(),
            connections: Gauge::default(),
            per_object,
            outcomes: Mutex::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests for a token, by RealtimeToken and outcome",
            self.answers.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "From a request's headers to its answer, by where the token came from",
            self.duration.clone(),
        );
        registry.register(
            "request_pool_ready",
            "Tokens minted ahead that are ready to be handed out",
            self.pool_ready.clone(),
        );
        registry.register(
            "request_connections",
            "Open connections of callers",
            self.connections.clone(),
        );
    }
}

impl Metrics {
    /// A request was answered; `token` names a RealtimeToken that exists.
    pub(crate) fn requested(&self, token: Option<&Name>, outcome: &'static str, source: &'static str, took: Duration) {
        let metrics = &self.requests;
        let duration = metrics.duration.get_or_create(&SourceLabels { source });
        duration.observe(took.as_secs_f64());
        drop(duration);
        let count = |namespace: &str, name: &str, outcome| {
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            metrics.answers.get_or_create_owned(&AnswerLabels {
                namespace,
                name,
                outcome,
            })
        };
        let Some(token) = token else {
            count("", "", outcome).inc();
            return;
        };
        let token = match metrics.per_object {
            true => token,
            false => &Name::new(&*token.namespace, ""),
        };
        let mut outcomes = metrics.outcomes.lock();
        let known = outcomes.entry(token.clone()).or_insert_with(|| {
            for outcome in FROM_THE_START {
                count(&token.namespace, &token.name, outcome);
            }
            BTreeSet::from(FROM_THE_START)
        });
        known.insert(outcome);
        count(&token.namespace, &token.name, outcome).inc();
    }

    /// So many tokens are ready in the pool of a RealtimeToken.
    pub(crate) fn request_pool_ready(&self, token: &Name, ready: usize) {
        if self.requests.per_object {
            let gauge = self.requests.pool_ready.get_or_create(&labels_of(token));
            gauge.set(i64::try_from(ready).unwrap_or(i64::MAX));
        }
    }

    /// The pool of a RealtimeToken rests, or will not be filled again.
    pub(crate) fn request_pool_rests(&self, token: &Name) {
        self.requests.pool_ready.remove(&labels_of(token));
    }

    /// Drops the series of RealtimeTokens and namespaces that are gone, but for those of pools, which come to rest.
    pub(crate) fn retain_requested(&self, requested: &BTreeSet<Name>) {
        let metrics = &self.requests;
        let namespaces: BTreeSet<_> = requested.iter().map(|token| &*token.namespace).collect();
        let exists = |token: &Name| match metrics.per_object {
            true => requested.contains(token),
            false => namespaces.contains(&*token.namespace),
        };
        // Of a replica that leads, the controller knows more.
        if self.tokens.lock().is_none() {
            self.namespace_mints.retain(|namespace| namespaces.contains(namespace));
        }
        metrics.outcomes.lock().retain(|token, outcomes| {
            let stays = exists(token);
            if !stays {
                let ObjectLabels { namespace, name } = labels_of(token);
                for outcome in outcomes.iter() {
                    metrics.answers.remove(&AnswerLabels {
                        namespace: namespace.clone(),
                        name: name.clone(),
                        outcome,
                    });
                }
            }
            stays
        });
    }

    /// So many connections of callers are open.
    pub(crate) fn request_connections(&self, open: usize) {
        self.requests.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}

fn labels_of(token: &Name) -> ObjectLabels {
    ObjectLabels {
        namespace: token.namespace.clone(),
        name: token.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn series_are_by_realtime_token_and_go_with_it() {
        let metrics = Metrics::new(true);
        let (voice, other) = (Name::new("shop", "voice"), Name::new("shop", "other"));
        metrics.requested(Some(&voice), OK, "pool", MS);
        metrics.requested(Some(&voice), "NotOverridable", "none", MS);
        metrics.requested(Some(&other), OK, "minted", MS);
        metrics.request_pool_ready(&voice, 3);
        let text = metrics.render();
        for series in [
            "realtime_token_requests_total{namespace=\"shop\",name=\"voice\",outcome=\"ok\"} 1\n",
            "realtime_token_requests_total{namespace=\"shop\",name=\"voice\",outcome=\"NotOverridable\"} 1\n",
            "realtime_token_requests_total{namespace=\"shop\",name=\"voice\",outcome=\"RateLimited\"} 0\n",
            "realtime_token_request_pool_ready{namespace=\"shop\",name=\"voice\"} 3\n",
            "realtime_token_request_duration_seconds_count{source=\"pool\"} 1\n",
        ] {
            assert!(text.contains(series), "{series}{text}");
        }
        metrics.retain_requested(&BTreeSet::from([other]));
        metrics.request_pool_rests(&voice);
        let text = metrics.render();
        assert!(!text.contains("voice") && text.contains("name=\"other\""), "{text}");
    }

    #[test]
    fn without_object_metrics_they_are_by_namespace_and_go_with_its_last_one() {
        let metrics = Metrics::new(false);
        let (voice, other) = (Name::new("shop", "voice"), Name::new("shop", "other"));
        metrics.requested(Some(&voice), OK, "minted", MS);
        metrics.requested(Some(&other), OK, "minted", MS);
        metrics.request_pool_ready(&voice, 3);
        metrics.retain_requested(&BTreeSet::from([other]));
        let text = metrics.render();
        let series = "realtime_token_requests_total{namespace=\"shop\",name=\"\",outcome=\"ok\"} 2\n";
        assert!(text.contains(series) && !text.contains("voice"), "{text}");
        metrics.retain_requested(&BTreeSet::from([Name::new("office", "voice")]));
        assert!(!metrics.render().contains("shop"));
    }

    #[test]
    fn for_what_does_not_exist_the_labels_are_empty() {
        let metrics = Metrics::new(true);
        metrics.requested(None, "Unauthenticated", "none", MS);
        let series = "realtime_token_requests_total{namespace=\"\",name=\"\",outcome=\"Unauthenticated\"} 1\n";
        assert!(metrics.render().contains(series));
    }

    /// A replica that doesn't lead knows of the RealtimeTokens with `spec.requests`, one that leads of all.
    #[test]
    fn mints_of_a_namespace_without_realtime_tokens_are_dropped() {
        let metrics = Metrics::new(true);
        metrics.minted("shop", "openai", "success", MS);
        metrics.minted("office", "openai", "success", MS);
        metrics.not_asked("office", "gemini", "CredentialRejected");
        let text = metrics.render();
        for labels in [
            "{namespace=\"shop\",provider=\"openai\",outcome=\"success\"}",
            "{namespace=\"office\",provider=\"gemini\",outcome=\"CredentialRejected\"}",
        ] {
            assert!(
                text.contains(&format!("realtime_token_namespace_mints_total{labels} 1\n")),
                "{text}"
            );
        }
        metrics.retain_requested(&BTreeSet::from([Name::new("shop", "voice")]));
        let text = metrics.render();
        assert!(!text.contains("office") && text.contains("shop"), "{text}");
        // What all have minted stays.
        assert!(text.contains("realtime_token_mints_total{provider=\"openai\",outcome=\"success\"} 2\n"));
    }
}
