//! Writes of the Secret that the API server refuses for a reason of its own: what is said, how often it is tried, and that
//! no token is minted which can't be stored.

use super::*;
use crate::testing::Request;

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "finalizers": ["kubernetes"]}})
}

fn writes_secrets(request: &Request) -> bool {
    request.resource == "secrets" && matches!(request.verb, "create" | "patch")
}

impl Fleet {
    #[track_caller]
    fn assert_refused(&self, reason: &str, words: &[&str]) {
        let status = self.status("voice");
        let renewing = self.condition("voice", ConditionType::Renewing);
        assert_eq!(renewing, ("True".into(), reason.into()), "{status:?}");
        let message = &status.conditions[1].message;
        for word in words {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
        let events = self.events("voice");
        assert_eq!(events.iter().filter(|event| *event == reason).count(), 1, "{events:?}");
    }

    fn tries(&self) -> usize {
        self.api
            .requests()
            .iter()
            .filter(|request| writes_secrets(request))
            .count()
    }

    fn refuse_as_immutable(&self) {
        let message = "Secret \"voice\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
        let patches = |request: &Request| request.verb == "patch" && writes_secrets(request);
        self.api.refuse_as(422, patches, message);
    }
}

/// Only a deletion helps, and it is noticed at once.
#[tokio::test(start_paused = true)]
async fn an_immutable_secret_costs_one_token_until_it_is_deleted() {
    let fleet = Fleet::new(600);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.refuse_as_immutable();
    fleet.api.forget_requests();
    fleet.pass(3600).await;
    fleet.assert_refused(
        "SecretImmutable",
        &["immutable: true", "kubectl delete secret voice -n shop"],
    );
    assert_eq!(fleet.condition("voice", ConditionType::Ready).1, "SecretImmutable");
    assert_eq!(fleet.provider.count(), 2, "none is minted that can't be stored");
    assert!(fleet.tries() <= 13, "{} tries in an hour", fleet.tries());
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.pass(15).await;
    fleet.assert_settled("voice", "deleted");
}

/// While the token is kept it is written as soon as the immutable Secret is gone.
#[tokio::test(start_paused = true)]
async fn the_token_that_met_an_immutable_secret_is_stored_in_its_successor() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.refuse_as_immutable();
    fleet.edit("voice", json!({"spec": {"openai": {"model": "other"}}}));
    fleet.pass(30).await;
    fleet.assert_refused("SecretImmutable", &[]);
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.pass(3).await;
    fleet.assert_settled("voice", "deleted");
    assert_eq!(fleet.provider.count(), 2, "the token was kept");
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_is_named_and_stored_once_there_is_room() {
    let fleet = Fleet::new(1800);
    let message = "secrets \"voice\" is forbidden: exceeded quota: few, requested: secrets=1, used: secrets=2";
    fleet.api.refuse(writes_secrets, message);
    fleet.create("voice");
    fleet.pass(600).await;
    fleet.assert_refused(
        "QuotaExceeded",
        &["exceeded quota: few", "kubectl describe resourcequota -n shop"],
    );
    fleet.api.recover();
    fleet.pass(61).await;
    fleet.assert_settled("voice", "room");
    assert_eq!(fleet.provider.count(), 1);
}

/// The watch on namespaces shows it before a token is minted.
#[tokio::test(start_paused = true)]
async fn nothing_is_minted_for_a_namespace_that_is_being_deleted() {
    let fleet = Fleet::new(1800);
    fleet.api.create(namespace());
    for name in ["voice", "agent"] {
        fleet.create(name);
    }
    fleet.pass(30).await;
    fleet.api.delete("namespaces", "", NAMESPACE);
    fleet.pass(1).await;
    for name in ["voice", "agent"] {
        fleet.api.delete("secrets", NAMESPACE, name); // the namespace's content goes in any order
    }
    fleet.create("late");
    fleet.pass(3600).await;
    assert_eq!(fleet.provider.count(), 2);
    fleet.assert_refused("NamespaceTerminating", &["the namespace is being deleted"]);
}

/// Without the right to watch namespaces the first refused write says it.
#[tokio::test(start_paused = true)]
async fn a_refusal_says_that_the_namespace_is_being_deleted() {
    let fleet = Fleet::new(600);
    let message = "secrets \"voice\" is forbidden: unable to create new content in namespace shop because it is being \
                   terminated";
    fleet.api.refuse(writes_secrets, message);
    fleet.create("voice");
    fleet.pass(3600).await;
    fleet.assert_refused("NamespaceTerminating", &["nothing can be created in it any more"]);
    assert_eq!(fleet.provider.count(), 1);
    assert!(fleet.tries() <= 13, "{} tries in an hour", fleet.tries());
}

/// What one of them was told holds for all.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_being_deleted_unseen_costs_the_mints_under_way() {
    let fleet = Fleet::new(1800);
    let names: Vec<String> = (0..30).map(|number| format!("voice-{number}")).collect();
    names.iter().for_each(|name| fleet.create(name));
    fleet.pass(60).await;
    assert_eq!(fleet.provider.count(), 30);
    let message = "secrets \"voice\" is forbidden: unable to create new content in namespace shop because it is being \
                   terminated";
    fleet.api.refuse(writes_secrets, message);
    for name in &names {
        fleet.api.delete("secrets", NAMESPACE, name);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fleet.pass(60).await;
    names
        .iter()
        .for_each(|name| fleet.api.delete("realtimetokens", NAMESPACE, name));
    fleet.pass(60).await;
    let lost = fleet.provider.count() - 30;
    assert!(lost <= 8, "{lost} tokens for 30 RealtimeTokens");
}

#[tokio::test(start_paused = true)]
async fn who_refuses_is_named_with_what_to_do() {
    let cases = [
        (
            400,
            "admission webhook \"validate.kyverno.svc-fail\" denied the request: no",
            "validate.kyverno.svc-fail",
            "exclude the operator's Secrets from it",
        ),
        (
            500,
            "Internal error occurred: failed calling webhook \"validate.kyverno.svc-fail\": no endpoints available",
            "validate.kyverno.svc-fail",
            "is down: restore it",
        ),
        (
            403,
            "secrets is forbidden: User \"system:serviceaccount:rto:rto\" cannot create resource \"secrets\" in API group \
             \"\" in the namespace \"shop\"",
            "system:serviceaccount:rto:rto",
            "install the chart's RBAC",
        ),
    ];
    for (code, message, who, cure) in cases {
        let fleet = Fleet::new(1800);
        fleet.api.refuse_as(code, writes_secrets, message);
        fleet.create("voice");
        fleet.pass(120).await;
        fleet.assert_refused("SecretWriteFailed", &[who, cure, "The token is kept"]);
        assert_eq!(fleet.provider.count(), 1);
    }
}
