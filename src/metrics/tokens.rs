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
use crate::controller::{Guarded, now};
use crate::token::resolve::provider_of;

/// The provider of a RealtimeToken that names none.
const UNKNOWN: &str = "unknown";

#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) cache: Arc<OnceLock<Store<Guarded>>>,
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
        let facts: Vec<_> = cached.iter().map(|token| Facts::of(token, now)).collect();
        let mut counts = BTreeMap::new();
        for facts in &facts {
            let alike = (facts.provider, facts.ready, facts.reason.as_str());
            *counts.entry(alike).or_insert(0) += 1;
        }
        let counts = counts
            .into_iter()
            .map(|((provider, ready, reason), count)| {
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
        let each = |value: fn(&Facts<'_>) -> Option<i64>| {
            facts.iter().filter_map(move |facts| {
                let labels = [("namespace", facts.namespace), ("name", facts.name)];
                value(facts).map(|value| (labels, value))
            })
        };
        gauge(
            &mut encoder,
            "ready",
            "1 if the Secret holds a token with enough life; none while suspended.",
            each(|facts| (facts.reason != Reason::Suspended).then_some(i64::from(facts.ready))),
        )?;
        gauge(
            &mut encoder,
            "expiration_timestamp_seconds",
            "End of the stored token's usable life, seconds since the epoch.",
            each(|facts| facts.usable_until.map(Timestamp::as_second)),
        )?;
        gauge(
            &mut encoder,
            "renewal_timestamp_seconds",
            "When the next token is due, seconds since the epoch; none while suspended.",
            each(|facts| facts.renewal_time.map(Timestamp::as_second)),
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

/// What the metrics say of one RealtimeToken.
#[derive(Debug, PartialEq)]
struct Facts<'a> {
    namespace: &'a str,
    name: &'a str,
    provider: &'static str,
    ready: bool,
    reason: Reason,
    usable_until: Option<Timestamp>,
    renewal_time: Option<Timestamp>,
}

impl<'a> Facts<'a> {
    fn of(token: &'a Guarded, now: Timestamp) -> Self {
        let meta = token.meta();
        let unreadable = Facts {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            provider: UNKNOWN,
            ready: false,
            reason: Reason::InvalidSpec,
            usable_until: None,
            renewal_time: None,
        };
        match &*token.0 {
            Ok(token) => unreadable.with(token, now),
            Err(_) => unreadable,
        }
    }

    fn with(self, token: &RealtimeToken, now: Timestamp) -> Self {
        let status = token.status.as_ref();
        let usable_until = status.and_then(|status| status.usable_until.as_ref());
        let usable_until = usable_until.map(|time| time.0);
        let renewal_time = status.and_then(|status| status.renewal_time.as_ref());
        let condition = |type_: ConditionType| {
            let all = status.map(|status| status.conditions.as_slice());
            all.unwrap_or_default()
                .iter()
                .find(|condition| condition.type_ == type_.as_str())
        };
        let said = condition(ConditionType::Ready);
        // The clock has the last word: while the API server is away a status says what was true.
        let floor = SignedDuration::from_secs(token.spec.renewal.min_remaining_seconds);
        let in_time = usable_until.is_some_and(|until| {
            let left = until.duration_since(now);
            left.is_positive() && left >= floor
        });
        let ready = said.is_some_and(|ready| ready.status == "True") && in_time;
        let suspended = token.spec.suspend;
        let renewing = condition(ConditionType::Renewing).filter(|it| it.status == "True");
        let reason = match renewing.or(said) {
            _ if suspended => Reason::Suspended,
            None => Reason::Pending,
            Some(condition) if condition.status == "True" && !ready && renewing.is_none() => {
                Reason::Expired
            }
            Some(condition) => reason(condition),
        };
        Self {
            provider: provider_of(&token.spec).map_or(UNKNOWN, |provider| provider.name()),
            ready,
            reason,
            usable_until,
            renewal_time: renewal_time.map(|time| time.0).filter(|_| !suspended),
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

    fn token(spec: Value, conditions: Value, usable_for: i64) -> Guarded {
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

    fn facts(token: &Guarded) -> (bool, &'static str, Option<i64>) {
        let facts = Facts::of(token, time(NOW));
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
        let broken: Guarded = serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "voice"}, "spec": {"openai": []},
        }))
        .unwrap();
        let facts = Facts::of(&broken, time(NOW));
        assert_eq!(
            (facts.provider, facts.ready, facts.reason),
            (UNKNOWN, false, Reason::InvalidSpec)
        );
    }
}
