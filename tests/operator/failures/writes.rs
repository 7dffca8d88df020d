//! Secrets that can't be written as they should: somebody else writes too, or a policy forbids it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use realtime_token_operator::api::RealtimeTokenStatus;
use serde_json::json;
use testkit::wait;

use crate::expect::{PATIENCE, all, cluster_wide, message};
use crate::world::{Case, annotation, data, world};

/// A policy that refuses every write of Secrets with these names in the case's namespace.
struct Ban<'a> {
    case: &'a Case<'a>,
    name: String,
}

impl<'a> Ban<'a> {
    async fn begin(case: &'a Case<'a>, secrets: &[&str]) -> Self {
        let name = format!("ban-{}", case.namespace.name());
        let policy = json!({
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["CREATE", "UPDATE"],
                }]},
                "validations": [{
                    "expression": format!("!(object.metadata.name in {})", json!([secrets, &["probe"]].concat())),
                    // Careless policies quote what they refuse.
                    "messageExpression": "'no tokens today' + (object.metadata.name == 'quoted' ? ': ' + string(object.data.token) : '')",
                }],
            },
        });
        let binding = json!({
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {
                    "kubernetes.io/metadata.name": case.namespace.name(),
                }}},
            },
        });
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy).unwrap();
        cluster_wide(case)
            .create(&PostParams::default(), &policy)
            .await
            .unwrap();
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(binding).unwrap();
        cluster_wide(case)
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();
        let ban = Self { case, name };
        ban.in_force(true).await;
        ban
    }

    async fn end(self) -> Instant {
        let ended = Instant::now();
        let bindings = cluster_wide::<ValidatingAdmissionPolicyBinding>(self.case);
        bindings.delete(&self.name, &DeleteParams::default()).await.unwrap();
        self.in_force(false).await;
        ended
    }

    /// The API server takes a moment to notice policies.
    async fn in_force(&self, wanted: bool) {
        let probe: Secret = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        wait::until("the policy", PATIENCE, async || {
            let refused = self.case.secrets().create(&dry_run, &probe).await.is_err();
            Ok((refused == wanted).then_some(()))
        })
        .await
        .unwrap();
    }
}

/// No two tries were closer than a second.
fn assert_spaced(status: &RealtimeTokenStatus, begun: Instant) {
    let (tries, elapsed) = (status.failed_write_attempts.unwrap(), begun.elapsed());
    assert!(tries as u64 <= 1 + elapsed.as_secs(), "{tries} tries in {elapsed:?}");
}

async fn refused_for_a_first_token() {
    let case = world().await.case("refused").await;
    let ban = Ban::begin(&case, &["voice"]).await;
    let begun = Instant::now();
    case.create("voice", case.spec("voice")).await;
    let status = case.not_issued("voice", "SecretWriteFailed").await;
    let text = message(&status, "Ready");
    assert!(
        text.contains("can't be written (422)") && text.contains("no tokens today"),
        "{text}"
    );
    assert!(text.contains("The token is kept and will be written once"), "{text}");
    assert_eq!(status.failed_mint_attempts, None, "the provider did its part");
    let failed = status.failed_write_attempts.unwrap();
    let again = case
        .patiently("voice", |s| s.failed_write_attempts.is_some_and(|now| now > failed))
        .await;
    assert_spaced(&again, begun);
    let ended = ban.end().await;
    let secret = case.recovered("voice", 1).await;
    assert!(
        ended.elapsed() < Duration::from_secs(25),
        "stored {:?} after it was allowed",
        ended.elapsed()
    );
    let calls = case.calls_of("voice");
    assert_eq!(calls.len(), 1, "the token was kept");
    assert_eq!(Some(data(&secret, "token")), calls[0].token);
    case.assert_strict();
}

async fn refused_for_a_renewal() {
    let case = world().await.case("refused").await;
    case.create("voice", case.spec("voice")).await;
    case.recovered("voice", 1).await;
    let old = case.revision("voice", 1).await;
    let ban = Ban::begin(&case, &["voice"]).await;
    case.force("voice", "now").await;
    let status = case.not_renewed("voice", "SecretWriteFailed", &old).await;
    assert!(message(&status, "Renewing").contains("no tokens today"), "{status:?}");
    ban.end().await;
    case.recovered("voice", 2).await;
    assert_eq!(case.calls_of("voice").len(), 2, "the token was kept");
    case.assert_strict();
}

/// A policy that quotes the Secret must not put the token where everybody reads it.
async fn refused_with_a_quotation() {
    let case = world().await.case("quoted").await;
    let ban = Ban::begin(&case, &["quoted"]).await;
    case.create("quoted", case.spec("quoted")).await;
    let status = case.not_issued("quoted", "SecretWriteFailed").await;
    let text = message(&status, "Ready");
    assert!(text.contains("quotes the Secret's data and is withheld"), "{text}");
    ban.end().await;
    case.recovered("quoted", 1).await;
    case.assert_strict();
}

/// Labels that can't be written are no reason to mint, nor to try without a pause.
async fn refused_for_a_label() {
    let case = world().await.case("refused").await;
    case.create("voice", case.spec("voice")).await;
    case.recovered("voice", 1).await;
    let old = case.revision("voice", 1).await;
    let ban = Ban::begin(&case, &["voice"]).await;
    let labels = json!({"spec": {"target": {"template": {"metadata": {"labels": {"team": "voice"}}}}}});
    let begun = Instant::now();
    case.patch("voice", labels).await;
    let status = case.not_renewed("voice", "SecretWriteFailed", &old).await;
    let failed = status.failed_write_attempts.unwrap();
    let again = case
        .patiently("voice", |s| s.failed_write_attempts.is_some_and(|now| now > failed))
        .await;
    assert_spaced(&again, begun);
    ban.end().await;
    case.recovered("voice", 1).await;
    let labelled = case.secrets().get("voice").await.unwrap();
    assert_eq!(labelled.metadata.labels.unwrap()["team"], "voice");
    assert_eq!(case.calls_of("voice").len(), 1);
    case.assert_strict();
}

#[tokio::test]
async fn a_secret_that_may_not_be_written_is_written_once_it_may() {
    all(vec![
        ("first token", refused_for_a_first_token().boxed_local()),
        ("renewal", refused_for_a_renewal().boxed_local()),
        ("quotation", refused_with_a_quotation().boxed_local()),
        ("label", refused_for_a_label().boxed_local()),
    ])
    .await;
}

/// Somebody labels the Secret without a pause while renewals are due: each 409 is a write again, never a mint again.
#[tokio::test]
async fn somebody_who_writes_to_the_secret_all_the_time_costs_no_mint() {
    let case = world().await.case("conflicts").await;
    case.create("voice", case.spec("voice")).await;
    case.recovered("voice", 1).await;

    let done = AtomicBool::new(false);
    let busy = tokio::sync::Semaphore::new(0);
    let meddle = async |hand: &str| {
        let mut edits = 0;
        while !done.load(Ordering::Relaxed) {
            edits += 1;
            let labels = json!({"metadata": {"labels": {hand: edits.to_string()}}});
            case.secrets()
                .patch("voice", &PatchParams::default(), &Patch::Merge(labels))
                .await
                .unwrap();
            busy.add_permits(1);
        }
    };
    let renewed = async {
        busy.acquire_many(10).await.unwrap().forget();
        case.force("voice", "now").await;
        let secret = case.recovered("voice", 2).await;
        done.store(true, Ordering::Relaxed);
        secret
    };
    let ((), (), secret) = tokio::join!(meddle("left"), meddle("right"), renewed);
    assert_eq!(annotation(&secret, "revision").unwrap(), "2");
    case.settle().await;
    assert_eq!(case.calls_of("voice").len(), 2, "one mint for each that was due");
    case.assert_strict();
}
