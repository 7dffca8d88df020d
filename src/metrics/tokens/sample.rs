//! What a scrape shows of one RealtimeToken.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::ObjectMeta;

use crate::api::{ConditionType, RealtimeToken, Reason, TargetContent};
use crate::resolve::provider_of;

/// The `provider` label of a RealtimeToken that can't be parsed or has no provider block.
const UNKNOWN: &str = "unknown";

#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) provider: &'static str,
    pub(super) ready: bool,
    pub(super) reason: Reason,
    /// What a person has to see to.
    pub(super) to_fix: Option<Reason>,
    pub(super) usable_until: Option<Timestamp>,
    pub(super) renewal_time: Option<Timestamp>,
    /// Why the token in the Secret suits one reader, if it does.
    pub(super) single_reader: Option<Reason>,
}

impl<'a> Sample<'a> {
    /// `token` is `None` if the object can't be parsed.
    pub(super) fn new(meta: &'a ObjectMeta, token: Option<&RealtimeToken>, now: Timestamp) -> Self {
        let unreadable = Self {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            provider: UNKNOWN,
            ready: false,
            reason: Reason::InvalidSpec,
            to_fix: Some(Reason::InvalidSpec),
            usable_until: None,
            renewal_time: None,
            single_reader: None,
        };
        match token {
            Some(token) => unreadable.with(token, now),
            None => unreadable,
        }
    }

    fn with(self, token: &RealtimeToken, now: Timestamp) -> Self {
        let status = token.status.as_ref();
        let usable_until = status
            .and_then(|status| status.usable_until.as_ref())
            .map(|time| time.0);
        let renewal_time = status
            .and_then(|status| status.renewal_time.as_ref())
            .map(|time| time.0);
        // While the API server is away the status isn't updated, so `Ready` alone may be out of date.
        let floor = SignedDuration::from_secs(token.spec.renewal.min_remaining_seconds);
        let enough_left = usable_until.is_some_and(|until| {
            let left = until.duration_since(now);
            left.is_positive() && left >= floor
        });
        // Nothing in the Secret runs out.
        let enough_left = enough_left || token.spec.target.content == TargetContent::Connection;
        let condition = |type_: ConditionType| {
            let mut all = status?.conditions.iter();
            all.find(|condition| condition.type_ == type_.as_str())
        };
        let is_true = |condition: &&Condition| condition.status == "True";
        let ready = condition(ConditionType::Ready).as_ref().is_some_and(is_true) && enough_left;
        let reason = status.and_then(|status| known_reason(status.reason.as_deref()?));
        let reason = match reason.unwrap_or(Reason::Pending) {
            _ if token.spec.suspend => Reason::Suspended,
            Reason::Ready if !ready => Reason::Expired,
            reason => reason,
        };
        // A life that is short by choice is no trouble by itself.
        let serving = condition(ConditionType::Serving).is_none_or(|condition| condition.status != "False");
        let is_advice = reason == Reason::LifetimeTooShort && ready && serving;
        let single_reader = condition(ConditionType::SingleReader).filter(is_true);
        Self {
            to_fix: Some(reason).filter(|reason| reason.needs_a_person() && !is_advice),
            provider: provider_of(&token.spec).map_or(UNKNOWN, |provider| provider.name()),
            ready,
            reason,
            usable_until,
            renewal_time: renewal_time.filter(|_| !token.spec.suspend),
            single_reader: single_reader.and_then(|condition| known_reason(&condition.reason)),
            ..self
        }
    }
}

/// Only our own reasons become labels: a user who may write a status could add any number of series otherwise.
fn known_reason(reason: &str) -> Option<Reason> {
    Reason::ALL.iter().find(|known| known.as_str() == reason).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::token::report::summary;

    const NOW: i64 = 1_800_000_000;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(spec: Value, conditions: Value, usable_for: i64) -> RealtimeToken {
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
        let mut token: RealtimeToken = serde_json::from_value(object).unwrap();
        let status = token.status.as_mut().unwrap();
        (status.reason, status.message) = summary(&status.conditions);
        token
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2027-01-01T00:00:00Z"})
    }

    /// ready, reason, renewal time
    fn sample(token: &RealtimeToken) -> (bool, &'static str, Option<i64>) {
        let sample = Sample::new(&token.metadata, Some(token), time(NOW));
        assert_eq!((sample.namespace, sample.name), ("shop", "voice"));
        let renewal_time = sample.renewal_time.map(Timestamp::as_second);
        (sample.ready, sample.reason.as_str(), renewal_time)
    }

    #[test]
    fn a_status_is_believed_as_far_as_the_clock_agrees() {
        let fine = json!([
            condition("Ready", "True", "Renewed"),
            condition("Renewing", "False", "AwaitingRenewal")
        ]);
        let due = |seconds| Some(NOW + seconds - 600);
        let usable_for = |seconds| token(json!({}), fine.clone(), seconds);
        assert_eq!(sample(&usable_for(700)), (true, "Ready", due(700)));
        assert_eq!(sample(&usable_for(90)), (true, "Ready", due(90)));
        assert_eq!(sample(&usable_for(89)), (false, "Expired", due(89)));
        assert_eq!(sample(&usable_for(-1)), (false, "Expired", due(-1)));

        let failing = json!([
            condition("Ready", "True", "Renewed"),
            condition("Renewing", "True", "CredentialRejected")
        ]);
        let usable_for = |seconds| token(json!({}), failing.clone(), seconds);
        assert_eq!(sample(&usable_for(500)), (true, "CredentialRejected", due(500)));
        assert_eq!(sample(&usable_for(10)), (false, "CredentialRejected", due(10)));
    }

    #[test]
    fn a_suspended_one_is_no_failure_and_nothing_is_due() {
        let status = json!([
            condition("Ready", "False", "Suspended"),
            condition("Renewing", "False", "Suspended")
        ]);
        let suspended = token(json!({"suspend": true}), status, -5);
        assert_eq!(sample(&suspended), (false, "Suspended", None));
    }

    #[test]
    fn a_secret_that_only_says_where_to_ask_does_not_run_out() {
        let fine = json!([
            condition("Ready", "True", "OnRequestOnly"),
            condition("Renewing", "False", "OnRequestOnly")
        ]);
        let mut token = token(json!({"requests": {}, "target": {"content": "Connection"}}), fine, 0);
        let status = token.status.as_mut().unwrap();
        (status.usable_until, status.renewal_time) = (None, None);
        assert_eq!(sample(&token), (true, "OnRequestOnly", None));
    }

    #[test]
    fn reasons_that_are_not_ours_make_no_series() {
        let odd = json!([condition("Ready", "False", "Odd-4711")]);
        assert_eq!(sample(&token(json!({}), odd, 700)).1, "Pending");
        assert_eq!(sample(&token(json!({}), json!([]), 700)).1, "Pending");
    }

    #[test]
    fn what_only_a_person_can_end_is_told_from_what_passes() {
        let to_fix = |conditions: &[(&str, &str, &str)]| {
            let conditions: Vec<_> = conditions.iter().map(|(a, b, c)| condition(a, b, c)).collect();
            let token = token(json!({}), json!(conditions), 700);
            Sample::new(&token.metadata, Some(&token), time(NOW)).to_fix
        };
        let ready = ("Ready", "True", "Renewed");
        let refused = ("Renewing", "True", "QuotaExhausted");
        assert_eq!(to_fix(&[ready, refused]), Some(Reason::QuotaExhausted));
        assert_eq!(to_fix(&[ready, ("Renewing", "True", "ProviderUnavailable")]), None);
        assert_eq!(to_fix(&[ready, ("Renewing", "False", "AwaitingRenewal")]), None);
        // The Secret is fine, and no caller who asks gets a token.
        let serving = ("Serving", "False", "RequestsNotEnabled");
        assert_eq!(to_fix(&[ready, serving]), Some(Reason::RequestsNotEnabled));
        assert_eq!(to_fix(&[ready, ("Serving", "False", "ProviderUnavailable")]), None);
        // Short by choice; and too short to be of any use.
        assert_eq!(
            to_fix(&[ready, ("FreshnessGuaranteed", "False", "LifetimeTooShort")]),
            None
        );
        for type_ in ["Ready", "Serving"] {
            let conditions = [ready, (type_, "False", "LifetimeTooShort")];
            let conditions = if type_ == "Ready" {
                &conditions[1..]
            } else {
                &conditions
            };
            assert_eq!(to_fix(conditions), Some(Reason::LifetimeTooShort), "{type_}");
        }

        let suspended = token(
            json!({"suspend": true}),
            json!([condition(refused.0, refused.1, refused.2)]),
            700,
        );
        assert_eq!(
            Sample::new(&suspended.metadata, Some(&suspended), time(NOW)).to_fix,
            None
        );
    }

    #[test]
    fn tokens_for_one_reader_are_counted_by_why() {
        let of = |reason| {
            let conditions = json!([
                condition("Ready", "True", "Renewed"),
                condition("SingleReader", "True", reason)
            ]);
            token(json!({}), conditions, 700)
        };
        let tokens = [
            of("SingleUseToken"),
            of("SharedIdentity"),
            of("SingleUseToken"),
            of("Odd"),
        ];
        let samples = tokens.map(|token| Sample::new(&ObjectMeta::default(), Some(&token), time(NOW)).single_reader);
        let known = [Some(Reason::SingleUseToken), Some(Reason::SharedIdentity)];
        assert_eq!(samples, [known[0], known[1], known[0], None]);
    }

    #[test]
    fn one_that_cannot_be_read_counts_as_not_ready() {
        let meta = token(json!({}), json!([]), 700).metadata;
        let sample = Sample::new(&meta, None, time(NOW));
        assert_eq!((sample.namespace, sample.name), ("shop", "voice"));
        assert_eq!((sample.provider, sample.ready), (UNKNOWN, false));
        assert_eq!(
            (sample.reason, sample.to_fix),
            (Reason::InvalidSpec, Some(Reason::InvalidSpec))
        );
    }
}
