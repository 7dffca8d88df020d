//! What `kubectl get` shows of a RealtimeToken: one word, and a sentence if something is wrong or waited for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::find;
use crate::api::{ConditionType, Reason};

/// `status.reason` and `status.message`: those of the condition that matters most, or that all is well.
pub(crate) fn summary(conditions: &[Condition]) -> (Option<String>, Option<String>) {
    let Some(ready) = find(conditions, ConditionType::Ready) else {
        return (None, None);
    };
    let has = |condition: &Condition, reason: Reason| condition.reason == reason.as_str();
    let of = |type_| find(conditions, type_);
    let problems = [
        Some(ready).filter(|c| c.status != "True"),
        of(ConditionType::Renewing).filter(|c| c.status == "True" || has(c, Reason::Suspended)),
        of(ConditionType::Serving).filter(|c| c.status == "False"),
        // That a token suits one reader is said by SingleReader: it is so by design, and nothing is wrong.
        of(ConditionType::FreshnessGuaranteed).filter(|c| c.status == "False" && !has(c, Reason::SingleUseToken)),
    ];
    match problems.into_iter().flatten().next() {
        Some(problem) => (Some(problem.reason.clone()), Some(problem.message.clone())),
        None if has(ready, Reason::OnRequestOnly) => (Some(ready.reason.clone()), None),
        None => (Some(Reason::Ready.as_str().to_owned()), None),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn condition((type_, status, reason): (&str, &str, &str)) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: format!("{type_} {reason}."),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn what_matters_most_is_said_and_nothing_while_all_is_well() {
        let ready = ("Ready", "True", "Renewed");
        let idle = ("Renewing", "False", "AwaitingRenewal");
        let single = ("FreshnessGuaranteed", "False", "SingleUseToken");
        let short = ("FreshnessGuaranteed", "False", "LifetimeTooShort");
        let one_reader = ("SingleReader", "True", "SharedIdentity");
        let refused = ("Renewing", "True", "CredentialRejected");
        let not_serving = ("Serving", "False", "RequestsNotEnabled");
        for (conditions, reason, of) in [
            (vec![ready, idle], "Ready", None),
            (vec![ready, idle, single, one_reader], "Ready", None),
            (vec![("Ready", "True", "OnRequestOnly")], "OnRequestOnly", None),
            (vec![ready, refused, short], "CredentialRejected", Some("Renewing")),
            (
                vec![ready, idle, short],
                "LifetimeTooShort",
                Some("FreshnessGuaranteed"),
            ),
            (
                vec![ready, idle, short, not_serving],
                "RequestsNotEnabled",
                Some("Serving"),
            ),
            (
                vec![("Ready", "False", "InvalidSpec"), refused],
                "InvalidSpec",
                Some("Ready"),
            ),
            (vec![("Ready", "False", "Pending")], "Pending", Some("Ready")),
            (
                vec![ready, ("Renewing", "True", "Pending")],
                "Pending",
                Some("Renewing"),
            ),
            (
                vec![ready, ("Renewing", "False", "Suspended")],
                "Suspended",
                Some("Renewing"),
            ),
        ] {
            let conditions: Vec<_> = conditions.into_iter().map(condition).collect();
            let message = of.map(|type_| format!("{type_} {reason}."));
            assert_eq!(summary(&conditions), (Some(reason.to_owned()), message));
        }
        assert_eq!(summary(&[]), (None, None));
    }
}
