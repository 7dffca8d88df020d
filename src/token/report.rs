//! What was seen and done -> status and events.

pub(crate) mod provider;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Attempts, Blocked, Issued, TargetState, schedule};
use crate::api::{ConditionType, RealtimeToken, RealtimeTokenStatus, Reason, SecretName};
use crate::clock::whole_second;

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Findings<'a> {
    /// The RealtimeToken, without its status.
    pub token: &'a RealtimeToken,
    /// Its status as last written.
    pub prior: &'a RealtimeTokenStatus,
    /// The uid, the seed of the jitter.
    pub uid: &'a str,
    /// The Secret.
    pub target: &'a TargetState,
    /// What is going on.
    pub situation: Situation<'a>,
    /// The provider's name, if the spec is valid.
    pub provider: Option<Cow<'static, str>>,
    /// Why the token serves one session only, if it does.
    pub single_use: Option<&'static str>,
    /// The clock.
    pub now: Timestamp,
}

/// What is going on beside the token that is stored.
#[derive(Clone, Copy, Debug)]
pub enum Situation<'a> {
    /// The stored token is the one wanted.
    Settled,
    /// A mint is due and was not tried yet.
    Pending,
    /// Mints fail.
    Failing(&'a Attempts),
    /// Nothing can be minted.
    Blocked(&'a Blocked),
    /// `spec.suspend`.
    Suspended,
}

/// Computes the status. The same findings give the same status, so nothing is written while nothing changes.
#[must_use]
pub fn status(findings: &Findings<'_>) -> RealtimeTokenStatus {
    let issued = issued(findings.target);
    let plan = issued.map(|i| schedule::plan(&findings.token.spec.renewal, findings.uid, i.issued_at, i.usable_until));
    let attempts = match findings.situation {
        Situation::Failing(attempts) => Some(attempts),
        _ => None,
    };
    let failed = attempts.filter(|a| a.failed > 0); // who waits for its turn has not failed
    RealtimeTokenStatus {
        observed_generation: findings.token.metadata.generation,
        conditions: vec![
            condition(findings, ConditionType::Ready, ready(findings, issued)),
            condition(
                findings,
                ConditionType::Renewing,
                renewing(findings, plan.map(|p| p.renewal_time)),
            ),
            condition(findings, ConditionType::FreshnessGuaranteed, freshness(findings, plan)),
        ],
        provider: findings
            .provider
            .clone()
            .map(Cow::into_owned)
            .or_else(|| findings.prior.provider.clone()),
        secret_ref: issued.map(|_| SecretName {
            name: findings.token.target_name(),
        }),
        issued_at: issued.map(|i| Time(whole_second(i.issued_at))),
        usable_until: issued.map(|i| Time(whole_second(i.usable_until))),
        expires_at: issued.map(|i| Time(whole_second(i.expires_at))),
        renewal_time: plan.map(|p| Time(whole_second(p.renewal_time))),
        revision: issued.map(|i| i.revision).or(findings.prior.revision),
        failed_mint_attempts: failed.map(|a| i64::from(a.failed)),
        last_failure_time: failed.map(|a| Time(whole_second(a.last))),
        next_attempt_time: attempts.map(|a| Time(whole_second(a.next))),
        last_handled_renew_request: issued.map_or_else(
            || findings.prior.last_handled_renew_request.clone(),
            |i| i.renew_request.clone(),
        ),
    }
}

/// The conditions of a RealtimeToken that can't be read; Ready is the first. What else was known of it stays.
#[must_use]
pub fn unreadable(prior: &[Condition], generation: Option<i64>, problem: &str, now: Timestamp) -> Vec<Condition> {
    let message = format!(
        "the operator can't read this RealtimeToken: {problem}. Compare it with `kubectl explain realtimetoken.spec`, \
         and make sure that the CRD in the cluster is of the operator's own version"
    );
    let condition = |type_, status| {
        let verdict = (status, Reason::InvalidSpec, message.clone());
        condition_of(prior, generation, type_, verdict, now)
    };
    let mut conditions = vec![
        condition(ConditionType::Ready, "False"),
        condition(ConditionType::Renewing, "True"),
    ];
    let others = prior
        .iter()
        .filter(|before| conditions.iter().all(|condition| condition.type_ != before.type_));
    let others: Vec<_> = others.cloned().collect();
    conditions.extend(others);
    conditions
}

/// The attempts that a status tells of, after a restart. What was asked is not in it.
#[must_use]
pub fn attempts(token: &RealtimeToken) -> Option<Attempts> {
    let status = token.status.as_ref()?;
    // Another spec is another question: the answer to the old one does not hold it back.
    if status.observed_generation != token.metadata.generation {
        return None;
    }
    let renewing = find(&status.conditions, ConditionType::Renewing)?;
    let reason = *Reason::ALL.iter().find(|reason| reason.as_str() == renewing.reason)?;
    Some(Attempts {
        failed: u32::try_from(status.failed_mint_attempts?)
            .ok()
            .filter(|failed| *failed > 0)?,
        last: status.last_failure_time.as_ref()?.0,
        next: status.next_attempt_time.as_ref()?.0,
        asked: None,
        reason,
        message: renewing.message.clone(),
    })
}

/// The condition that should become a Warning event: a failure that was not there before.
#[must_use]
pub fn new_failure<'a>(prior: &RealtimeTokenStatus, current: &'a RealtimeTokenStatus) -> Option<&'a Condition> {
    let is_new = |condition: &Condition| {
        let before = prior.conditions.iter().find(|c| c.type_ == condition.type_);
        before.is_none_or(|before| before.reason != condition.reason || before.status != condition.status)
    };
    let quiet = [Reason::Pending, Reason::Suspended, Reason::AwaitingRenewal].map(Reason::as_str);
    let renewing = find(&current.conditions, ConditionType::Renewing)
        .filter(|c| c.status == "True" && !quiet.contains(&c.reason.as_str()) && is_new(c));
    let expired =
        find(&current.conditions, ConditionType::Ready).filter(|c| c.reason == Reason::Expired.as_str() && is_new(c));
    let stale =
        find(&current.conditions, ConditionType::FreshnessGuaranteed).filter(|c| c.status == "False" && is_new(c));
    renewing.or(expired).or(stale)
}

type Verdict = (&'static str, Reason, String);

fn ready(findings: &Findings<'_>, issued: Option<&Issued>) -> Verdict {
    let name = findings.token.target_name();
    let min = SignedDuration::from_secs(findings.token.spec.renewal.min_remaining_seconds);
    if let Some(issued) = issued {
        let left = issued.usable_until.duration_since(findings.now);
        let until = whole_second(issued.usable_until);
        if left.is_positive() && left >= min {
            let reason = if issued.revision == 1 {
                Reason::Issued
            } else {
                Reason::Renewed
            };
            return (
                "True",
                reason,
                format!(
                    "Secret {name} holds a token usable until {until} (revision {})",
                    issued.revision
                ),
            );
        }
        let life = issued.usable_until.duration_since(issued.issued_at);
        let state = if left.is_positive() {
            format!(
                "the token in Secret {name} has less than minRemainingSeconds ({} s) left, until {until}",
                min.as_secs()
            )
        } else {
            format!("the token in Secret {name} ended at {until}")
        };
        return match stuck(findings) {
            Some((reason, message)) => ("False", reason, format!("{state}: {message}")),
            None if life < min => (
                "False",
                Reason::LifetimeTooShort,
                format!(
                    "the token lives {} s, less than minRemainingSeconds ({} s); ask for a longer life or lower it",
                    life.as_secs(),
                    min.as_secs()
                ),
            ),
            None => ("False", Reason::Expired, state),
        };
    }
    match stuck(findings) {
        Some((reason, message)) => ("False", reason, message),
        None => (
            "False",
            Reason::Pending,
            format!("waiting for a token for Secret {name}"),
        ),
    }
}

fn renewing(findings: &Findings<'_>, renewal_time: Option<Timestamp>) -> Verdict {
    match (findings.situation, stuck(findings)) {
        (Situation::Suspended, Some((reason, message))) => ("False", reason, message),
        (_, Some((reason, message))) => ("True", reason, message),
        (Situation::Settled, None) => match renewal_time {
            Some(due) => (
                "False",
                Reason::AwaitingRenewal,
                format!("the next token is due at {}", whole_second(due)),
            ),
            None => ("True", Reason::Pending, "a token is due".to_owned()),
        },
        (_, None) => ("True", Reason::Pending, "a token is due".to_owned()),
    }
}

fn freshness(findings: &Findings<'_>, plan: Option<schedule::Schedule>) -> Verdict {
    let renewal = &findings.token.spec.renewal;
    if let Some(message) = findings.single_use {
        return ("False", Reason::SingleUseToken, message.to_owned());
    }
    match plan {
        None => ("Unknown", Reason::Pending, "known once a token was issued".to_owned()),
        Some(plan) => match plan.shortfall {
            Some(short) => (
                "False",
                Reason::LifetimeTooShort,
                format!(
                    "a life of {} s can't keep {} s for every reader: with propagationSeconds {} and 60 s for retries it \
                 would have to be {} s; raise expirationSeconds or lower minRemainingSeconds, propagationSeconds or \
                 renewBeforeSeconds. Renewing at half the life",
                    short.life.as_secs(),
                    renewal.min_remaining_seconds,
                    renewal.propagation_seconds,
                    short.needed.as_secs()
                ),
            ),
            None => (
                "True",
                Reason::LifetimeSufficient,
                format!(
                    "renewed in time for every reader to have {} s left",
                    renewal.min_remaining_seconds
                ),
            ),
        },
    }
}

/// What keeps the next token from being minted.
fn stuck(findings: &Findings<'_>) -> Option<(Reason, String)> {
    match findings.situation {
        Situation::Settled | Situation::Pending => None,
        Situation::Failing(attempts) => Some((attempts.reason, attempts.message.clone())),
        Situation::Blocked(blocked) => Some((blocked.reason, blocked.message.clone())),
        Situation::Suspended => Some((
            Reason::Suspended,
            "spec.suspend is true: nothing is minted until it is false".to_owned(),
        )),
    }
}

fn condition(findings: &Findings<'_>, type_: ConditionType, verdict: Verdict) -> Condition {
    let generation = findings.token.metadata.generation;
    let prior = &findings.prior.conditions;
    condition_of(prior, generation, type_, verdict, findings.now)
}

fn condition_of(
    prior: &[Condition],
    generation: Option<i64>,
    type_: ConditionType,
    (status, reason, mut message): Verdict,
    now: Timestamp,
) -> Condition {
    let unchanged = find(prior, type_).filter(|before| before.status == status);
    if message.len() > 1024 {
        let cut = (0..=1024).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(cut);
    }
    Condition {
        type_: type_.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: unchanged
            .map_or_else(|| Time(whole_second(now)), |before| before.last_transition_time.clone()),
    }
}

fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

fn issued(target: &TargetState) -> Option<&Issued> {
    match target {
        TargetState::Ours(stored) => stored.issued.as_ref().filter(|_| stored.intact),
        TargetState::Absent | TargetState::Foreign(_) => None,
    }
}

#[cfg(test)]
mod tests;
