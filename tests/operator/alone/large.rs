//! RealtimeTokens as large as the API server takes them.

use http::Request;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use realtime_token_operator::api::RealtimeToken;
use serde_json::json;
use testkit::cluster::Namespace;
use testkit::wait;

use crate::world::{Case, DEADLINE, World};

/// Half of the limit that the chart sets. At rest the operator takes a tenth of that.
const MOST_MEMORY: u64 = 128 << 20;
const LARGE: usize = 20;

/// One tenant's objects of about 1 MiB cost the operator next to no memory, also where a restart lists all of them, and
/// hold up no other tenant. Each says in its status what is wrong.
#[tokio::test]
async fn twenty_objects_of_a_mebibyte_cost_little_memory_and_hold_up_nobody() {
    let world = World::with_own_cluster().await;
    let tenant = world.case("large").await;
    let other = world.case("other").await;
    let mut spec = other.openai();
    spec["expirationSeconds"] = json!(30); // renewed after some 15 s
    spec["renewal"] = json!({"minRemainingSeconds": 0, "propagationSeconds": 0});
    other.create("voice", spec).await;
    other.revision("voice", 1).await;
    for nth in 0..LARGE {
        create(&tenant.namespace, nth).await;
    }
    for nth in 0..LARGE {
        let message = ready(&tenant, &name(nth)).await;
        assert!(
            message.contains("bytes as JSON where 131072 are allowed") && !message.contains("0,0"),
            "{message}"
        );
    }
    revisions_go_on(&other).await;
    assert_memory(&world, "listed one by one").await;

    // The list of a new process has them all; then each is edited.
    world.restart().await;
    revisions_go_on(&other).await;
    let api = dynamic(&tenant);
    for nth in 0..LARGE {
        let edit = json!({"metadata": {"labels": {"edited": "yes"}}});
        api.patch_metadata(&name(nth), &PatchParams::default(), &Patch::Merge(&edit))
            .await
            .unwrap();
    }
    revisions_go_on(&other).await;
    assert_memory(&world, "after a restart").await;

    // A tenant who shortens the spec is served.
    let shorter = json!({"spec": {"openai": {"session": null, "endpoint": world.standin.url()}}});
    api.patch_metadata(&name(0), &PatchParams::default(), &Patch::Merge(&shorter))
        .await
        .unwrap();
    tenant.condition(&name(0), "Ready", "True", "Issued").await;
}

fn name(nth: usize) -> String {
    format!("large-{nth}")
}

/// Many short values, which take forty times their text when parsed; or few long ones with many names, which the API
/// server repeats in `managedFields`.
fn session(nth: usize) -> String {
    if nth.is_multiple_of(2) {
        format!(r#"{{"x":[0{}]}}"#, ",0".repeat(500_000))
    } else {
        let field = |n: usize| format!(r#""name-{n:05}":"{}""#, "y".repeat(40));
        format!("{{{}}}", (0..9000).map(field).collect::<Vec<_>>().join(","))
    }
}

/// Sends text: a tree of it would take this process a while.
async fn create(namespace: &Namespace, nth: usize) {
    let body = format!(
        r#"{{"apiVersion":"realtime-token.dev/v1alpha1","kind":"RealtimeToken","metadata":{{"name":"{}"}},
            "spec":{{"openai":{{"model":"gpt-realtime-2.1","session":{{"prompt":{}}}}},
            "credentials":{{"secretRef":{{"name":"openai"}}}}}}}}"#,
        name(nth),
        session(nth)
    );
    let path = format!(
        "/apis/realtime-token.dev/v1alpha1/namespaces/{}/realtimetokens",
        namespace.name()
    );
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(body.into_bytes())
        .unwrap();
    namespace.client().request_text(request).await.unwrap();
}

fn dynamic(case: &Case<'_>) -> Api<DynamicObject> {
    Api::namespaced_with(
        case.namespace.client(),
        case.namespace.name(),
        &ApiResource::erase::<RealtimeToken>(&()),
    )
}

/// Waits for the condition Ready to say that the spec can't be read.
async fn ready(case: &Case<'_>, name: &str) -> String {
    let api = dynamic(case);
    let message = |object: &DynamicObject| {
        let conditions = object.data["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        let refused = ready["status"] == "False" && ready["reason"] == "InvalidSpec";
        refused.then(|| ready["message"].as_str().unwrap_or_default().to_owned())
    };
    let object = wait::object_when(&api, name, DEADLINE, |object: &DynamicObject| message(object).is_some())
        .await
        .unwrap();
    message(&object).unwrap()
}

/// Waits until the other tenant's token is renewed once more.
async fn revisions_go_on(other: &Case<'_>) {
    let now = other.status_when("voice", |status| status.revision.is_some()).await;
    other.revision("voice", now.revision.unwrap() + 1).await;
}

async fn assert_memory(world: &World, when: &str) {
    let most = world.operator.lock().await.peak_rss_bytes().unwrap();
    println!("{when}: the operator held {} MB at most", most / 1_000_000);
    assert!(most < MOST_MEMORY, "{when}: {most} bytes");
}
