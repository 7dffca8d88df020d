//! What one test has of a [`World`]: a namespace and keys, and what it waits for there.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use realtime_token_operator::api::{RealtimeToken, RealtimeTokenStatus};
use serde_json::{Value, json};
use testkit::cluster::Namespace;
use testkit::standin::{Call, Fault, Scope};
use testkit::wait;

use crate::world::{DEADLINE, World, annotation, holds, put_secret, settle_key};

/// The namespace and the keys of one test.
pub struct Case<'a> {
    pub world: &'a World,
    pub namespace: Namespace,
    pub key: String,
    /// Another key that the provider accepts, for a rotation.
    pub spare_key: String,
    pub xi_key: String,
}

impl Case<'_> {
    pub fn tokens(&self) -> Api<RealtimeToken> {
        self.namespace.api()
    }

    pub fn secrets(&self) -> Api<Secret> {
        self.namespace.api()
    }

    /// Creates or replaces a key Secret.
    pub async fn put_key(&self, name: &str, key: &str) {
        put_secret(&self.secrets(), name, "api-key", key).await;
    }

    /// The spec of an OpenAI token at the stand-in.
    pub fn openai(&self) -> Value {
        json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": self.world.standin.url()},
            "credentials": {"secretRef": {"name": "openai"}},
            "expirationSeconds": 1800,
        })
    }

    /// The spec of an ElevenLabs token at the stand-in.
    pub fn elevenlabs(&self, kind: &str) -> Value {
        json!({
            "elevenlabs": {"kind": kind, "agentId": "agent_1", "endpoint": self.world.standin.url()},
            "credentials": {"secretRef": {"name": "elevenlabs"}},
        })
    }

    pub async fn create(&self, name: &str, spec: Value) -> RealtimeToken {
        self.try_create(name, spec).await.unwrap()
    }

    pub async fn try_create(&self, name: &str, spec: Value) -> kube::Result<RealtimeToken> {
        let token = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name}, "spec": spec,
        });
        // Untyped on the way in, so that the API server sees just what was written here.
        let api = Api::<kube::core::DynamicObject>::namespaced_with(
            self.namespace.client(),
            self.namespace.name(),
            &kube::core::ApiResource::erase::<RealtimeToken>(&()),
        );
        let created = api
            .create(&PostParams::default(), &serde_json::from_value(token).unwrap())
            .await?;
        Ok(created.try_parse().unwrap())
    }

    pub async fn patch(&self, name: &str, patch: Value) -> RealtimeToken {
        self.tokens()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    /// Waits for a RealtimeToken whose status fits.
    pub async fn status_when(&self, name: &str, fits: impl Fn(&RealtimeTokenStatus) -> bool) -> RealtimeTokenStatus {
        let fits = |token: &RealtimeToken| token.status.as_ref().is_some_and(&fits);
        wait::object_when(&self.tokens(), name, DEADLINE, fits)
            .await
            .unwrap()
            .status
            .unwrap()
    }

    /// Waits for a condition.
    pub async fn condition(&self, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let found = self.status_when(name, |s| holds(s, type_, status, reason)).await;
        found
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == type_)
            .unwrap()
            .message
    }

    /// Waits for a Secret of a revision.
    pub async fn revision(&self, secret: &str, revision: i64) -> Secret {
        let fits = |secret: &Secret| annotation(secret, "revision") == Some(&revision.to_string());
        wait::object_when(&self.secrets(), secret, DEADLINE, fits)
            .await
            .unwrap()
    }

    /// Waits for a Secret that fits.
    pub async fn secret_when(&self, name: &str, fits: impl Fn(&Secret) -> bool) -> Secret {
        wait::object_when(&self.secrets(), name, DEADLINE, |secret: &Secret| fits(secret))
            .await
            .unwrap()
    }

    /// The calls that the provider got with this test's keys.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = self.world.standin.calls_with_key(&self.key);
        calls.extend(self.world.standin.calls_with_key(&self.spare_key));
        calls.extend(self.world.standin.calls_with_key(&self.xi_key));
        calls
    }

    /// Waits for so many calls with this test's keys.
    pub async fn calls_reach(&self, count: usize) -> Vec<Call> {
        wait::until("calls to the provider", DEADLINE, async || {
            let calls = self.calls();
            Ok((calls.len() >= count).then_some(calls))
        })
        .await
        .unwrap()
    }

    /// Has the provider fail for this test alone.
    pub fn fail(&self, fault: Fault) {
        self.world.standin.fail_always_for(Scope::Key(self.key.clone()), fault);
    }

    /// Waits for an Event about a RealtimeToken.
    pub async fn event(&self, name: &str, reason: &str) -> Event {
        let api: Api<Event> = self.namespace.api();
        wait::until(&format!("event {reason} of {name}"), DEADLINE, async || {
            let events = api.list(&ListParams::default()).await?;
            Ok(events.into_iter().find(|event| {
                event.reason.as_deref() == Some(reason)
                    && event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name)
            }))
        })
        .await
        .unwrap()
    }

    /// Gives the operator time to do what it must not: everything up to now went through its queue, as a later
    /// RealtimeToken's first token proves.
    pub async fn settle(&self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("settle-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut spec = self.openai();
        spec["credentials"]["secretRef"]["name"] = json!("settle");
        self.put_key("settle", &settle_key()).await;
        self.create(&name, spec).await;
        self.revision(&name, 1).await;
    }
}
