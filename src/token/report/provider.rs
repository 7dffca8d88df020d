//! The status of a ClusterRealtimeProvider: is the key there, does the provider answer, did it accept the key, is it
//! limited.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::Selector;

use super::{condition_of, find};
use crate::api::{ClusterRealtimeProvider, ClusterRealtimeProviderStatus, ConditionType, RateLimitStatus, Reason};
use crate::clock::whole_second;
use crate::token::Blocked;

/// An outage that is over sooner is not worth a status write.
const OUTAGE_WORTH_REPORTING: SignedDuration = SignedDuration::from_secs(30);

/// What the provider said of a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CredentialHealth {
    /// The provider's own limit, while it holds.
    pub(crate) limited_until: Option<Timestamp>,
    /// Since when the provider is out of order, if it is.
    pub(crate) unavailable_since: Option<Timestamp>,
    /// The last word on the key; `None` if the provider was not asked since the start.
    pub(crate) verdict: Option<KeyVerdict>,
}

impl CredentialHealth {
    /// When an outage is reported, if it lasts until then.
    pub(crate) fn reported_at(&self) -> Option<Timestamp> {
        Some(self.unavailable_since? + OUTAGE_WORTH_REPORTING)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyVerdict {
    /// The key's revision; the verdict says nothing of other revisions.
    pub(crate) revision: String,
    /// `Ok` if the provider accepted the key, `Err` with our message if it rejected it, or if there was no access token.
    pub(crate) result: Result<(), Blocked>,
}

impl KeyVerdict {
    /// Whether it says of the same key the same as this one. Messages name the request, so they differ each time.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        let reason = |verdict: &Self| verdict.result.as_ref().err().map(|blocked| blocked.reason);
        self.revision == other.revision && reason(self) == reason(other)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ProviderFindings<'a> {
    pub(crate) provider: &'a ClusterRealtimeProvider,
    /// Its status as last written.
    pub(crate) prior: &'a ClusterRealtimeProviderStatus,
    /// Says what there is of the credential.
    pub(crate) found: &'a str,
    pub(crate) revision: Result<&'a str, &'a Blocked>,
    pub(crate) health: &'a CredentialHealth,
    pub(crate) now: Timestamp,
}

/// Computes the status. The same findings give the same status, so nothing is written while nothing changes.
pub(crate) fn provider_status(findings: &ProviderFindings<'_>) -> ClusterRealtimeProviderStatus {
    let limited_until = findings.health.limited_until.filter(|until| *until > findings.now);
    ClusterRealtimeProviderStatus {
        observed_generation: findings.provider.metadata.generation,
        conditions: vec![ready(findings), credential_valid(findings)],
        rate_limit: limited_until.map(|until| RateLimitStatus {
            limited_until: Some(Time(whole_second(until))),
        }),
    }
}

/// The condition that should become a Warning event: a failure that was not there before.
pub(crate) fn new_provider_failure<'a>(
    prior: &ClusterRealtimeProviderStatus,
    current: &'a ClusterRealtimeProviderStatus,
) -> Option<&'a Condition> {
    let was_known = |new: &Condition| {
        let mut before = prior.conditions.iter();
        before.any(|old| old.type_ == new.type_ && old.reason == new.reason)
    };
    let mut conditions = current.conditions.iter();
    conditions.find(|new| new.status == "False" && !was_known(new))
}

fn ready(findings: &ProviderFindings<'_>) -> Condition {
    let selected = match findings
        .provider
        .spec
        .namespace_selector
        .clone()
        .map(Selector::try_from)
    {
        None => "; no namespace may use it until namespaceSelector is set".to_owned(),
        Some(Ok(_)) => String::new(),
        Some(Err(problem)) => format!("; no namespace may use it until namespaceSelector is corrected: {problem}"),
    };
    let reported = findings.health.reported_at().filter(|at| *at <= findings.now);
    let outage = findings.health.unavailable_since.filter(|_| reported.is_some());
    let found = findings.found;
    let verdict = match (findings.revision, outage) {
        (Ok(_), Some(since)) => (
            "False",
            Reason::ProviderUnavailable,
            format!(
                "{found}, but mints have failed since {}: the provider is out of order, or the way to it; one is tried each \
                 second at most, and all that is due follows when one succeeds",
                whole_second(since)
            ),
        ),
        (Ok(_), None) => ("True", Reason::CredentialFound, format!("{found}{selected}")),
        (Err(blocked), _) => ("False", blocked.reason, blocked.message.clone()),
    };
    condition(findings, ConditionType::Ready, verdict)
}

fn credential_valid(findings: &ProviderFindings<'_>) -> Condition {
    let generation = findings.provider.metadata.generation;
    let before = find(&findings.prior.conditions, ConditionType::CredentialValid);
    let known = findings.health.verdict.as_ref();
    // While the key is missing, the verdict on the last one stands.
    let of_this_key =
        known.filter(|known| findings.revision.is_err() || findings.revision == Ok(known.revision.as_str()));
    let verdict = match (of_this_key.map(|known| &known.result), before) {
        (Some(Ok(())), _) => (
            "True",
            Reason::CredentialAccepted,
            "the provider accepted the key".to_owned(),
        ),
        (Some(Err(refused)), _) => ("False", refused.reason, refused.message.clone()),
        // After a restart nothing is known yet: what was seen before still stands.
        (None, Some(before)) if known.is_none() && before.observed_generation == generation => return before.clone(),
        _ => (
            "Unknown",
            Reason::CredentialUntested,
            "no token was minted with the key yet".to_owned(),
        ),
    };
    condition(findings, ConditionType::CredentialValid, verdict)
}

fn condition(
    findings: &ProviderFindings<'_>,
    type_: ConditionType,
    verdict: (&'static str, Reason, String),
) -> Condition {
    let generation = findings.provider.metadata.generation;
    condition_of(&findings.prior.conditions, generation, type_, verdict, findings.now)
}

#[cfg(test)]
mod tests;
