//! Tokens for requests, against stand-ins for the Kubernetes API and the provider, under paused time.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::api::{ClusterRealtimeProvider, Reason};
use crate::clock::now;
use crate::mint::EndpointPolicy;
use crate::resolve::{MetadataPolicy, ResolveContext, Resolved, resolve};
use crate::testing::{FakeApi, FakeProvider, Fault, MintFault};
use crate::token::{MintError, Minted};

const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster with the key Secret shop/openai, a provider, and an issuer with four mints in flight at most.
struct Fixture {
    api: FakeApi,
    provider: FakeProvider,
    issuer: Arc<Issuer>,
}

impl Fixture {
    fn new() -> Self {
        let (api, provider) = (FakeApi::new(), FakeProvider::new(SignedDuration::from_mins(10)));
        api.create(json!({
            "kind": "Secret", "metadata": {"name": "openai", "namespace": "shop"}, "data": {"api-key": "c2stMQ=="},
        }));
        let issuer = Issuer::with_fakes(&api, &provider);
        Self { api, provider, issuer }
    }

    async fn issue(&self, resolved: &Resolved) -> Result<Minted, NotIssued> {
        self.issue_within(resolved, PATIENCE).await
    }

    async fn issue_within(&self, resolved: &Resolved, patience: Duration) -> Result<Minted, NotIssued> {
        let (name, deadline) = (name(resolved), Instant::now() + patience);
        let issue = self.issuer.issue(&name, resolved, Claim::Caller, deadline);
        issue.await
    }

    /// The token's text.
    async fn token(&self, resolved: &Resolved) -> String {
        let minted = self.issue(resolved).await.unwrap();
        minted.value.expose_secret().to_owned()
    }

    fn render(&self) -> String {
        self.issuer.metrics.render()
    }

    /// Three requests mint at once, as many as may.
    async fn assert_all_slots_are_back(&self) {
        sleep(Duration::from_secs(3600)).await;
        let all: Vec<_> = (0..3).map(|n| spec(&n.to_string())).collect();
        let issues = all.iter().map(|resolved| self.issue_within(resolved, FIRST));
        for result in futures::future::join_all(issues).await {
            result.unwrap();
        }
    }
}

/// Enough for a mint that needn't wait for another.
const FIRST: Duration = Duration::from_millis(15);

fn name(resolved: &Resolved) -> Name {
    Name::new("shop", resolved.ask.block.provider().bound_model().unwrap_or_default())
}

fn spec(model: &str) -> Resolved {
    resolved(model, json!({"secretRef": {"name": "openai"}}), None)
}

fn resolved(model: &str, credentials: Value, provider: Option<&ClusterRealtimeProvider>) -> Resolved {
    let token = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": model, "namespace": "shop"},
        "spec": {"openai": {"model": model}, "credentials": credentials},
    });
    let context = ResolveContext {
        provider,
        namespace_labels: &BTreeMap::new(),
        operator_namespace: "operator",
        endpoints: &EndpointPolicy::default(),
        metadata: &MetadataPolicy::default(),
    };
    resolve(&serde_json::from_value(token).unwrap(), &context).unwrap()
}

fn lent(provider: &Value) -> Resolved {
    let provider = serde_json::from_value(provider.clone()).unwrap();
    resolved("voice", json!({"providerRef": {"name": "platform"}}), Some(&provider))
}

fn platform(credentials: Value) -> Value {
    json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "platform"},
        "spec": {"openai": {}, "credentials": credentials, "namespaceSelector": {}},
    })
}

#[tokio::test(start_paused = true)]
async fn each_request_gets_a_token_of_its_own_and_at_most_three_mint_at_once() {
    let fixture = Fixture::new();
    let voice = spec("voice");
    let began = Instant::now();
    let tokens = futures::future::join_all((0..7).map(|_| fixture.token(&voice))).await;
    let mut distinct = tokens.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 7, "{tokens:?}");
    // Each mint takes 10 ms.
    assert_eq!(began.elapsed().as_millis() / 10, 3);
    let minted = "realtime_token_mints_total{provider=\"openai\",outcome=\"success\"} 7\n";
    assert!(fixture.render().contains(minted), "{}", fixture.render());
}

#[tokio::test(start_paused = true)]
async fn a_mint_whose_caller_goes_away_comes_to_its_end() {
    let fixture = Fixture::new();
    let voice = spec("voice");
    {
        let mut issue = Box::pin(fixture.issue(&voice));
        while fixture.provider.count() == 0 {
            assert!((&mut issue).now_or_never().is_none());
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(fixture.provider.tokens(), 0);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(fixture.provider.tokens(), 1);
    assert_eq!(fixture.token(&voice).await, "token-2", "the first is thrown away");
    fixture.assert_all_slots_are_back().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_too_slow_for_the_caller_and_out_of_order_for_the_budget() {
    let fixture = Fixture::new();
    let voice = spec("voice");
    fixture.provider.fail(MintFault::Hang);
    let began = Instant::now();
    let results = futures::future::join_all((0..4).map(|_| fixture.issue(&voice))).await;
    // The fourth had no slot, and asked for none when it was too late for an answer.
    assert_eq!(began.elapsed(), PATIENCE);
    let results: Vec<_> = results.into_iter().map(Result::unwrap_err).collect();
    let slow = NotIssued::TooSlow;
    assert_eq!(results, [slow.clone(), slow.clone(), slow, NotIssued::Busy]);
    sleep(Duration::from_secs(26)).await;
    let unavailable = "realtime_token_mints_total{provider=\"openai\",outcome=\"ProviderUnavailable\"} 3\n";
    assert!(fixture.render().contains(unavailable), "{}", fixture.render());
    fixture.provider.recover();
    fixture.assert_all_slots_are_back().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_of_its_own_request() {
    let fixture = Fixture::new();
    fixture.provider.fail_nth(1, MintFault::Panic);
    let failed = fixture.issue(&spec("voice")).await.unwrap_err();
    assert!(
        matches!(failed, NotIssued::Failed(MintError::Internal { .. })),
        "{failed:?}"
    );
    fixture.assert_all_slots_are_back().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_key_nobody_is_asked() {
    let fixture = Fixture::new();
    fixture.api.delete("secrets", "shop", "openai");
    let gone = fixture.issue(&spec("voice")).await.unwrap_err();
    let NotIssued::CredentialGone(blocked) = gone else {
        panic!("{gone:?}");
    };
    assert_eq!(blocked.reason, Reason::CredentialNotFound);
    assert!(
        blocked.message.contains("Secret shop/openai does not exist"),
        "{blocked}"
    );
    // Where the platform team keeps its key is not the tenant's to see.
    let lent = lent(&platform(json!({"secretRef": {"name": "hidden", "key": "k"}})));
    let NotIssued::CredentialGone(blocked) = fixture.issue(&lent).await.unwrap_err() else {
        panic!("another error");
    };
    assert!(
        blocked.message.contains("ClusterRealtimeProvider platform"),
        "{blocked}"
    );
    assert!(!blocked.message.contains("hidden"), "{blocked}");
    assert_eq!(fixture.provider.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_not_waited_for_beyond_the_deadline() {
    let fixture = Fixture::new();
    let began = Instant::now();
    fixture.api.fail_nth_of(|request| request.verb == "get", 1, Fault::Hang);
    let patience = Duration::from_secs(5);
    let failed = fixture.issue_within(&spec("voice"), patience).await.unwrap_err();
    assert_eq!((failed, began.elapsed()), (NotIssued::CredentialUnreadable, patience));
    fixture
        .api
        .fail_nth_of(|request| request.verb == "get", 1, Fault::Status(500));
    let failed = fixture.issue(&spec("voice")).await.unwrap_err();
    assert_eq!(failed, NotIssued::CredentialUnreadable);
    assert_eq!(fixture.token(&spec("voice")).await, "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_is_asked_with_once_until_it_changes() {
    let fixture = Fixture::new();
    let voice = spec("voice");
    fixture.provider.fail(MintFault::KeyRejected);
    let first = fixture.issue(&voice).await.unwrap_err();
    let NotIssued::Failed(error) = &first else {
        panic!("{first:?}");
    };
    assert_eq!(error.reason(), Reason::CredentialRejected);
    for _ in 0..20 {
        assert_eq!(fixture.issue(&voice).await.unwrap_err(), first);
    }
    assert_eq!(fixture.provider.count(), 1);
    fixture.provider.recover();
    let patch = json!({"data": {"api-key": "c2stMg=="}});
    fixture.api.edit("secrets", "shop", "openai", &patch);
    sleep(Duration::from_millis(10)).await; // the watch
    assert_eq!(fixture.token(&voice).await, "token-1");
    assert_eq!(fixture.provider.calls()[1].key, "sk-2");
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_told_at_once_and_waited_for_where_it_ends_in_time() {
    let fixture = Fixture::new();
    let voice = spec("voice");
    let wait = SignedDuration::from_secs(30);
    fixture.provider.fail_nth(1, MintFault::Throttled(Some(wait)));
    let until = now() + SignedDuration::from_millis(10) + wait;
    let failed = fixture.issue(&voice).await.unwrap_err();
    assert!(
        matches!(failed, NotIssued::Failed(MintError::Throttled { .. })),
        "{failed:?}"
    );
    let limited = fixture.issue(&spec("another")).await.unwrap_err();
    let NotIssued::Limited { until: told, reason } = limited else {
        panic!("{limited:?}");
    };
    assert_eq!(reason, Reason::RateLimited);
    assert!(
        told.duration_since(until).abs() < SignedDuration::from_millis(5),
        "{told} and not {until}"
    );
    assert_eq!(fixture.provider.count(), 1);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(fixture.token(&voice).await, "token-1");
    let counted = "realtime_token_provider_limited_seconds_total{provider=\"openai\"} 3";
    assert!(fixture.render().contains(counted), "{}", fixture.render());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_this_requests_alone() {
    let fixture = Fixture::new();
    let voice = spec("voice");
    fixture.provider.fail_nth(1, MintFault::Rejected);
    let failed = fixture.issue(&voice).await.unwrap_err();
    assert!(matches!(
        failed,
        NotIssued::Failed(MintError::Rejected { credential: false, .. })
    ));
    assert_eq!(fixture.token(&voice).await, "token-1");
}

fn identity() -> Value {
    json!({"workloadIdentity": {
        "serviceAccountName": "caller", "openai": {"identityProviderId": "idp_1", "serviceAccountId": "sa_1"},
    }})
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_was_revoked_is_exchanged_anew_within_the_request() {
    let fixture = Fixture::new();
    fixture.api.create(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "caller", "namespace": "shop"},
    }));
    let keyless = resolved("voice", identity(), None);
    assert_eq!(fixture.token(&keyless).await, "token-1");
    fixture.provider.fail_nth(1, MintFault::KeyRejected);
    assert_eq!(fixture.token(&keyless).await, "token-2");
    assert_eq!(fixture.provider.exchanges().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_does_not_exist_is_not_asked_for_by_every_request() {
    let fixture = Fixture::new();
    let keyless = resolved("voice", identity(), None);
    for _ in 0..5 {
        let failed = fixture.issue(&keyless).await.unwrap_err();
        assert!(
            matches!(failed, NotIssued::Failed(MintError::NoCredential { .. })),
            "{failed:?}"
        );
    }
    assert_eq!(fixture.api.count("create", "serviceaccounts"), 1);
}

#[test]
fn a_mistake_in_what_callers_may_override_stops_requests_only() {
    let scope = crate::cluster::Scope {
        namespaces: Vec::new(),
        cluster_providers: true,
    };
    let (resolver, _writers) = Resolver::new(
        scope,
        "operator".to_owned(),
        EndpointPolicy::default(),
        MetadataPolicy::default(),
    );
    let token = |field: &str| {
        serde_json::from_value(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": "voice", "namespace": "shop"},
            "spec": {
                "openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}},
                "requests": {"overridable": [field]},
            },
        }))
        .unwrap()
    };
    let (right, wrong) = (token("openai.session.audio"), token("openai.sesion"));
    assert!(resolver.resolve_for(&right, None, now()).is_ok());
    assert!(resolver.resolve(&wrong, now()).is_ok());
    let blocked = resolver.resolve_for(&wrong, None, now()).unwrap_err();
    assert_eq!(blocked.reason, Reason::InvalidSpec);
    assert!(
        blocked.message.contains("openai.sesion: spec has no such field"),
        "{blocked}"
    );
}
