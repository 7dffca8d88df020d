//! From a mint that is due to its end.

use jiff::{SignedDuration, Timestamp};

use super::{Effect, Lifecycle, Limit, MintEnd, Pending, Situation, Step};
use crate::api::Reason;
use crate::clock::whole_second;
use crate::token::backoff::{self, MintFailures};
use crate::token::decide::MAX_WAIT;
use crate::token::secret::content_hash;
use crate::token::{MintError, MintInputs, Minted, Observation, Trigger, UnstoredToken};

/// A slot that moves by no more is not worth a status write: how fast the others ahead fail is not known.
const SAME_SLOT: SignedDuration = SignedDuration::from_secs(60);

impl Lifecycle {
    pub(super) fn mint(seen: &Observation<'_>, inputs: &MintInputs, trigger: Trigger) -> Step {
        let (schedule, issued) = (seen.schedule(), seen.issued());
        let pending = Pending {
            inputs: inputs.clone(),
            usable_until: issued.map(|issued| issued.usable_until),
            swap_by: schedule.map(|schedule| schedule.swap_by),
            // Whatever else changed, the same token may do: it is written anew.
            content_hash: issued
                .filter(|_| trigger == Trigger::Due)
                .map(|issued| issued.content_hash.clone()),
        };
        Step::of(Effect::Mint {
            trigger,
            pending: Box::new(pending),
        })
    }

    pub(super) fn mint_deferred(&self, seen: &Observation<'_>, limit: Option<Limit>) -> Step {
        // The budget wakes it when its slot has come. Looking sooner at each of 100,000 that wait would take all the time
        // that minting needs.
        let wait = Effect::Wait(seen.now + MAX_WAIT);
        let Some(mut limit) = limit else {
            return Step::of(wait);
        };
        limit.until = as_reported(&limit, seen).unwrap_or(limit.until);
        let before = self.mint_failures.as_deref();
        let at = whole_second(limit.until);
        let waiting = MintFailures {
            failed: before.map_or(0, |failures| failures.failed),
            last: before.map_or(seen.now, |failures| failures.last),
            next: limit.until,
            inputs: None,
            reason: limit.reason,
            message: match limit.reason {
                Reason::QuotaExhausted => format!(
                    "the account of the {} has no credit or quota left: add credit or raise the limit at the provider; \
                     one mint with it is tried at about {at}",
                    limit.key
                ),
                Reason::ProviderUnavailable => format!(
                    "the provider is out of order for every token of the {}: one mint with it is tried each second, and \
                     this one is tried at about {at}, or as soon as the provider is back",
                    limit.key
                ),
                _ => format!("the {} is limited until about {at}; it is queued", limit.key),
            },
        };
        Step::of(wait).reporting(Situation::MintFailing(waiting))
    }

    /// The next look finds the token, the failure or the missing key.
    pub(super) fn mint_ended(&mut self, end: MintEnd, slot: Option<Timestamp>, now: Timestamp) -> Step {
        if let Some(pending) = self.pending.take() {
            match end {
                MintEnd::Minted { minted, .. } if pending.content_hash == Some(content_hash(&minted)) => {
                    let error = repeated(&minted);
                    self.mint_failures = Some(Box::new(self.failed_mint(*pending, &error, None, now)));
                }
                MintEnd::Minted {
                    minted,
                    credential_revision,
                } => {
                    self.mint_failures = None;
                    self.last_mint = Some(minted.issued_at);
                    let inputs = MintInputs {
                        credential_revision,
                        ..pending.inputs
                    };
                    self.unstored = Some(Box::new(UnstoredToken {
                        minted,
                        inputs,
                        revision: None,
                        stored: false,
                    }));
                }
                MintEnd::Failed(error) => {
                    self.mint_failures = Some(Box::new(self.failed_mint(*pending, &error, slot, now)));
                }
                MintEnd::NotAsked => {}
            }
        }
        Step::of(Effect::Wait(now))
    }

    /// A backoff that only waits for the provider to be in order is over.
    pub(super) fn slot_came(&mut self, now: Timestamp) {
        if let Some(failures) = &mut self.mint_failures
            && failures.reason == Reason::ProviderUnavailable
        {
            failures.next = failures.next.min(now);
        }
    }

    fn failed_mint(
        &mut self,
        pending: Pending,
        error: &MintError,
        slot: Option<Timestamp>,
        now: Timestamp,
    ) -> MintFailures {
        let before = self.mint_failures.as_ref().map_or(0, |failures| failures.failed);
        let failed = before.saturating_add(1);
        let slack = backoff::slack(pending.swap_by, pending.usable_until, now);
        let delay = backoff::mint_delay(error, failed, &self.uid, slack);
        let next = now + delay.max(error.limit().unwrap_or(SignedDuration::ZERO));
        let next = slot.map_or(next, |slot| next.max(slot));
        self.last_failure = Some(now);
        let at = whole_second(next);
        // Only in an outage of the whole credential does a success of others end the backoff of this one.
        let or_sooner = match slot {
            Some(_) => "the provider is back or the spec or the key changes",
            None => "the spec or the key changes",
        };
        MintFailures {
            failed,
            last: now,
            next,
            inputs: Some(pending.inputs),
            reason: error.reason(),
            message: format!("{error} (attempt {failed}; the next at {at}, or as soon as {or_sooner})"),
        }
    }
}

/// The slot that the status names already, if it still holds.
fn as_reported(limit: &Limit, seen: &Observation<'_>) -> Option<Timestamp> {
    let reported = seen.prior.next_attempt_time.as_ref()?.0;
    let still_holds = reported > seen.now && reported.duration_since(limit.until).abs() <= SAME_SLOT;
    (limit.reason == Reason::ProviderUnavailable && still_holds).then_some(reported)
}

/// The reply holds the token that is in the Secret already. Asking again soon would bring it once more.
fn repeated(minted: &Minted) -> MintError {
    let until = whole_second(minted.expires_at);
    MintError::Rejected {
        credential: false,
        message: format!(
            "the reply repeats the token that the Secret holds, which ends at {until}, and is no renewal: a cache on the \
             way, or the endpoint itself, hands out an old token"
        ),
    }
}
