//! Counts over all tokens, and what is counted when tokens come late.

use jiff::Timestamp;
use serde_json::json;
use testkit::standin::{Fault, Scope};
use testkit::wait;

use crate::metrics::lines_appear;
use crate::world::{Case, DEADLINE, World};

/// Alerts on a key that is refused look at how many tokens are stuck with it now, so that they end with the trouble.
#[tokio::test]
async fn tokens_in_trouble_are_counted_by_reason() {
    let world = World::with_own_operator("trouble", &[]).await;
    let case = world.case("trouble").await;
    case.fail(Fault::status(401));
    case.create("refused", case.openai()).await;
    case.create("fine", case.elevenlabs("SignedUrl")).await;
    let count = |provider, ready, reason, count| {
        format!("realtime_token_tokens{{provider=\"{provider}\",ready=\"{ready}\",reason=\"{reason}\"}} {count}\n")
    };
    let fine = count("elevenlabs", true, "Issued", 1);
    let refused = count("openai", false, "CredentialRejected", 1);
    lines_appear(&world, &[refused, fine.clone()]).await;
    world.standin.heal();
    case.put_key("openai", &case.spare_key).await;
    let repaired = count("openai", true, "Issued", 1);
    lines_appear(&world, &[repaired, fine]).await;
}

/// A token that comes late counts whatever ended the delay, here a repaired key. A suspended one was not due.
#[tokio::test]
async fn a_late_token_counts_and_a_suspended_one_does_not() {
    let world = World::with_own_operator("late", &[]).await;
    let case = world.case("late").await;
    let mut spec = case.openai();
    // Renewal after 19 to 20 s: what is done before it takes a moment, and as long again to the end of the token.
    spec["expirationSeconds"] = json!(40);
    spec["renewal"] = json!({"minRemainingSeconds": 2, "propagationSeconds": 0});
    case.create("late", spec.clone()).await;
    case.create("asleep", spec).await;
    for name in ["late", "asleep"] {
        case.condition(name, "Ready", "True", "Issued").await;
    }
    suspend(&case, true).await;
    case.fail(Fault::status(401));
    case.condition("late", "Renewing", "True", "CredentialRejected").await;
    let asleep = case.status_when("asleep", |_| true).await;
    wait::until("the suspended one's renewal time", DEADLINE, async || {
        let due = asleep.renewal_time.as_ref().is_some_and(|due| due.0 < Timestamp::now());
        Ok(due.then_some(()))
    })
    .await
    .unwrap();
    world.standin.heal();
    case.put_key("openai", &case.spare_key).await;
    suspend(&case, false).await;
    for name in ["late", "asleep"] {
        case.revision(name, 2).await;
    }
    let swaps = "realtime_token_rotation_lateness_seconds_count";
    lines_appear(
        &world,
        &[format!("{swaps} 1\n"), "freshness_violations_total 0\n".into()],
    )
    .await;
}

async fn suspend(case: &Case<'_>, suspended: bool) {
    case.patch("asleep", json!({"spec": {"suspend": suspended}})).await;
}

/// Many mints in flight get the same limit as their answer.
#[tokio::test]
async fn a_limit_is_counted_once() {
    let world = World::with_own_operator("limited", &[]).await;
    let case = world.case("limited").await;
    world
        .standin
        .fail_always_for(Scope::Key(case.key.clone()), Fault::throttled(600));
    for number in 0..8 {
        case.create(&format!("voice-{number}"), case.openai()).await;
    }
    let series = "realtime_token_provider_limited_seconds_total{provider=\"openai\"} ";
    let seconds = wait::until("the limit", DEADLINE, async || {
        let metrics = world.operator.lock().await.metrics().await?;
        let reported =
            metrics.contains("realtime_token_tokens{provider=\"openai\",ready=\"false\",reason=\"RateLimited\"} 8\n");
        let seconds = metrics.lines().find_map(|line| line.strip_prefix(series));
        Ok(seconds
            .filter(|_| reported)
            .and_then(|seconds| seconds.parse::<f64>().ok()))
    })
    .await
    .unwrap();
    // What a later answer adds is the time between the two.
    assert!((600.0..630.0).contains(&seconds), "{seconds}");
}
