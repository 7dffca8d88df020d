//! The report on one RealtimeToken, as a value: `-o json` and `-o yaml` print it, `screen` shows it to people.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;

use super::readers::{Reader, readers};
use crate::api::{ConditionType, RealtimeToken, Reason};

/// The Events that are shown.
const EVENTS: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) provider: Option<String>,
    /// The reason of what is going on, or `Unknown` where nothing is known yet.
    pub(super) state: String,
    pub(super) health: Health,
    /// What is wrong, or that all is well.
    pub(super) message: String,
    pub(super) secret: Option<String>,
    pub(super) revision: Option<i64>,
    pub(super) usable_until: Option<Timestamp>,
    pub(super) renewal_time: Option<Timestamp>,
    pub(super) next_attempt_time: Option<Timestamp>,
    pub(super) conditions: Vec<ConditionReport>,
    /// `null` where the user may not list pods.
    pub(super) readers: Option<Vec<Reader>>,
    /// The newest first; `null` where the user may not list Events.
    pub(super) events: Option<Vec<EventReport>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Health {
    /// Nothing is to be done.
    Good,
    /// It works, and there is something to know of it.
    Notable,
    /// The operator is at work, or has not looked yet.
    Waiting,
    /// Something has to be changed, or a token can't be used.
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConditionReport {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct EventReport {
    pub(super) at: Option<Timestamp>,
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Report {
    /// What the RealtimeToken alone says.
    pub(super) fn new(token: &RealtimeToken, now: Timestamp) -> Self {
        let status = token.status.clone().unwrap_or_default();
        let usable_until = status.usable_until.map(|at| at.0);
        let is_over = usable_until.is_some_and(|end| end <= now);
        let verdict = verdict(token, is_over);
        Self {
            namespace: token.namespace().unwrap_or_default(),
            name: token.name_any(),
            provider: status.provider,
            state: verdict.state,
            health: verdict.health,
            message: verdict.message,
            secret: status.secret_ref.map(|secret| secret.name),
            revision: status.revision,
            usable_until,
            renewal_time: status.renewal_time.map(|at| at.0),
            next_attempt_time: status.next_attempt_time.map(|at| at.0),
            conditions: status.conditions.into_iter().map(ConditionReport::from).collect(),
            readers: None,
            events: None,
        }
    }

    pub(super) fn with(mut self, pods: Option<Vec<Pod>>, events: Option<Vec<Event>>, secret: &str) -> Self {
        self.readers = pods.map(|pods| readers(&pods, secret));
        self.events = events.map(|events| {
            let mut all: Vec<_> = events.into_iter().map(EventReport::from).collect();
            all.sort_by_key(|event| std::cmp::Reverse(event.at));
            all.truncate(EVENTS);
            all
        });
        self
    }

    pub(super) fn is_unhealthy(&self) -> bool {
        self.health == Health::Bad
    }
}

struct Verdict {
    state: String,
    health: Health,
    message: String,
}

/// What matters most of what the conditions say. They are compared with the clock and the spec: an operator that doesn't
/// run says nothing of a token that has ended, nor of a spec that was edited.
fn verdict(token: &RealtimeToken, is_over: bool) -> Verdict {
    let status = token.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let of = |type_: ConditionType| conditions.iter().find(|condition| condition.type_ == type_.as_str());
    let Some(ready) = of(ConditionType::Ready) else {
        return Verdict {
            state: "Unknown".to_owned(),
            health: Health::Bad,
            message: "the operator has not looked at it: does it run, and does it look after this namespace? Try \
                      `kubectl realtime-token check`"
                .to_owned(),
        };
    };
    let says = |condition: &Condition, health| Verdict {
        state: condition.reason.clone(),
        health,
        message: condition.message.clone(),
    };
    let is_suspended = |condition: &Condition| condition.reason == Reason::Suspended.as_str();
    let waits = |condition: &Condition| is_suspended(condition) || condition.reason == Reason::Pending.as_str();
    if is_over && ready.status == "True" {
        return Verdict {
            state: Reason::Expired.as_str().to_owned(),
            health: Health::Bad,
            message: "the token has ended, and the operator has not said so: it doesn't run, or can't reach the API \
                      server. Try `kubectl realtime-token check`"
                .to_owned(),
        };
    }
    let observed = status.and_then(|status| status.observed_generation);
    if observed < token.metadata.generation {
        return Verdict {
            state: Reason::Pending.as_str().to_owned(),
            health: Health::Waiting,
            message: "the spec was edited, and the operator has not looked at it since".to_owned(),
        };
    }
    if ready.status != "True" {
        let waits = waits(ready);
        return says(ready, if waits { Health::Waiting } else { Health::Bad });
    }
    let renewing = of(ConditionType::Renewing);
    let renewing = renewing.filter(|condition| condition.status == "True" || is_suspended(condition));
    if let Some(renewing) = renewing {
        let waits = waits(renewing);
        return says(renewing, if waits { Health::Waiting } else { Health::Bad });
    }
    let serving = of(ConditionType::Serving).filter(|condition| condition.status == "False");
    let fresh = of(ConditionType::FreshnessGuaranteed).filter(|condition| condition.status == "False");
    match (serving, fresh) {
        (Some(serving), _) => says(serving, Health::Bad),
        (None, Some(fresh)) => says(fresh, Health::Notable),
        (None, None) => says(ready, Health::Good),
    }
}

impl From<Condition> for ConditionReport {
    fn from(condition: Condition) -> Self {
        Self {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            since: condition.last_transition_time.0,
        }
    }
}

impl From<Event> for EventReport {
    fn from(event: Event) -> Self {
        let series = event.series.and_then(|series| series.last_observed_time).map(|at| at.0);
        let times = [
            series,
            event.last_timestamp.map(|at| at.0),
            event.event_time.map(|at| at.0),
        ];
        Self {
            at: times.into_iter().flatten().max(),
            type_: event.type_.unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-29T12:00:00Z";

    fn token(generation: i64, conditions: &[(&str, &str, &str)]) -> RealtimeToken {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({"type": type_, "status": status, "reason": reason, "message": format!("{reason}."),
                       "lastTransitionTime": "2026-11-29T11:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": "voice", "namespace": "shop", "generation": generation},
            "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
            "status": {"observedGeneration": 2, "conditions": conditions, "usableUntil": "2026-11-29T12:10:00Z"},
        }))
        .unwrap()
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn state(token: &RealtimeToken, now: &str) -> (String, Health) {
        let report = Report::new(token, at(now));
        (report.state, report.health)
    }

    #[test]
    fn what_matters_most_is_the_state() {
        let ready = ("Ready", "True", "Renewed");
        let idle = ("Renewing", "False", "AwaitingRenewal");
        let fresh = ("FreshnessGuaranteed", "True", "LifetimeSufficient");
        let single = ("FreshnessGuaranteed", "False", "SingleUseToken");
        let refused = ("Renewing", "True", "CredentialRejected");
        let not_serving = ("Serving", "False", "RequestsNotEnabled");
        for (conditions, expected, health) in [
            (vec![ready, idle, fresh], "Renewed", Health::Good),
            (vec![ready, idle, single], "SingleUseToken", Health::Notable),
            (vec![ready, refused, single], "CredentialRejected", Health::Bad),
            (
                vec![ready, idle, single, not_serving],
                "RequestsNotEnabled",
                Health::Bad,
            ),
            (
                vec![("Ready", "False", "InvalidSpec"), refused],
                "InvalidSpec",
                Health::Bad,
            ),
            (vec![("Ready", "False", "Pending")], "Pending", Health::Waiting),
            (vec![ready, ("Renewing", "True", "Pending")], "Pending", Health::Waiting),
            (vec![("Ready", "False", "Suspended")], "Suspended", Health::Waiting),
            (
                vec![ready, ("Renewing", "False", "Suspended"), single],
                "Suspended",
                Health::Waiting,
            ),
            (vec![], "Unknown", Health::Bad),
        ] {
            assert_eq!(state(&token(2, &conditions), NOW), (expected.to_owned(), health));
        }
    }

    /// The status is of an operator that may have stopped since.
    #[test]
    fn the_clock_and_the_spec_are_believed_more_than_the_status() {
        let conditions = [("Ready", "True", "Renewed"), ("Renewing", "False", "AwaitingRenewal")];
        let ended = state(&token(2, &conditions), "2026-11-29T12:10:00Z");
        assert_eq!(ended, ("Expired".to_owned(), Health::Bad));
        let edited = state(&token(3, &conditions), NOW);
        assert_eq!(edited, ("Pending".to_owned(), Health::Waiting));
    }

    #[test]
    fn the_newest_events_come_first() {
        let event = |second: u32| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {}, "reason": format!("R{second}"), "type": "Normal", "message": "",
                "eventTime": format!("2026-11-29T11:00:{second:02}.000000Z"),
            }))
            .unwrap()
        };
        let mut events: Vec<_> = (0..8).map(event).collect();
        events[0].series = serde_json::from_value(json!({"lastObservedTime": "2026-11-29T11:59:00.000000Z"})).unwrap();
        let report = Report::new(&token(2, &[]), at(NOW)).with(None, Some(events), "voice");
        let reasons: Vec<_> = report.events.unwrap().into_iter().map(|event| event.reason).collect();
        assert_eq!(reasons, ["R0", "R7", "R6", "R5", "R4"]);
        assert_eq!(report.readers, None);
    }
}
