//! What becomes of a state once nothing disturbs any more.

use super::state::Ghost;
use super::*;
use crate::api::ConditionType;
use crate::clock::whole_second;

/// The longest backoff is ten minutes, and a token from the future is replaced within five.
const LONGEST: SignedDuration = SignedDuration::from_secs(600 + 300 + 60);
/// So much at most. A token that becomes due meanwhile takes a mint and a write of its own.
const MINTS: u32 = 2;
const SECRET_WRITES: u32 = 4;
const STATUS_WRITES: u32 = 6;
const STEPS: usize = 120;

impl State {
    /// Whether it settles, in bounded time, mints and writes, and stays as it is then.
    pub fn settles(&self) -> Result<(), String> {
        let mut calm = self.clone();
        calm.ghost = Ghost {
            mints: 0,
            secret_writes: 0,
            status_writes: 0,
            ..calm.ghost
        };
        let until = calm.now + LONGEST;
        let mut actions = Vec::new();
        let problem = |actions: &[(Timestamp, Action)], what: &str| Err(format!("{what}: {actions:?}"));
        for _ in 0..STEPS {
            let Some(action) = calm.own_actions().next() else {
                return problem(&actions, "nothing will happen any more");
            };
            if action == Action::Sleep {
                if calm.is_settled() {
                    return calm.stays();
                }
                if calm.process.look_at > until {
                    return problem(&actions, "it takes too long");
                }
            }
            actions.push((calm.now, action));
            calm.act(action);
        }
        problem(&actions, "it takes too many steps")
    }

    /// The Secret holds the token that is wanted, and the status says that and no more.
    fn is_settled(&self) -> bool {
        let Some(secret) = &self.store.secret else { return false };
        let Some(issued) = secret.issued.as_ref().filter(|_| secret.intact) else {
            return false;
        };
        let spec = format!("spec-{}", self.store.token.metadata.generation.unwrap_or(0));
        let as_wanted = issued.inputs.fingerprint == spec && issued.inputs.credential_revision == self.key_revision();
        let usable = issued.issued_at <= self.now && secret.renewal_time.is_some_and(|due| due > self.now);
        let Some(status) = &self.store.token.status else {
            return false;
        };
        let condition = |type_: ConditionType| {
            let mut conditions = status.conditions.iter();
            conditions.find(|condition| condition.type_ == type_.as_str())
        };
        let is = |type_, value| condition(type_).is_some_and(|condition| condition.status == value);
        let says_so = is(ConditionType::Ready, "True")
            && is(ConditionType::Renewing, "False")
            && status.revision == Some(issued.revision)
            && status.usable_until.as_ref().map(|until| until.0) == Some(whole_second(issued.usable_until))
            && status.observed_generation == self.store.token.metadata.generation;
        as_wanted && usable && says_so && secret.metadata_hash.as_deref() == Some("desired")
    }

    /// Looking once more changes nothing.
    fn stays(mut self) -> Result<(), String> {
        let Ghost {
            mints,
            secret_writes,
            status_writes,
            ..
        } = self.ghost;
        if let Some(needless) = &self.ghost.needless_mint {
            return Err(needless.clone());
        }
        let counts = format!("{mints} mints, {secret_writes} writes of the Secret, {status_writes} of the status");
        if mints > MINTS || secret_writes > SECRET_WRITES || status_writes > STATUS_WRITES {
            return Err(counts);
        }
        self.process.look_at = self.now;
        for action in [Action::Begin, Action::Look] {
            self.act(action);
        }
        match (&self.process.work, self.process.look_at > self.now) {
            (Work::Idle, true) => Ok(()),
            (work, _) => Err(format!("settled, but then {work:?}")),
        }
    }
}
