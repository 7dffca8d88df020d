//! What the tests of failures and of ClusterRealtimeProviders expect of a RealtimeToken.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use realtime_token_operator::api::RealtimeTokenStatus;
use serde_json::{Value, json};
use testkit::standin::{Call, Scope};
use testkit::wait;

use crate::world::{Case, DEADLINE, holds};

pub const PATIENCE: Duration = DEADLINE;

/// What happens at once, several processes and a busy machine included: less than a hanging call takes to be given up
/// (20 s), and than the first pause after a refusal (29 s).
pub const AT_ONCE: SignedDuration = SignedDuration::from_secs(15);

/// Runs cases side by side and names those that failed.
pub async fn all(cases: Vec<(&str, LocalBoxFuture<'_, ()>)>) {
    let ended = cases.into_iter().map(|(name, case)| async move {
        let result = AssertUnwindSafe(case).catch_unwind().await;
        result.is_err().then_some(name)
    });
    let failed: Vec<_> = join_all(ended).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "failed, see the panics above: {failed:?}");
}

/// The message of a condition.
pub fn message<'a>(status: &'a RealtimeTokenStatus, type_: &str) -> &'a str {
    let condition = status.conditions.iter().find(|condition| condition.type_ == type_);
    &condition.unwrap_or_else(|| panic!("no {type_} in {status:?}")).message
}

/// The status tells of no failure, as if there had never been one.
pub fn assert_recovered(status: &RealtimeTokenStatus) {
    assert!(holds(status, "Renewing", "False", "AwaitingRenewal"), "{status:?}");
    assert_eq!(status.failed_mint_attempts, None, "{status:?}");
    assert_eq!(status.last_failure_time, None, "{status:?}");
    assert_eq!(status.next_attempt_time, None, "{status:?}");
}

/// The next attempt that a status announces, which it must with every failure.
pub fn next_attempt(status: &RealtimeTokenStatus) -> Timestamp {
    status
        .next_attempt_time
        .as_ref()
        .unwrap_or_else(|| panic!("no nextAttemptTime in {status:?}"))
        .0
}

pub fn last_failure(status: &RealtimeTokenStatus) -> Timestamp {
    status
        .last_failure_time
        .as_ref()
        .unwrap_or_else(|| panic!("no lastFailureTime in {status:?}"))
        .0
}

pub fn seconds(seconds: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(seconds).unwrap()
}

impl Case<'_> {
    /// By this name the stand-in knows a RealtimeToken's calls, whatever key they come with.
    pub fn identity(&self, name: &str) -> String {
        format!("{}.{name}", self.namespace.name())
    }

    /// The spec of an OpenAI token whose calls [`Case::calls_of`] finds.
    pub fn spec(&self, name: &str) -> Value {
        let mut spec = self.openai();
        spec["openai"]["safetyIdentifier"] = json!(self.identity(name));
        spec
    }

    /// The calls for one RealtimeToken of [`Case::spec`], with whatever key.
    pub fn calls_of(&self, name: &str) -> Vec<Call> {
        let identity = self.identity(name);
        let mut calls = self.world.standin.calls();
        calls.retain(|call| call.identity.as_ref() == Some(&identity));
        calls
    }

    /// Waits for so many calls for one RealtimeToken.
    pub async fn calls_of_reach(&self, name: &str, count: usize) -> Vec<Call> {
        wait::until(&format!("{count} calls for {name}"), DEADLINE, async || {
            let calls = self.calls_of(name);
            Ok((calls.len() >= count).then_some(calls))
        })
        .await
        .unwrap()
    }

    /// Ends the faults given by [`Case::fail`] and the like.
    pub fn heal(&self) {
        self.world.standin.heal_for(Scope::Key(self.key.clone()));
    }

    /// Asks for a new token by annotation.
    pub async fn force(&self, name: &str, value: &str) {
        let annotations = json!({"realtime-token.dev/renew-requested-at": value});
        self.patch(name, json!({"metadata": {"annotations": annotations}}))
            .await;
    }

    /// Waits for a status that fits.
    pub async fn patiently(&self, name: &str, fits: impl Fn(&RealtimeTokenStatus) -> bool) -> RealtimeTokenStatus {
        self.status_when(name, fits).await
    }

    /// Waits for a warning.
    async fn warned(&self, name: &str, reason: &str) {
        let event = self.event(name, reason).await;
        assert_eq!(event.type_.as_deref(), Some("Warning"), "{event:?}");
        assert!(event.note.as_ref().is_some_and(|note| !note.is_empty()), "{event:?}");
    }

    /// Waits until the next token is held up for this reason, and for the Event that says so.
    pub async fn held_up(&self, name: &str, reason: &str) -> RealtimeTokenStatus {
        let status = self
            .patiently(name, |status| holds(status, "Renewing", "True", reason))
            .await;
        self.warned(name, reason).await;
        status
    }

    /// Waits until a RealtimeToken without a token can't get one for this reason.
    pub async fn not_issued(&self, name: &str, reason: &str) -> RealtimeTokenStatus {
        let status = self.held_up(name, reason).await;
        assert!(holds(&status, "Ready", "False", reason), "{status:?}");
        assert_eq!(status.secret_ref, None);
        assert_eq!(message(&status, "Ready"), message(&status, "Renewing"));
        status
    }

    /// Waits until a RealtimeToken with a token can't get the next one for this reason; the old one is still good.
    pub async fn not_renewed(&self, name: &str, reason: &str, old: &Secret) -> RealtimeTokenStatus {
        let status = self
            .patiently(name, |status| holds(status, "Renewing", "True", reason))
            .await;
        // At once: some causes of this go away by themselves.
        self.assert_untouched(old).await;
        assert!(holds(&status, "Ready", "True", "Issued"), "{status:?}");
        self.warned(name, reason).await;
        status
    }

    /// This Secret was not written since it was read: not its data, not its metadata.
    pub async fn assert_untouched(&self, old: &Secret) {
        let now = self.secrets().get(old.metadata.name.as_ref().unwrap()).await.unwrap();
        assert!(
            now == *old,
            "the Secret changed: {:?} is now {:?}",
            old.metadata,
            now.metadata
        );
    }

    /// Waits for a revision and for a status that has forgotten
    /// all failures. The Secret holds the last token that was minted.
    pub async fn recovered(&self, name: &str, revision: i64) -> Secret {
        let status = self
            .patiently(name, |s| {
                s.revision == Some(revision) && holds(s, "Renewing", "False", "AwaitingRenewal")
            })
            .await;
        assert_recovered(&status);
        let secret = self.revision(name, revision).await;
        let minted = self.calls_of(name).into_iter().rev().find_map(|call| call.token);
        assert_eq!(
            Some(crate::world::data(&secret, "token")),
            minted,
            "the last token minted is the one stored"
        );
        secret
    }

    /// The provider had nothing to complain about, except for keys that are wrong on purpose.
    pub fn assert_strict(&self) {
        for call in self.calls() {
            assert_eq!(call.complaint, None, "{} {}", call.method, call.path);
        }
    }
}

/// Objects of a kind without a namespace.
pub fn cluster_wide<K>(case: &Case<'_>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::ClusterResourceScope>,
    K::DynamicType: Default,
{
    Api::all(case.namespace.client())
}
