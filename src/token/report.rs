//! The status and conditions of a RealtimeToken, and which of them becomes a Warning event.

pub(crate) mod provider;
mod requests;
mod single_reader;
mod spec_applied;
mod summary;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use self::provider::CredentialHealth;
pub(crate) use self::single_reader::single_reader;
pub(crate) use self::summary::summary;
use super::Observation;
use super::backoff::Failures;
use super::lifecycle::Situation;
use super::schedule::Schedule;
use super::secret::{Issued, TargetState};
use crate::api::{ConditionType, Lifetime, RealtimeTokenSpec, RealtimeTokenStatus, Reason, SecretName, TargetContent};
use crate::clock::whole_second;
use crate::text::escaped;

/// By how much a life may fall short of what was asked for: whole seconds, and the clocks.
const AS_ASKED: SignedDuration = SignedDuration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) seen: &'a Observation<'a>,
    pub(crate) situation: &'a Situation,
    /// The provider's name, if the spec is valid.
    pub(crate) provider: Option<Cow<'static, str>>,
    pub(crate) kind: TokenKind,
    /// What is known of the credential, where tokens are handed out on request.
    pub(crate) health: Option<CredentialHealth>,
    /// What is wrong with `requests.overridable`, which stops requests only.
    pub(crate) unknown_overridable: Option<String>,
}

/// What tokens the provider gives, as far as the spec is valid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenKind {
    /// Why the token serves one session only, if it does.
    pub(crate) single_use: Option<&'static str>,
    /// Why the token suits one reader at a time, if it does.
    pub(crate) one_reader: Option<&'static str>,
    /// What decides how long a token lives.
    pub(crate) lifetime: Option<Lifetime>,
    /// How long a life the provider is asked for, if it is.
    pub(crate) asked: Option<SignedDuration>,
}

/// Computes the status. The same findings give the same status, so nothing is written while nothing changes.
pub(crate) fn status(findings: &Findings<'_>) -> RealtimeTokenStatus {
    let Findings { seen, situation, .. } = findings;
    let issued = intact_token(&seen.target);
    let schedule = issued.and(seen.schedule());
    let time = |at: Timestamp| Time(whole_second(at));
    let (failed_mint_attempts, failed_write_attempts, (last, next)) = failing(situation);
    let prior = &seen.prior;
    let conditions = conditions(findings, issued, schedule);
    let (reason, message) = summary(&conditions);
    RealtimeTokenStatus {
        observed_generation: seen.token.metadata.generation,
        reason,
        message,
        conditions,
        provider: findings
            .provider
            .clone()
            .map(Cow::into_owned)
            .or_else(|| prior.provider.clone()),
        secret_ref: (issued.is_some() || seen.wants_connection() && seen.holds_connection()).then(|| SecretName {
            name: seen.token.target_name(),
        }),
        issued_at: issued.map(|issued| time(issued.issued_at)),
        usable_until: issued.map(|issued| time(issued.usable_until)),
        expires_at: issued.map(|issued| time(issued.expires_at)),
        renewal_time: schedule.map(|schedule| time(schedule.renewal_time)),
        revision: issued.map(|issued| issued.revision).or(prior.revision),
        failed_mint_attempts,
        failed_write_attempts,
        last_failure_time: last.map(time),
        next_attempt_time: next.map(time),
        last_handled_renew_request: issued.map_or_else(
            || prior.last_handled_renew_request.clone(),
            |issued| issued.inputs.renew_request.clone(),
        ),
    }
}

fn conditions(findings: &Findings<'_>, issued: Option<&Issued>, schedule: Option<Schedule>) -> Vec<Condition> {
    let seen = findings.seen;
    let ready = ready(findings, issued);
    let applied = spec_applied::spec_applied(findings, issued, &ready);
    let verdicts = [
        (ConditionType::Ready, ready),
        (ConditionType::Renewing, renewing(findings, schedule)),
        (
            ConditionType::FreshnessGuaranteed,
            freshness(&seen.token.spec, &findings.kind, schedule),
        ),
        (ConditionType::SpecApplied, applied),
    ];
    let shared = single_reader(&seen.token.spec, &findings.kind);
    let shared = shared.map(|verdict| (ConditionType::SingleReader, verdict));
    let verdicts = verdicts.into_iter().chain(shared);
    let conditions = verdicts.map(|(type_, verdict)| condition(seen, type_, verdict));
    conditions.chain(requests::serving(findings)).collect()
}

type Times = (Option<Timestamp>, Option<Timestamp>);

/// The failed mints, the failed writes, the time of the last failure and that of the next attempt.
fn failing(situation: &Situation) -> (Option<i64>, Option<i64>, Times) {
    // A mint that waits for a limit has not failed.
    fn of<I>(failures: &Failures<I>) -> (Option<i64>, Times) {
        let failed = Some(failures.failed).filter(|failed| *failed > 0).map(i64::from);
        (failed, (failed.map(|_| failures.last), Some(failures.next)))
    }
    match situation {
        Situation::MintFailing(failures) => {
            let (failed, times) = of(failures);
            (failed, None, times)
        }
        Situation::WriteFailing(failures) => {
            let (failed, times) = of(failures);
            (None, failed, times)
        }
        Situation::Settled | Situation::Pending | Situation::Blocked(_) | Situation::Suspended => Default::default(),
    }
}

/// The conditions of a RealtimeToken that can't be read; Ready is the first. What else was known of it stays.
pub(crate) fn unreadable(
    prior: &[Condition],
    generation: Option<i64>,
    problem: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let message = format!("the operator can't read this RealtimeToken: {problem}");
    let condition = |type_, status| {
        let verdict = (status, Reason::InvalidSpec, message.clone());
        condition_of(prior, generation, type_, verdict, now)
    };
    let mut conditions = vec![
        condition(ConditionType::Ready, "False"),
        condition(ConditionType::Renewing, "True"),
        condition(ConditionType::SpecApplied, "False"),
    ];
    let others = prior
        .iter()
        .filter(|before| conditions.iter().all(|condition| condition.type_ != before.type_));
    let others: Vec<_> = others.cloned().collect();
    conditions.extend(others);
    conditions
}

/// The conditions that should become Warning events: a failure that was not there before, and that the token suits one
/// reader.
pub(crate) fn new_warnings<'a>(
    prior: &RealtimeTokenStatus,
    current: &'a RealtimeTokenStatus,
) -> impl Iterator<Item = &'a Condition> {
    let is_new = |condition: &&Condition| {
        let before = prior.conditions.iter().find(|c| c.type_ == condition.type_);
        before.is_none_or(|before| before.reason != condition.reason || before.status != condition.status)
    };
    let new = |type_, status: &str| {
        let condition = find(&current.conditions, type_).filter(is_new);
        condition.filter(|condition| condition.status == status)
    };
    let is = |condition: &Condition, reasons: &[Reason]| reasons.iter().any(|it| it.as_str() == condition.reason);
    let quiet = [Reason::Pending, Reason::Suspended, Reason::AwaitingRenewal];
    let renewing = new(ConditionType::Renewing, "True").filter(|c| !is(c, &quiet));
    let expired = new(ConditionType::Ready, "False").filter(|c| is(c, &[Reason::Expired]));
    // Of a token for one session SingleReader tells.
    let stale = new(ConditionType::FreshnessGuaranteed, "False").filter(|c| !is(c, &[Reason::SingleUseToken]));
    let refusing = new(ConditionType::Serving, "False").filter(|c| !is(c, &quiet));
    let failure = renewing.or(expired).or(stale).or(refusing);
    failure.into_iter().chain(new(ConditionType::SingleReader, "True"))
}

/// Status, reason and message of a condition.
pub(crate) type Verdict = (&'static str, Reason, String);

fn ready(findings: &Findings<'_>, issued: Option<&Issued>) -> Verdict {
    if findings.seen.wants_connection() {
        return requests::ready(findings, stuck(findings.situation));
    }
    let name = findings.seen.token.target_name();
    let min = SignedDuration::from_secs(findings.seen.token.spec.renewal.min_remaining_seconds);
    if let Some(issued) = issued {
        let left = issued.usable_until.duration_since(findings.seen.now);
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
        return match stuck(findings.situation) {
            Some((reason, message)) => ("False", reason, format!("{state}: {message}")),
            None if life < min => (
                "False",
                Reason::LifetimeTooShort,
                format!(
                    "the token lives {} s, less than minRemainingSeconds ({} s); {} minRemainingSeconds",
                    life.as_secs(),
                    min.as_secs(),
                    raise_or_lower(&findings.kind, life)
                ),
            ),
            None => ("False", Reason::Expired, state),
        };
    }
    match stuck(findings.situation) {
        Some((reason, message)) => ("False", reason, message),
        None => (
            "False",
            Reason::Pending,
            format!("waiting for a token for Secret {name}"),
        ),
    }
}

fn renewing(findings: &Findings<'_>, schedule: Option<Schedule>) -> Verdict {
    match (findings.situation, stuck(findings.situation)) {
        (Situation::Suspended, Some((reason, message))) => ("False", reason, message),
        (_, Some((reason, message))) => ("True", reason, message),
        _ if findings.seen.wants_connection() => requests::renewing(),
        (Situation::Settled, None) => match schedule.map(|schedule| schedule.renewal_time) {
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

/// Whether every reader always has minRemainingSeconds left, as far as the life of the token decides that.
pub(crate) fn freshness(spec: &RealtimeTokenSpec, kind: &TokenKind, schedule: Option<Schedule>) -> Verdict {
    if spec.target.content == TargetContent::Connection {
        return requests::freshness(spec.requests.as_deref());
    }
    let renewal = &spec.renewal;
    if kind.single_use.is_some() {
        let message =
            "the first reader uses the token up, so there is none for the others: see the condition SingleReader";
        return ("False", Reason::SingleUseToken, message.to_owned());
    }
    match schedule {
        None => ("Unknown", Reason::Pending, "known once a token was issued".to_owned()),
        Some(schedule) => match schedule.shortfall {
            Some(short) => (
                "False",
                Reason::LifetimeTooShort,
                format!(
                    "a life of {} s can't keep {} s for every reader: with propagationSeconds {} and 60 s for retries it \
                     would have to be {} s; {} minRemainingSeconds, propagationSeconds or renewBeforeSeconds. Renewing \
                     at half the life",
                    short.life.as_secs(),
                    renewal.min_remaining_seconds,
                    renewal.propagation_seconds,
                    short.needed.as_secs(),
                    raise_or_lower(kind, short.life)
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

/// What helps against a life that is too short, ready to be followed by what can be lowered. `expirationSeconds` is named
/// only where a larger one helps.
fn raise_or_lower(kind: &TokenKind, life: SignedDuration) -> String {
    let asked = kind.asked.unwrap_or_default();
    match kind.lifetime {
        Some(Lifetime::Fixed(_) | Lifetime::Stated) => {
            "the provider alone decides how long its tokens live: lower".into()
        }
        Some(_) if life + AS_ASKED < asked => format!(
            "the provider granted {} s of the {} s asked for, so a larger expirationSeconds won't help: lower",
            life.as_secs(),
            asked.as_secs()
        ),
        Some(Lifetime::Chosen(limits) | Lifetime::Offered(limits)) if asked.as_secs() >= limits.max => {
            format!("{} live {} s at most: lower", limits.of, limits.max)
        }
        _ => "raise expirationSeconds or lower".into(),
    }
}

/// What keeps the next token from being minted or written.
fn stuck(situation: &Situation) -> Option<(Reason, String)> {
    match situation {
        Situation::Settled | Situation::Pending => None,
        Situation::MintFailing(failures) => Some((failures.reason, failures.message.clone())),
        Situation::WriteFailing(failures) => Some((failures.reason, failures.message.clone())),
        Situation::Blocked(blocked) => Some((blocked.reason, blocked.message.clone())),
        Situation::Suspended => Some((
            Reason::Suspended,
            "spec.suspend is true: nothing is minted until it is false".to_owned(),
        )),
    }
}

fn condition(seen: &Observation<'_>, type_: ConditionType, verdict: Verdict) -> Condition {
    let generation = seen.token.metadata.generation;
    condition_of(&seen.prior.conditions, generation, type_, verdict, seen.now)
}

fn condition_of(
    prior: &[Condition],
    generation: Option<i64>,
    type_: ConditionType,
    (status, reason, message): Verdict,
    now: Timestamp,
) -> Condition {
    let mut message = escaped(&message).into_owned();
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

/// The token of a Secret whose data is as we wrote it.
fn intact_token(target: &TargetState) -> Option<&Issued> {
    match target {
        TargetState::Ours(stored) => stored.issued.as_ref().filter(|_| stored.intact),
        TargetState::Absent | TargetState::Foreign(_) => None,
    }
}

#[cfg(test)]
mod tests;
