//! What a status says of tokens on request.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Findings, Verdict, condition, find};
use crate::api::{ConditionType, Lifetime, Reason, Requests};
use crate::clock::whole_second;
use crate::token::decide::{not_enabled, not_known};
use crate::token::lifecycle::Situation;
use crate::token::report::provider::CredentialHealth;
use crate::token::secret::RequestsEndpoint;

/// The condition Serving, where the spec asks for tokens on request.
pub(super) fn serving(findings: &Findings<'_>) -> Option<Condition> {
    let seen = findings.seen;
    let requests = seen.token.spec.requests.as_ref()?;
    let before = find(&seen.prior.conditions, ConditionType::Serving);
    // After a restart it takes a moment to read the certificate, while other replicas serve: what was said stands.
    if let (RequestsEndpoint::Unknown, Some(before), None) = (&seen.endpoint, before, refusal(findings, requests)) {
        return Some(before.clone());
    }
    let verdict = refusal(findings, requests).map(|(reason, message)| ("False", reason, message));
    let verdict = verdict.unwrap_or_else(|| served(findings));
    Some(condition(seen, ConditionType::Serving, verdict))
}

fn served(findings: &Findings<'_>) -> Verdict {
    match findings.seen.endpoint.request_url(findings.seen.token) {
        Some(url) => (
            "True",
            Reason::RequestsServed,
            format!(
                "a token is handed out for each POST to {url}, to ServiceAccounts that may create realtimetokens/token in \
                 this namespace"
            ),
        ),
        None => {
            let unknown = not_known();
            ("False", unknown.reason, unknown.message)
        }
    }
}

/// Why every request for a token is refused, if it is.
fn refusal(findings: &Findings<'_>, requests: &Requests) -> Option<(Reason, String)> {
    let seen = findings.seen;
    if seen.token.spec.suspend {
        let message = "spec.suspend is true: no token is handed out until it is false";
        return Some((Reason::Suspended, message.to_owned()));
    }
    if seen.endpoint == RequestsEndpoint::NotEnabled {
        let blocked = not_enabled();
        return Some((blocked.reason, blocked.message));
    }
    if let Err(blocked) = &seen.inputs {
        return Some((blocked.reason, blocked.message.clone()));
    }
    let mistake = findings.unknown_overridable.clone();
    mistake
        .map(|message| (Reason::InvalidSpec, message))
        .or_else(|| too_short(findings, requests))
        .or_else(|| failing(findings.situation))
        .or_else(|| unhealthy(findings))
}

/// Policies and defaults decide how long a life is asked for, which CEL can't see.
fn too_short(findings: &Findings<'_>, requests: &Requests) -> Option<(Reason, String)> {
    let is_known = !matches!(findings.kind.lifetime, None | Some(Lifetime::Stated));
    let life = findings.kind.asked.filter(|life| is_known && life.is_positive())?;
    let least = SignedDuration::from_secs(requests.min_remaining_seconds);
    (life <= least).then(|| {
        let message = format!(
            "a token lives {} s, and requests.minRemainingSeconds asks for {} s when it is handed out: lower \
             requests.minRemainingSeconds or raise expirationSeconds",
            life.as_secs(),
            least.as_secs()
        );
        (Reason::LifetimeTooShort, message)
    })
}

/// What keeps the Secret's token from being renewed and every other from being minted. Limits pass by themselves, and
/// each request that meets one is told so.
fn failing(situation: &Situation) -> Option<(Reason, String)> {
    let Situation::MintFailing(failures) = situation else {
        return None;
    };
    let lasting = [
        Reason::CredentialNotFound,
        Reason::CredentialRejected,
        Reason::QuotaExhausted,
        Reason::ProviderUnavailable,
        Reason::MintFailed,
    ];
    let is_lasting = lasting.contains(&failures.reason);
    is_lasting.then(|| (failures.reason, failures.message.clone()))
}

/// What the credential's other mints have shown, those for requests among them.
fn unhealthy(findings: &Findings<'_>) -> Option<(Reason, String)> {
    let health = findings.health.as_ref()?;
    let revision = findings.seen.inputs.as_ref().ok()?.credential_revision.as_str();
    let verdict = health.verdict.as_ref().filter(|verdict| verdict.revision == revision);
    if let Some(Err(refused)) = verdict.map(|verdict| &verdict.result) {
        // Its message may name what is not the tenant's to see.
        let message = "the provider refused the credential at the last mint with it: replace the key";
        return Some((refused.reason, message.to_owned()));
    }
    outage(findings, health)
}

fn outage(findings: &Findings<'_>, health: &CredentialHealth) -> Option<(Reason, String)> {
    let is_reported = health.reported_at().is_some_and(|at| at <= findings.seen.now);
    let since = health.unavailable_since.filter(|_| is_reported)?;
    let since = whole_second(since);
    let message = format!(
        "mints with the credential have failed since {since}: the provider is out of order, or the way to it; requests are \
         answered as soon as it is back"
    );
    Some((Reason::ProviderUnavailable, message))
}

/// Ready, of a RealtimeToken whose Secret only says where to ask.
pub(super) fn ready(findings: &Findings<'_>, stuck: Option<(Reason, String)>) -> Verdict {
    let name = findings.seen.token.target_name();
    let is_lasting = matches!(findings.situation, Situation::Blocked(_) | Situation::Suspended);
    match stuck {
        Some((reason, message)) if is_lasting || !findings.seen.holds_connection() => ("False", reason, message),
        _ if findings.seen.holds_connection() => (
            "True",
            Reason::OnRequestOnly,
            format!("Secret {name} says where to ask: tokens are handed out on request only"),
        ),
        _ => {
            let message = format!("Secret {name} is to say where to ask for tokens, and is not written yet");
            ("False", Reason::Pending, message)
        }
    }
}

/// Renewing, while nothing is in the way.
pub(super) fn renewing() -> Verdict {
    let message = "nothing is renewed: tokens are handed out on request only";
    ("False", Reason::OnRequestOnly, message.to_owned())
}

/// FreshnessGuaranteed, as each answer keeps it.
pub(super) fn freshness(requests: Option<&Requests>) -> Verdict {
    let least = requests.map_or(0, |requests| requests.min_remaining_seconds);
    let message = format!("tokens are handed out on request only, each with at least {least} s left");
    ("True", Reason::OnRequestOnly, message)
}
