//! Requests beside the Secrets of the same credential: no Secret is late for them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::cluster::Name;
use crate::issuer::{Claim, NotIssued};
use crate::resolve::{ResolveContext, Resolved, resolve};
use crate::testing::{Fault, MintFault};
use crate::token::MintError;

/// What requests of a RealtimeToken ask for, with the key Secret shop/openai.
fn resolved(name: &str) -> Resolved {
    let token = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"openai": {"model": name}, "credentials": {"secretRef": {"name": "openai", "key": "api-key"}}},
    });
    let context = ResolveContext {
        provider: None,
        namespace_labels: &std::collections::BTreeMap::new(),
        operator_namespace: OPERATOR,
        endpoints: &EndpointPolicy::default(),
        metadata: &crate::resolve::MetadataPolicy::default(),
    };
    resolve(&serde_json::from_value(token).unwrap(), &context).unwrap()
}

/// So many callers that ask again as soon as they have an answer, until this is dropped. Counts the tokens.
fn flood(fleet: &Fleet, callers: usize, claim: Claim, tokens: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let (issuer, tokens) = (Arc::clone(&fleet.issuer), Arc::clone(tokens));
        all.spawn(async move {
            let (name, resolved) = (Name::new(NAMESPACE, "requested"), resolved("requested"));
            loop {
                let deadline = Instant::now() + Duration::from_secs(20);
                match issuer.issue(&name, &resolved, claim, deadline).await {
                    Ok(_) => tokens.fetch_add(1, Ordering::Relaxed),
                    Err(NotIssued::Busy | NotIssued::Limited { .. }) => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        0
                    }
                    Err(NotIssued::Failed(MintError::Throttled { .. } | MintError::Unavailable { .. })) => 0,
                    Err(other) => panic!("{other:?}"),
                };
            }
        });
    }
    all
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_late_while_requests_take_all_that_they_may() {
    let fleet = Fleet::new(600);
    let tokens = Arc::new(AtomicUsize::new(0));
    let flood_of_callers = flood(&fleet, 40, Claim::Caller, &tokens);
    let flood_of_refills = flood(&fleet, 10, Claim::Refill, &tokens);
    let names: Vec<_> = (0..40).map(|n| format!("voice-{n}")).collect();
    names.iter().for_each(|name| fleet.create(name));
    fleet.pass(5).await;
    let began = now();
    for minute in 0..11 {
        for name in &names {
            let left = usable_until(&fleet.secret(name).unwrap())
                .unwrap()
                .duration_since(now());
            assert!(left.as_secs() > 250, "{name} has {left} left in minute {minute}");
        }
        fleet.pass(50).await;
        // As they are to be renewed, after half of their life: a limit of the provider, and later an outage.
        match minute {
            4 => fleet
                .provider
                .fail_nth(3, MintFault::Throttled(Some(SignedDuration::from_secs(20)))),
            9 => fleet.provider.fail(MintFault::Unavailable),
            _ => {}
        }
        fleet.pass(10).await;
        fleet.provider.recover();
    }
    fleet.pass(30).await;
    for name in &names {
        fleet.assert_settled(name, "in the end");
    }
    let passed = now().duration_since(began).as_secs();
    let had = tokens.load(Ordering::Relaxed);
    assert!(
        had > 100 * usize::try_from(passed).unwrap(),
        "requests had {had} tokens in {passed} s"
    );
    drop((flood_of_callers, flood_of_refills));
    assert_eq!(fleet.status("voice-0").failed_mint_attempts, None);
}

#[tokio::test(start_paused = true)]
async fn requests_are_served_before_the_controller_runs_and_after() {
    let mut fleet = Fleet::new(600);
    fleet.kill();
    let (name, resolved) = (Name::new(NAMESPACE, "requested"), resolved("requested"));
    let issue = async |fleet: &Fleet| {
        let deadline = Instant::now() + Duration::from_secs(5);
        fleet.issuer.issue(&name, &resolved, Claim::Caller, deadline).await
    };
    issue(&fleet).await.unwrap();
    fleet.start();
    fleet.create("voice");
    fleet.pass(5).await;
    fleet.assert_settled("voice", "with the controller");
    issue(&fleet).await.unwrap();
    let issuer = Arc::clone(&fleet.issuer);
    fleet.stop().await;
    assert!(Arc::ptr_eq(&issuer, &fleet.issuer));
    issue(&fleet).await.unwrap();
}

/// Were each of 100,000 looked up twice a minute while they wait, there would be no time to mint.
#[tokio::test(start_paused = true)]
async fn tokens_that_wait_for_their_turn_cost_nothing_meanwhile() {
    let fleet = Fleet::new(7200);
    fleet.provider.slow(Duration::from_secs(20));
    let names: Vec<_> = (0..100).map(|n| format!("voice-{n}")).collect();
    names.iter().for_each(|name| fleet.create(name));
    fleet.pass(10).await;
    fleet.api.forget_requests();
    fleet.pass(120).await;
    let minted = fleet.provider.count();
    assert!(minted < 80, "{minted} minted: too many to say what the others cost");
    let looked_up = fleet.api.count("get", "secrets");
    // The key, and the target before a mint if it was looked up more than half a minute ago.
    assert!(looked_up <= 2 * minted, "{looked_up} lookups for {minted} mints");
    let written = fleet.api.count("patch", "realtimetokens");
    assert!(written <= minted, "{written} status writes for {minted} mints");
}

/// The slot stays reserved while the API server takes its time to answer.
#[tokio::test(start_paused = true)]
async fn slow_lookups_cost_no_turn() {
    let fleet = Fleet::new(7200);
    fleet.provider.slow(Duration::from_secs(20));
    fleet.api.break_down(
        |request| request.resource == "secrets" && request.verb == "get",
        Fault::Slow(Duration::from_secs(6)),
    );
    let names: Vec<_> = (0..100).map(|n| format!("voice-{n}")).collect();
    names.iter().for_each(|name| fleet.create(name));
    fleet.pass(900).await;
    assert_eq!(fleet.provider.count(), 100, "eight at a time, less than a minute each");
}

#[tokio::test(start_paused = true)]
async fn who_can_not_be_looked_at_when_its_slot_comes_holds_up_nobody() {
    let fleet = Fleet::new(7200);
    fleet.provider.slow(Duration::from_secs(20));
    let names: Vec<_> = (0..100).map(|n| format!("voice-{n}")).collect();
    names.iter().for_each(|name| fleet.create(name));
    fleet.pass(60).await;
    let before = fleet.provider.count();
    // Every second one can't be looked up from now on.
    let is_one_of_them = |name: &str| ["0", "2", "4", "6", "8"].iter().any(|digit| name.ends_with(digit));
    fleet.api.break_down(
        move |request| request.resource == "secrets" && request.verb == "get" && is_one_of_them(&request.name),
        Fault::Status(403),
    );
    fleet.pass(200).await;
    let minted = fleet.provider.count() - before;
    assert!(minted > 35, "{minted} minted beside {before}");
}

/// A namespace can make as many keys as it likes, and name an endpoint that never answers: neither other namespaces wait
/// for that, nor those that share a key with it.
#[tokio::test(start_paused = true)]
async fn mints_that_hang_with_many_keys_leave_room_for_all_others() {
    let fleet = Fleet::new(7200);
    fleet
        .provider
        .fail_where(MintFault::Hang, |call| call.subject.starts_with("hangs"));
    fleet.api.create(key_secret(OPERATOR, "platform"));
    for namespace in ["hostile", "shop"] {
        fleet
            .api
            .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
    }
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "lent"},
        "spec": {"openai": {}, "credentials": {"secretRef": {"name": "platform", "key": "api-key"}}, "namespaceSelector": {}},
    }));
    (0..300).for_each(|n| fleet.create_with_key("hostile", &format!("hangs-{n}")));
    fleet.pass(10).await;
    assert_eq!(fleet.provider.calls().len(), 64);
    let lent = json!({"providerRef": {"name": "lent"}});
    let create_lent = |namespace: &str, name: &str| {
        fleet.create_with(namespace, name, json!({"model": name}), lent.clone());
    };
    (0..20).for_each(|n| create_lent("hostile", &format!("lent-{n}")));
    fleet.create_with_key("shop", "own");
    create_lent("shop", "lent");
    fleet.pass(5).await;
    assert_eq!(fleet.provider.count_of("own") + fleet.provider.count_of("lent"), 2);
    assert_eq!(fleet.provider.calls().len(), 64 + 20 + 2);

    // Whoever is deleted or suspended meanwhile is not minted for when its turn comes.
    for n in 0..300 {
        let name = format!("hangs-{n}");
        if n % 2 == 0 {
            fleet.api.delete("realtimetokens", "hostile", &name);
        } else {
            fleet
                .api
                .edit("realtimetokens", "hostile", &name, &json!({"spec": {"suspend": true}}));
        }
    }
    fleet.pass(300).await;
    assert_eq!(fleet.provider.calls().len(), 64 + 20 + 2);
}

/// One process stops, and another must not find that it has minted.
#[tokio::test(start_paused = true)]
async fn a_mint_that_waits_for_others_does_not_begin_after_a_stop() {
    let mut fleet = Fleet::new(7200);
    fleet.provider.slow(Duration::from_secs(5));
    (0..100).for_each(|n| fleet.create_with_key(NAMESPACE, &format!("voice-{n}")));
    fleet.pass(3).await;
    assert_eq!(fleet.provider.calls().len(), 64);
    fleet.stop().await;
    assert_eq!(fleet.provider.calls().len(), 64);
    let stored = (0..100).filter(|n| fleet.secret(&format!("voice-{n}")).is_some());
    assert_eq!(stored.count(), 64);
}
