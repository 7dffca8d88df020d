//! Slots for requests, behind those for Secrets: while Secrets wait that need no haste, every fourth slot at most, and
//! none before a renewal that is near. They may have only a part of what may be in flight and of the burst, so that
//! Secrets that become due don't wait for requests to end.

use jiff::{SignedDuration, Timestamp};

use super::super::pauses::Paused;
use super::super::waiting::Ticket;
use super::super::{Claim, Ending, Mint, NoSlot, TokenName};
use super::{Bucket, CredentialBudget};
use crate::api::Reason;
use crate::token::MintError;

/// So many Secrets without need for haste go before a caller who waits.
const SECRETS_BEFORE_CALLER: usize = 3;

/// The answer to a request that asks for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum RequestAdmission {
    /// Mint, and give the slot back afterwards.
    Go,
    /// Look again at this time, or when it is woken.
    Wait(Option<Timestamp>),
    /// There will be no slot in time.
    No(NoSlot),
}

impl<K: TokenName> CredentialBudget<K> {
    /// How many requests go before one for this token.
    pub(in super::super) fn requests_ahead(&self, token: &K, claim: Claim, ticket: Option<&Ticket>) -> usize {
        self.waiting
            .ahead(claim, token.namespace(), ticket, &self.request_shares)
    }

    /// Has the request that is next look whether it may go.
    pub(in super::super) fn wake_first_request(&self) {
        self.waiting.wake_first(&self.request_shares);
    }

    /// Takes a slot for a request that has so many requests ahead of it, with a key of this revision.
    pub(in super::super) fn acquire_for_request(
        &mut self,
        token: &K,
        revision: &str,
        ahead: usize,
        deadline: Timestamp,
        now: Timestamp,
    ) -> RequestAdmission {
        self.settle(now);
        self.distrust_future(now);
        match self.pauses.paused(token, revision, now) {
            Some(Paused::Rejected(error)) => return RequestAdmission::No(NoSlot::Rejected(error)),
            Some(Paused::Unavailable { until }) => return limited(until, Reason::ProviderUnavailable),
            None => {}
        }
        if ahead == 0 && self.take_for_request(now) {
            self.in_flight += 1;
            self.for_requests += 1;
            self.gone_before_callers = 0;
            self.request_shares.count(token.namespace(), now);
            self.pauses.began(token, now);
            return RequestAdmission::Go;
        }
        if let Some(until) = self.limited_until(now) {
            let reason = match self.exhausted {
                true => Reason::QuotaExhausted,
                false => Reason::RateLimited,
            };
            return match until > deadline {
                true => limited(until, reason),
                false => RequestAdmission::Wait(Some(until)),
            };
        }
        let secrets = (ahead + 1).saturating_mul(SECRETS_BEFORE_CALLER);
        let ahead = ahead + secrets.min(self.queue.len());
        let by_rate = self.bucket.map(|bucket| bucket.next_for_request());
        let expected = |bucket: Bucket| bucket.expected(bucket.next_for_request(), ahead, now);
        let rate = self.bucket.map(expected);
        if let Some(until) = self.outage.slot(ahead, now).filter(|slot| *slot > deadline) {
            return limited(until, Reason::ProviderUnavailable);
        }
        if let Some(until) = rate.filter(|slot| *slot > deadline) {
            return limited(until, Reason::RateLimited);
        }
        let by_reservation = self.reserved.values().min().copied();
        let next = [by_rate, self.outage.next(now), by_reservation].into_iter().flatten();
        RequestAdmission::Wait(next.filter(|next| *next > now).min())
    }

    /// Returns how much longer the credential is limited than was known before.
    pub(in super::super) fn release_request(
        &mut self,
        token: &K,
        ending: Ending,
        concurrency: usize,
        now: Timestamp,
    ) -> SignedDuration {
        match ending {
            Ending::Unavailable { .. } => self.pauses.unavailable(token, now),
            Ending::NotAsked => {}
            Ending::Granted | Ending::Refused | Ending::Throttled(_) | Ending::Exhausted(_) => self.pauses.end(token),
        }
        self.for_requests = self.for_requests.saturating_sub(1);
        self.release(token, ending, Mint::ForRequest, concurrency, now)
    }

    /// The same of a request that has not asked.
    pub(in super::super) fn give_back(&mut self) {
        self.for_requests = self.for_requests.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(in super::super) fn credential_rejected(
        &mut self,
        token: &K,
        revision: &str,
        error: &MintError,
        now: Timestamp,
    ) {
        self.pauses.rejected(token, revision, error, now);
    }

    /// Whether the next slot is a caller's, but for Secrets in need of haste. Otherwise one namespace that changes its
    /// RealtimeTokens all the time would keep all callers from theirs.
    pub(super) fn yields_to_caller(&self) -> bool {
        self.gone_before_callers >= SECRETS_BEFORE_CALLER && self.waiting.has_callers() && self.has_room_for_request()
    }

    /// A Secret goes that needs no haste.
    pub(super) fn goes_before_callers(&mut self) {
        self.gone_before_callers = match self.waiting.has_callers() {
            true => self.gone_before_callers.saturating_add(1),
            false => 0,
        };
    }

    fn has_room_for_request(&self) -> bool {
        self.for_requests < share(self.window)
    }

    /// Whether no Secret goes before a request.
    fn is_requests_turn(&self, now: Timestamp) -> bool {
        let next = self.queue.next(&self.shares, self.near(now));
        next.is_none_or(|next| !next.is_urgent && self.yields_to_caller())
    }

    fn take_for_request(&mut self, now: Timestamp) -> bool {
        let may = self.is_requests_turn(now)
            && self.has_room_for_request()
            && !self.is_window_full()
            && self.limited_until(now).is_none()
            && self.outage.next(now).is_none();
        let taken = may && self.bucket.as_mut().is_none_or(|bucket| bucket.take_for_request(now));
        if taken {
            self.outage.begin(now);
        }
        taken
    }
}

const fn limited(until: Timestamp, reason: Reason) -> RequestAdmission {
    RequestAdmission::No(NoSlot::Limited { until, reason })
}

/// Three quarters, so that the rest is there for Secrets, and at least one.
pub(in super::super) fn share(all: usize) -> usize {
    (all - all.div_ceil(4)).max(1)
}
