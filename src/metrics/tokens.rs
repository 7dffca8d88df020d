//! What is true of the RealtimeTokens when somebody asks, read from the controller's cache: nothing has to be kept in
//! step, a deleted one leaves no series behind, and a rotation costs nothing. A replica that stands by has no cache and
//! so tells of none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

use crate::api::{ConditionType, RealtimeToken, Reason};
use crate::clock::now;
use crate::cluster::Cached;
use crate::resolve::provider_of;

/// The provider of a RealtimeToken that names none.
const UNKNOWN: &str = "unknown";

#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) cache: Arc<OnceLock<Store<Cached>>>,
    pub(super) per_object: bool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Collector for Tokens {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let cached = self.cache.get().map(Store::state).unwrap_or_default();
        let now = now();
        let seen: Vec<_> = cached.iter().map(|token| Seen::at(token, now)).collect();
        let mut counts = BTreeMap::new();
        for seen in &seen {
            let alike = (seen.provider, seen.ready, seen.reason.as_str());
            *counts.entry(alike).or_insert(0) += 1;
        }
        let counts = counts.into_iter().map(|((provider, ready, reason), count)| {
            let ready = if ready { "true" } else { "false" };
            let labels = [("provider", provider), ("ready", ready), ("reason", reason)];
            (labels, count)
        });
        gauge(
            &mut encoder,
            "tokens",
            "RealtimeTokens, by provider, by whether the Secret holds a token with enough life, and by what is going on.",
            counts,
        )?;
        if !self.per_object {
            return Ok(());
        }
        let each = |value: fn(&Seen<'_>) -> Option<i64>| {
            seen.iter().filter_map(move |seen| {
                let labels = [("namespace", seen.namespace), ("name", seen.name)];
                value(seen).map(|value| (labels, value))
            })
        };
        gauge(
            &mut encoder,
            "ready",
            "1 if the Secret holds a token with enough life; none while suspended.",
            each(|seen| (seen.reason != Reason::Suspended).then_some(i64::from(seen.ready))),
        )?;
        gauge(
            &mut encoder,
            "expiration_timestamp_seconds",
            "End of the stored token's usable life, seconds since the epoch.",
            each(|seen| seen.usable_until.map(Timestamp::as_second)),
        )?;
        gauge(
            &mut encoder,
            "renewal_timestamp_seconds",
            "When the next token is due, seconds since the epoch; none while suspended.",
            each(|seen| seen.renewal_time.map(Timestamp::as_second)),
        )
    }
}

fn gauge<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (L, i64)>,
) -> fmt::Result {
    let mut series = series.peekable();
    if series.peek().is_none() {
        return Ok(());
    }
    let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        gauge.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// What the metrics are told of a RealtimeToken when it changes, so that nobody has to read it again to be scraped.
#[derive(Clone, Debug)]
pub struct Facts {
    provider: &'static str,
    suspended: bool,
    floor: SignedDuration,
    ready: Option<Said>,
    renewing: Option<Said>,
    usable_until: Option<Timestamp>,
    renewal_time: Option<Timestamp>,
}

/// Of a condition: whether it holds, and why.
#[derive(Clone, Copy, Debug)]
struct Said {
    holds: bool,
    reason: Reason,
}

impl Facts {
    /// The facts of a RealtimeToken.
    #[must_use]
    pub fn of(token: &RealtimeToken) -> Self {
        let provider = provider_of(&token.spec).map_or(UNKNOWN, |provider| provider.name());
        let mut facts = Self {
            provider,
            suspended: token.spec.suspend,
            floor: SignedDuration::from_secs(token.spec.renewal.min_remaining_seconds),
            ..Self::default()
        };
        if let Some(status) = &token.status {
            let said = |type_| Said::by(&status.conditions, type_);
            facts.ready = said(ConditionType::Ready);
            facts.renewing = said(ConditionType::Renewing);
            facts.usable_until = status.usable_until.as_ref().map(|time| time.0);
            facts.renewal_time = status.renewal_time.as_ref().map(|time| time.0);
        }
        facts
    }
}

/// Of a RealtimeToken of which nothing is known.
impl Default for Facts {
    fn default() -> Self {
        Self {
            provider: UNKNOWN,
            suspended: false,
            floor: SignedDuration::ZERO,
            ready: None,
            renewing: None,
            usable_until: None,
            renewal_time: None,
        }
    }
}

impl Said {
    fn by(conditions: &[Condition], type_: ConditionType) -> Option<Self> {
        let mut all = conditions.iter();
        let condition = all.find(|condition| condition.type_ == type_.as_str())?;
        Some(Self {
            holds: condition.status == "True",
            reason: reason(condition),
        })
    }
}

/// What the metrics say of one RealtimeToken.
#[derive(Debug, PartialEq)]
struct Seen<'a> {
    namespace: &'a str,
    name: &'a str,
    provider: &'static str,
    ready: bool,
    reason: Reason,
    usable_until: Option<Timestamp>,
    renewal_time: Option<Timestamp>,
}

impl<'a> Seen<'a> {
    fn at(token: &'a Cached, now: Timestamp) -> Self {
        let meta = token.meta();
        let unreadable = Seen {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            provider: UNKNOWN,
            ready: false,
            reason: Reason::InvalidSpec,
            usable_until: None,
            renewal_time: None,
        };
        match token.read() {
            Ok(token) => unreadable.with(&Facts::of(token), now),
            Err(_) => unreadable,
        }
    }

    fn with(self, facts: &Facts, now: Timestamp) -> Self {
        let usable_until = facts.usable_until;
        // The clock has the last word: while the API server is away a status says what was true.
        let in_time = usable_until.is_some_and(|until| {
            let left = until.duration_since(now);
            left.is_positive() && left >= facts.floor
        });
        let ready = facts.ready.is_some_and(|ready| ready.holds) && in_time;
        let renewing = facts.renewing.filter(|renewing| renewing.holds);
        let reason = match renewing.or(facts.ready) {
            _ if facts.suspended => Reason::Suspended,
            None => Reason::Pending,
            Some(said) if said.holds && !ready && renewing.is_none() => Reason::Expired,
            Some(said) => said.reason,
        };
        Self {
            provider: facts.provider,
            ready,
            reason,
            usable_until,
            renewal_time: facts.renewal_time.filter(|_| !facts.suspended),
            ..self
        }
    }
}

/// Whoever may write a status could otherwise make as many series as they like.
fn reason(condition: &Condition) -> Reason {
    Reason::ALL
        .iter()
        .find(|reason| reason.as_str() == condition.reason)
        .copied()
        .unwrap_or(Reason::Pending)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(spec: Value, conditions: Value, usable_for: i64) -> Cached {
        let mut object = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"namespace": "shop", "name": "voice"},
            "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
            "status": {
                "conditions": conditions,
                "usableUntil": time(NOW + usable_for).to_string(),
                "renewalTime": time(NOW + usable_for - 600).to_string(),
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2027-01-01T00:00:00Z"})
    }

    fn facts(token: &Cached) -> (bool, &'static str, Option<i64>) {
        let facts = Seen::at(token, time(NOW));
        assert_eq!((facts.namespace, facts.name), ("shop", "voice"));
        (
            facts.ready,
            facts.reason.as_str(),
            facts.renewal_time.map(Timestamp::as_second),
        )
    }

    #[test]
    fn a_status_is_believed_as_far_as_the_clock_agrees() {
        let fine = json!([
            condition("Ready", "True", "Renewed"),
            condition("Renewing", "False", "AwaitingRenewal")
        ]);
        let due = |usable_for| Some(NOW + usable_for - 600);
        let seen = |usable_for| token(json!({}), fine.clone(), usable_for);
        assert_eq!(facts(&seen(700)), (true, "Renewed", due(700)));
        assert_eq!(facts(&seen(90)), (true, "Renewed", due(90)));
        assert_eq!(facts(&seen(89)), (false, "Expired", due(89)));
        assert_eq!(facts(&seen(-1)), (false, "Expired", due(-1)));

        let failing = json!([
            condition("Ready", "True", "Renewed"),
            condition("Renewing", "True", "CredentialRejected")
        ]);
        let seen = |usable_for| token(json!({}), failing.clone(), usable_for);
        assert_eq!(facts(&seen(500)), (true, "CredentialRejected", due(500)));
        assert_eq!(facts(&seen(10)), (false, "CredentialRejected", due(10)));
    }

    #[test]
    fn a_suspended_one_is_no_failure_and_nothing_is_due() {
        let status = json!([
            condition("Ready", "False", "Suspended"),
            condition("Renewing", "False", "Suspended")
        ]);
        let suspended = token(json!({"suspend": true}), status, -5);
        assert_eq!(facts(&suspended), (false, "Suspended", None));
    }

    #[test]
    fn reasons_that_are_not_ours_make_no_series() {
        let odd = json!([condition("Ready", "False", "Odd-4711")]);
        assert_eq!(facts(&token(json!({}), odd, 700)).1, "Pending");
        assert_eq!(facts(&token(json!({}), json!([]), 700)).1, "Pending");
    }

    #[test]
    fn one_that_cannot_be_read_counts_as_not_ready() {
        let broken: Cached = serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "voice"}, "spec": {"openai": []},
        }))
        .unwrap();
        let facts = Seen::at(&broken, time(NOW));
        assert_eq!(
            (facts.provider, facts.ready, facts.reason),
            (UNKNOWN, false, Reason::InvalidSpec)
        );
    }
}
