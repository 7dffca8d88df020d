//! The step, a model of all that two replicas can do with it (`model`), and the loop against a fake API server.

mod election;
mod fake;
mod model;

use super::*;

const TERMS: Terms = Terms::new(15);

fn seen(holder: Option<&str>, unchanged_for: u64) -> Option<View<'_>> {
    Some(View {
        holder,
        duration: TERMS.duration(),
        unchanged_for: Duration::from_secs(unchanged_for),
    })
}

#[test]
fn a_leader_has_stopped_two_seconds_before_another_may_start() {
    assert_eq!(TERMS.deadline(), Duration::from_secs(13));
    assert_eq!(TERMS.retry(), Duration::from_secs(2));
    assert!(TERMS.patience() * 2 <= TERMS.deadline(), "two attempts");
}

#[test]
fn a_lease_is_claimed_when_it_has_no_holder_or_has_expired() {
    let table = [
        (None, LeaseAction::Acquire),
        (seen(None, 0), LeaseAction::Acquire),
        (seen(Some("other"), 0), LeaseAction::StandBy),
        (seen(Some("other"), 14), LeaseAction::StandBy),
        (seen(Some("other"), 15), LeaseAction::Acquire),
        (seen(Some("me"), 0), LeaseAction::Renew),
        (seen(Some("me"), 15), LeaseAction::Renew),
    ];
    for (view, expected) in table {
        assert_eq!(step(view, "me"), expected, "{view:?}");
    }
}
