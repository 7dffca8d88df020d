//! What other programs do to the Secret, again and again: policies that change each write, controllers that take it
//! back, tools that keep changing what is wanted. Each costs few tokens, and the status says what goes on.

use super::*;
use crate::token::decide::{MAX_WAIT, MIN_INTERVAL};

const HALF_AN_HOUR: u64 = 1800;
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

impl Fleet {
    /// Lets time pass where a status can't but lag behind: the Secret changes between two looks.
    async fn pass_unchecked(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Edits what `edit` returns a patch for, whenever it does, as a controller that looks every so many seconds.
    async fn meddle(&self, seconds: u64, every: u64, edit: impl Fn(&Fleet) -> Option<Value>) {
        for _ in 0..seconds / every {
            self.pass_unchecked(every).await;
            if let Some(patch) = edit(self) {
                self.api.edit_as("meddler", "secrets", NAMESPACE, "voice", &patch);
            }
        }
    }

    fn message(&self, type_: ConditionType) -> String {
        let conditions = self.status("voice").conditions.into_iter();
        let mut of_type = conditions.filter(|condition| condition.type_ == type_.as_str());
        of_type.next().map_or_else(String::new, |condition| condition.message)
    }

    fn warnings(&self, reason: &str) -> usize {
        self.events("voice").iter().filter(|event| *event == reason).count()
    }
}

/// How often a token of 1800 s is renewed in so many seconds, at most, the first included.
fn scheduled(seconds: u64) -> usize {
    usize::try_from(seconds / 1100).unwrap() + 2
}

fn relabelled() -> Value {
    json!({"metadata": {"labels": {MANAGED_BY: "platform-team"}}})
}

/// The status names the label, once, and renewals come in time.
#[tokio::test(start_paused = true)]
async fn a_policy_that_rewrites_our_label_is_named_and_delays_nothing() {
    for policy in ["Delete", "Retain"] {
        let fleet = Fleet::new(600);
        fleet
            .api
            .rewrite_secrets(|secret| secret["metadata"]["labels"][MANAGED_BY] = json!("platform-team"));
        fleet.create("voice");
        fleet.edit("voice", json!({"spec": {"target": {"deletionPolicy": policy}}}));
        let mut patches = Vec::new();
        for _ in 0..12 {
            fleet.pass(150).await;
            let secret = fleet.secret("voice").unwrap();
            let left = usable_until(&secret).unwrap().duration_since(now()).as_secs();
            assert!(left > 260, "{policy}: renewed late, {left} s left");
            patches.push(fleet.api.count("patch", "secrets"));
        }
        assert_eq!(
            fleet.condition("voice", ConditionType::Ready),
            ("True".into(), "Renewed".into())
        );
        let renewing = fleet.condition("voice", ConditionType::Renewing);
        assert_eq!(renewing, ("True".into(), "SecretRewritten".into()), "{policy}");
        let message = fleet.message(ConditionType::Renewing);
        let named = r#"label app.kubernetes.io/managed-by is "platform-team" and should be "realtime-token-operator""#;
        assert!(message.contains(named), "{message}");
        assert_eq!(
            fleet.warnings("SecretRewritten"),
            1,
            "{policy}: {:?}",
            fleet.events("voice")
        );
        assert!(
            patches.last() < Some(&20),
            "{policy}: {patches:?} writes in half an hour"
        );

        fleet.api.recover();
        fleet.pass(310).await;
        fleet.assert_settled("voice", "policy removed");
    }
}

/// Whatever of a write admission changes: no token is minted for it but those that are due.
#[tokio::test(start_paused = true)]
async fn a_policy_that_changes_each_write_costs_no_token() {
    type Rewrite = fn(&mut Value);
    let cases: [(&str, Rewrite); 8] = [
        ("annotations", |secret| secret["metadata"]["annotations"] = Value::Null),
        ("hash", |secret| {
            secret["metadata"]["annotations"][annotations::SPEC_HASH] = json!("other");
        }),
        ("key's hash", |secret| {
            secret["metadata"]["annotations"][annotations::CREDENTIAL_REVISION] = json!("other");
        }),
        ("revision", |secret| {
            secret["metadata"]["annotations"][annotations::REVISION] = json!("0");
        }),
        ("metadata's hash", |secret| {
            secret["metadata"]["annotations"][annotations::METADATA_HASH] = json!("other");
        }),
        ("name", |secret| {
            secret["metadata"]["labels"][annotations::NAME] = json!("other");
        }),
        ("owner", |secret| secret["metadata"]["ownerReferences"] = Value::Null),
        ("data", |secret| {
            if let Some(data) = secret["data"].as_object_mut() {
                data.remove("provider");
            }
        }),
    ];
    for (case, rewrite) in cases {
        let fleet = Fleet::new(1800);
        fleet.api.rewrite_secrets(rewrite);
        fleet.create("voice");
        fleet.pass_unchecked(HALF_AN_HOUR).await;
        let mints = fleet.provider.count();
        assert!(
            mints <= scheduled(HALF_AN_HOUR),
            "{case}: {mints} mints in half an hour"
        );
        let writes = fleet.api.count("patch", "secrets") + fleet.api.count("create", "secrets");
        assert!(writes < 30, "{case}: {writes} writes in half an hour");
        let renewing = fleet.condition("voice", ConditionType::Renewing);
        assert_eq!(renewing, ("True".into(), "SecretRewritten".into()), "{case}");
        assert_eq!(fleet.warnings("SecretRewritten"), 1, "{case}");

        fleet.api.recover();
        fleet.pass(1300).await;
        fleet.assert_settled("voice", case);
    }
}

/// A controller that takes each write back, a while after it.
#[tokio::test(start_paused = true)]
async fn a_controller_that_takes_writes_back_costs_few_tokens() {
    type Edit = fn(&Fleet) -> Option<Value>;
    let cases: [(&str, Edit); 6] = [
        ("data", |fleet| {
            let other = fleet.secret("voice")?["data"]["provider"] != base64("mine");
            other.then(|| json!({"data": {"provider": base64("mine")}}))
        }),
        ("pruned key", |fleet| {
            let there = !fleet.secret("voice")?["data"]["provider"].is_null();
            there.then(|| json!({"data": {"provider": null}}))
        }),
        ("annotations", |fleet| {
            let secret = fleet.secret("voice")?;
            let there = annotation(&secret, annotations::SPEC_HASH).is_some();
            there.then(|| json!({"metadata": {"annotations": null}}))
        }),
        ("hash", |fleet| {
            let secret = fleet.secret("voice")?;
            let other = annotation(&secret, annotations::SPEC_HASH) != Some("other");
            other.then(|| json!({"metadata": {"annotations": {annotations::SPEC_HASH: "other"}}}))
        }),
        ("label", |fleet| {
            let secret = fleet.secret("voice")?;
            let other = secret["metadata"]["labels"][MANAGED_BY] != "platform-team";
            other.then(relabelled)
        }),
        ("deletion", |fleet| {
            if fleet.secret("voice").is_some() {
                fleet.api.delete("secrets", NAMESPACE, "voice");
            }
            None
        }),
    ];
    for (case, edit) in cases {
        for every in [5, 180] {
            let context = format!("{case}, each {every} s");
            let fleet = Fleet::new(1800);
            fleet.create("voice");
            fleet.meddle(HALF_AN_HOUR, every, edit).await;
            let mints = fleet.provider.count();
            assert!(
                mints <= scheduled(HALF_AN_HOUR) + 4,
                "{context}: {mints} mints in half an hour"
            );
            let writes = fleet.api.count("patch", "secrets") + fleet.api.count("create", "secrets");
            assert!(writes < 60, "{context}: {writes} writes in half an hour");
            assert!(fleet.warnings("SecretRewritten") > 0 || every == 180, "{context}");
            fleet.pass_unchecked(MAX_WAIT.as_secs().unsigned_abs()).await;
            fleet.pass(15).await;
            fleet.assert_settled("voice", &context);
        }
    }
}

/// Field managers of nobody: a tool has removed ours from `managedFields`.
#[tokio::test(start_paused = true)]
async fn keys_that_no_field_manager_owns_cost_one_token() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.api.disown("secrets", NAMESPACE, "voice");
    fleet
        .api
        .edit("secrets", NAMESPACE, "voice", &json!({"data": {"extra": base64("x")}}));
    fleet.pass(300).await;
    fleet.assert_settled("voice", "disowned");
    assert_eq!(fleet.provider.count(), 2);
}

/// A user who tries things is served at once; a tool that never stops is slowed down, and that is said.
#[tokio::test(start_paused = true)]
async fn a_spec_that_changes_all_the_time_slows_down() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    for change in 0..10 {
        let model = format!("model-{change}");
        fleet.edit("voice", json!({"spec": {"openai": {"model": model}}}));
        fleet.pass(MIN_INTERVAL.as_secs().unsigned_abs() + 1).await;
        assert_eq!(fleet.provider.count(), 2 + change, "served at once");
    }
    let before = fleet.provider.count();
    let mut said = false;
    for change in 0..360 {
        let model = format!("model-{}", change % 2);
        fleet.edit("voice", json!({"spec": {"openai": {"model": model}}}));
        fleet.pass(10).await;
        said |= fleet.condition("voice", ConditionType::Renewing).1 == "ChangedTooOften";
    }
    let mints = fleet.provider.count() - before;
    assert!(mints < 20, "{mints} mints in half an hour");
    assert!(
        said && fleet.warnings("ChangedTooOften") > 0,
        "{:?}",
        fleet.events("voice")
    );
    fleet.pass(310).await;
    fleet.assert_settled("voice", "left alone");
}
