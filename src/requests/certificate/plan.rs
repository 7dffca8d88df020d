//! When the operator's own CA and serving certificate are replaced, and in which order. Values only: no keys, no clock.
//!
//! A CA is replaced in three changes, so that at every moment all clients trust what is served, also those whose mounted
//! bundle is older by the distribution time. [`Change::NextAuthority`]: the new CA is published beside the old one, which
//! still signs. [`Change::Promote`], a distribution time later: the new CA signs, and the old one's key is dropped.
//! [`Change::DropFormer`], another distribution time later, when every replica serves the new certificate: the old CA
//! leaves the bundle.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long a serving certificate is valid, unless its CA ends before.
pub(super) const SERVING_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Certificates are valid from this long before they are made: the clocks of clients may be behind.
pub(super) const BACKDATED: SignedDuration = SignedDuration::from_mins(5);
/// Until a changed bundle has reached the pods: the controller writes it into Secrets within seconds, kubelets into pods
/// within two minutes, and clients may keep what they have read for a while.
const DISTRIBUTION: SignedDuration = SignedDuration::from_hours(1);

/// From when to when a certificate is valid; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Validity {
    fn life(self) -> SignedDuration {
        self.not_after.duration_since(self.not_before)
    }

    fn contains(self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    pub(super) fn has_ended(self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// At two thirds of its life. One that isn't valid yet was made by a clock that was wrong, or ours is.
    fn is_due(self, now: Timestamp) -> bool {
        now < self.not_before || now >= later(self.not_before, self.life() * 2 / 3)
    }

    /// How long a bundle with another CA may take to reach all clients.
    fn distribution(self) -> SignedDuration {
        DISTRIBUTION.min(self.life() / 12)
    }
}

/// What is known of the stored certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Of the CA that signs.
    pub(super) authority: Validity,
    /// Of the CA that will sign once its certificate has reached the clients.
    pub(super) next: Option<Validity>,
    /// Of the CAs in the bundle that no longer sign.
    pub(super) former: Vec<Validity>,
    /// `None` if what is stored can't be served: damaged, or not signed by the CA.
    pub(super) serving: Option<Serving>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    pub(super) validity: Validity,
    pub(super) names: BTreeSet<String>,
}

/// One change of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A new CA and a certificate signed by it. Clients that hold another bundle can't connect until theirs has changed.
    Begin,
    NextAuthority,
    DropNext,
    /// The next CA becomes the one that signs, with a new serving certificate.
    Promote,
    DropFormer,
    Serving,
}

/// The change that is due, or `None`. To be asked again after each change. `published_for` is how long this process has
/// published what is stored, by its monotonic clock: while no leader ran, the bundle was not written into the Secrets.
pub(super) fn step(
    stored: Option<&Stored>,
    names: &BTreeSet<String>,
    now: Timestamp,
    published_for: Duration,
) -> Option<Change> {
    let Some(stored) = stored else {
        return Some(Change::Begin);
    };
    let authority = stored.authority;
    let next = stored.next.filter(|next| next.contains(now));
    if authority.has_ended(now) {
        return Some(next.map_or(Change::Begin, |_| Change::Promote));
    }
    let distributed = published_for >= authority.distribution().unsigned_abs();
    if stored.next.is_some_and(|next| next.has_ended(now)) {
        return Some(Change::DropNext);
    }
    let ends_soon = now >= later(authority.not_after, -authority.distribution());
    if next.is_some() && (distributed || ends_soon) {
        return Some(Change::Promote);
    }
    if stored.next.is_none() && authority.is_due(now) {
        return Some(Change::NextAuthority);
    }
    let Some(serving) = &stored.serving else {
        return Some(Change::Serving);
    };
    // While the CA isn't valid yet, no other certificate of it would help.
    let replace = serving.validity.is_due(now) && now >= authority.not_before;
    if &serving.names != names || replace && gains(serving.validity, authority, now) {
        return Some(Change::Serving);
    }
    let needless = distributed || stored.former.iter().all(|former| former.has_ended(now));
    (needless && !stored.former.is_empty()).then_some(Change::DropFormer)
}

/// Whether a serving certificate that is made now ends later than this one. One that ends with its CA can't be prolonged.
fn gains(serving: Validity, authority: Validity, now: Timestamp) -> bool {
    !serving.contains(now) || serving_validity(authority, now).not_after > serving.not_after
}

/// Of a serving certificate made now.
pub(super) fn serving_validity(authority: Validity, now: Timestamp) -> Validity {
    Validity {
        not_before: later(now, -BACKDATED),
        not_after: later(now, SERVING_LIFE).min(authority.not_after),
    }
}

/// Of a CA made now.
pub(super) fn authority_validity(life: SignedDuration, now: Timestamp) -> Validity {
    Validity {
        not_before: later(now, -BACKDATED),
        not_after: later(now, life),
    }
}

/// `time` plus `by`; at the ends of what a timestamp can hold, `time`.
fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(time)
}

#[cfg(test)]
mod tests;
