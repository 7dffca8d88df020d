//! The report on one RealtimeToken, as a value: `-o json` and `-o yaml` print it, `screen` shows it to people.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;

use super::readers::{Reader, readers};
use crate::api::{ConditionType, RealtimeToken, RealtimeTokenStatus, Reason};

/// The Events that are shown.
const EVENTS: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) provider: Option<String>,
    /// `status.reason`, or what the clock and the spec make of it; `Unknown` where nothing is known yet.
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

/// What the status says of itself, compared with the clock and the spec: an operator that doesn't run says nothing of a
/// token that has ended, nor of a spec that was edited.
fn verdict(token: &RealtimeToken, is_over: bool) -> Verdict {
    let says = |reason: Reason, health, message: &str| Verdict {
        state: reason.as_str().to_owned(),
        health,
        message: message.to_owned(),
    };
    let status = token.status.as_ref();
    let Some((status, reason)) = status.and_then(|status| Some((status, status.reason.as_deref()?))) else {
        return Verdict {
            state: "Unknown".to_owned(),
            health: Health::Bad,
            message: "the operator has not looked at it: does it run, and does it look after this namespace? Try \
                      `kubectl realtime-token check`"
                .to_owned(),
        };
    };
    let ready = condition(status, ConditionType::Ready);
    if is_over && ready.is_some_and(|ready| ready.status == "True") {
        let message = "the token has ended, and the operator has not said so: it doesn't run, or can't reach the API \
                       server. Try `kubectl realtime-token check`";
        return says(Reason::Expired, Health::Bad, message);
    }
    if status.observed_generation < token.metadata.generation {
        let message = "the spec was edited, and the operator has not looked at it since";
        return says(Reason::Pending, Health::Waiting, message);
    }
    let notable = condition(status, ConditionType::SingleReader).filter(|shared| shared.status == "True");
    let well = notable.or(ready).map(|condition| &condition.message);
    let message = status.message.as_ref().or(well).cloned().unwrap_or_default();
    Verdict {
        state: reason.to_owned(),
        health: health(status, reason, notable.is_some()),
        message,
    }
}

fn health(status: &RealtimeTokenStatus, reason: &str, is_notable: bool) -> Health {
    let is = |reasons: &[Reason]| reasons.iter().any(|it| it.as_str() == reason);
    let has = |type_, value| condition(status, type_).is_some_and(|condition| condition.status == value);
    let works = has(ConditionType::Ready, "True") && !has(ConditionType::Serving, "False");
    if is(&[Reason::Pending, Reason::Suspended]) {
        Health::Waiting
    } else if works && is(&[Reason::LifetimeTooShort]) {
        Health::Notable
    } else if !is(&[Reason::Ready, Reason::OnRequestOnly]) {
        Health::Bad
    } else if is_notable {
        Health::Notable
    } else {
        Health::Good
    }
}

fn condition(status: &RealtimeTokenStatus, type_: ConditionType) -> Option<&Condition> {
    let mut all = status.conditions.iter();
    all.find(|condition| condition.type_ == type_.as_str())
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
    use crate::token::report::summary;

    const NOW: &str = "2026-11-29T12:00:00Z";

    fn token(generation: i64, conditions: &[(&str, &str, &str)]) -> RealtimeToken {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({"type": type_, "status": status, "reason": reason, "message": format!("{reason}."),
                       "lastTransitionTime": "2026-11-29T11:00:00Z"})
            })
            .collect();
        let mut token: RealtimeToken = serde_json::from_value(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": "voice", "namespace": "shop", "generation": generation},
            "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
            "status": {"observedGeneration": 2, "conditions": conditions, "usableUntil": "2026-11-29T12:10:00Z"},
        }))
        .unwrap();
        let status: &mut RealtimeTokenStatus = token.status.as_mut().unwrap();
        (status.reason, status.message) = summary(&status.conditions);
        token
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
        let one_reader = ("SingleReader", "True", "SingleUseToken");
        let short = ("FreshnessGuaranteed", "False", "LifetimeTooShort");
        let refused = ("Renewing", "True", "CredentialRejected");
        let not_serving = ("Serving", "False", "LifetimeTooShort");
        let pending = ("Renewing", "True", "Pending");
        let suspended = ("Renewing", "False", "Suspended");
        for (conditions, expected, health) in [
            (vec![ready, idle, fresh], "Ready", Health::Good),
            (vec![ready, idle, single, one_reader], "Ready", Health::Notable),
            (vec![ready, idle, short], "LifetimeTooShort", Health::Notable),
            (vec![ready, idle, not_serving], "LifetimeTooShort", Health::Bad),
            (
                vec![ready, refused, single, one_reader],
                "CredentialRejected",
                Health::Bad,
            ),
            (
                vec![("Ready", "False", "LifetimeTooShort"), idle],
                "LifetimeTooShort",
                Health::Bad,
            ),
            (
                vec![("Ready", "False", "InvalidSpec"), refused],
                "InvalidSpec",
                Health::Bad,
            ),
            (vec![("Ready", "False", "Pending")], "Pending", Health::Waiting),
            (vec![ready, pending], "Pending", Health::Waiting),
            (vec![("Ready", "False", "Suspended")], "Suspended", Health::Waiting),
            (vec![ready, suspended, single], "Suspended", Health::Waiting),
            (vec![], "Unknown", Health::Bad),
        ] {
            assert_eq!(state(&token(2, &conditions), NOW), (expected.to_owned(), health));
        }
    }

    #[test]
    fn a_message_is_there_also_where_all_is_well() {
        let says = |conditions: &[_]| Report::new(&token(2, conditions), at(NOW)).message;
        let ready = ("Ready", "True", "Renewed");
        assert_eq!(says(&[ready]), "Renewed.");
        assert_eq!(
            says(&[ready, ("SingleReader", "True", "SharedIdentity")]),
            "SharedIdentity."
        );
        assert_eq!(says(&[("Ready", "False", "Expired")]), "Expired.");
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
