//! The stand-ins keep what their module promises.

use futures::{StreamExt, TryStreamExt};
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Error, ResourceExt};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use super::*;
use crate::api::{Blocks, RealtimeToken};
use crate::clock::now;
use crate::mint::{Ask, Credential, Minter};
use crate::providers::Block;
use crate::token::MintError;

const OURS: &str = "realtime-token-operator";

fn secret(name: &str) -> Value {
    json!({
        "kind": "Secret", "metadata": {"name": name, "namespace": "shop", "labels": {"team": "a"}},
        "data": {"one": "MQ==", "two": "Mg=="},
    })
}

fn token() -> Value {
    json!({
        "kind": "RealtimeToken", "metadata": {"name": "voice", "namespace": "shop"},
        "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
    })
}

fn secrets(api: &FakeApi) -> Api<Secret> {
    Api::namespaced(api.client(), "shop")
}

fn merge() -> PatchParams {
    PatchParams {
        field_manager: Some(OURS.to_owned()),
        ..PatchParams::default()
    }
}

fn code(result: Result<impl std::fmt::Debug, Error>) -> (u16, String) {
    match result.unwrap_err() {
        Error::Api(status) => (status.code, status.reason),
        other => panic!("{other}"),
    }
}

/// The keys of a Secret's data that a manager owns.
fn owned(api: &FakeApi, manager: &str) -> Vec<String> {
    let secret = api.get("secrets", "shop", "s").unwrap();
    let entries = secret["metadata"]["managedFields"].as_array().unwrap().clone();
    let entry = entries.into_iter().find(|entry| entry["manager"] == manager);
    let keys = entry
        .map(|entry| entry["fieldsV1"]["f:data"].clone())
        .unwrap_or_default();
    let keys = keys.as_object().into_iter().flatten().map(|(key, _)| key.clone());
    keys.filter(|key| key != ".").collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_is_the_managers_that_last_changed_it() {
    let api = FakeApi::new();
    let secrets = secrets(&api);
    let mut body: Secret = serde_json::from_value(secret("s")).unwrap();
    body.metadata.namespace = None;
    let ours = PostParams {
        field_manager: Some(OURS.to_owned()),
        ..PostParams::default()
    };
    secrets.create(&ours, &body).await.unwrap();
    assert_eq!(owned(&api, OURS), ["f:one", "f:two"]);
    let before = secrets.get("s").await.unwrap().resource_version();

    api.edit("secrets", "shop", "s", &json!({"data": {"one": "MQ=="}}));
    assert_eq!(
        secrets.get("s").await.unwrap().resource_version(),
        before,
        "nothing changed"
    );
    api.edit("secrets", "shop", "s", &json!({"data": {"one": "eA=="}}));
    assert_eq!(
        (owned(&api, OURS), owned(&api, USER)),
        (vec!["f:two".into()], vec!["f:one".into()])
    );

    // Written as it is, a key stays the other's; changed, it is ours again.
    let patch = json!({"data": {"one": "eA==", "two": "eQ=="}});
    secrets.patch("s", &merge(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(owned(&api, USER), ["f:one"]);
    let patch = json!({"data": {"one": "MQ==", "two": null}});
    secrets.patch("s", &merge(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!((owned(&api, OURS), owned(&api, USER)), (vec!["f:one".into()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn uid_and_version_are_preconditions() {
    let api = FakeApi::new();
    let secrets = secrets(&api);
    let stale = api.create(secret("s"))["metadata"].clone();
    let patch = |field: &str, value: &Value| json!({"metadata": {field: value}, "data": {"one": "eA=="}});
    let write = async |patch: Value| secrets.patch("s", &merge(), &Patch::Merge(&patch)).await;
    write(patch("resourceVersion", &stale["resourceVersion"]))
        .await
        .unwrap();
    let conflict = (409, "Conflict".to_owned());
    assert_eq!(
        code(write(patch("resourceVersion", &stale["resourceVersion"])).await),
        conflict
    );
    assert_eq!(code(write(patch("uid", &json!("another"))).await), conflict);
    let gone = secrets.patch("gone", &merge(), &Patch::Merge(&json!({}))).await;
    assert_eq!(code(gone), (404, "NotFound".into()));
    let body: Secret = serde_json::from_value(secret("s")).unwrap();
    assert_eq!(
        code(secrets.create(&PostParams::default(), &body).await),
        (409, "AlreadyExists".into())
    );

    let leases: Api<Lease> = Api::namespaced(api.client(), "operator");
    let mut lease = Lease::default();
    lease.metadata.name = Some("leader".into());
    let first = leases.create(&PostParams::default(), &lease).await.unwrap();
    lease = first.clone();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some("me".into()),
        ..LeaseSpec::default()
    });
    leases.replace("leader", &PostParams::default(), &lease).await.unwrap();
    assert_eq!(
        code(leases.replace("leader", &PostParams::default(), &first).await),
        conflict
    );
}

#[tokio::test(start_paused = true)]
async fn spec_and_status_are_written_apart_and_only_a_spec_has_generations() {
    let api = FakeApi::new();
    let created = api.create(token());
    assert_eq!(created["metadata"]["generation"], 1);
    let tokens: Api<RealtimeToken> = Api::namespaced(api.client(), "shop");
    let patch = json!({"status": {"revision": 3}, "spec": {"suspend": true}});
    let written = tokens
        .patch_status("voice", &merge(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert!(!written.spec.suspend);
    assert_eq!(
        (written.status.unwrap().revision, written.metadata.generation),
        (Some(3), Some(1))
    );
    let written = tokens.patch("voice", &merge(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!((written.spec.suspend, written.metadata.generation), (true, Some(2)));
    let patch = json!({"status": {"revision": null}});
    let written = tokens
        .patch_status("voice", &merge(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert!(written.status.is_none_or(|status| status.revision.is_none()));
}

#[tokio::test(start_paused = true)]
async fn metadata_comes_without_the_rest_and_selectors_select() {
    let api = FakeApi::new();
    api.create(secret("s"));
    let mut other = secret("other");
    other["metadata"]["labels"] = json!({"team": "b"});
    api.create(other);
    let metadata: Api<PartialObjectMeta<Secret>> = Api::namespaced(api.client(), "shop");
    let names = async |params: ListParams| {
        let list = metadata.list_metadata(&params).await.unwrap();
        list.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    assert_eq!(names(ListParams::default()).await, ["other", "s"]);
    assert_eq!(names(ListParams::default().labels("team=b")).await, ["other"]);
    assert_eq!(names(ListParams::default().fields("metadata.name=s")).await, ["s"]);
    let get = async |accept: &str| {
        let request = http::Request::get("/api/v1/namespaces/shop/secrets/s").header("accept", accept);
        let text = api.client().request_text(request.body(vec![]).unwrap()).await;
        text.unwrap()
    };
    assert!(get("application/json").await.contains("MQ=="));
    let metadata = get("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").await;
    assert!(!metadata.contains("MQ==") && metadata.contains("PartialObjectMetadata"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_its_selector_sees() {
    let api = FakeApi::new();
    api.create(secret("before"));
    let secrets = secrets(&api);
    let params = WatchParams::default().labels("team=a");
    let mut events = secrets.watch(&params, "1").await.unwrap().boxed();
    api.create(secret("s"));
    api.edit("secrets", "shop", "s", &json!({"data": {"one": null}}));
    api.edit("secrets", "shop", "s", &json!({"metadata": {"labels": null}}));
    api.edit("secrets", "shop", "s", &json!({"metadata": {"labels": {"team": "a"}}}));
    api.delete("secrets", "shop", "s");
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(secret) => format!("+{}", secret.name_any()),
            WatchEvent::Modified(secret) => format!("~{}", secret.name_any()),
            WatchEvent::Deleted(secret) => format!("-{}@{}", secret.name_any(), secret.resource_version().unwrap()),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["+s", "~s", "-s@4", "+s", "-s@6"]);
}

#[tokio::test(start_paused = true)]
async fn watches_can_be_held_back_broken_and_expired() {
    let api = FakeApi::new();
    let namespace = |name: &str| json!({"kind": "Namespace", "metadata": {"name": name}});
    api.create(namespace("a"));
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(api.client());
    let mut events = watcher(namespaces, Config::default()).boxed();
    let mut next = async || match events.next().await.unwrap() {
        Ok(Event::Init) => "init".to_owned(),
        Ok(Event::InitApply(namespace) | Event::Apply(namespace)) => namespace.name_any(),
        Ok(Event::InitDone) => "done".to_owned(),
        Ok(Event::Delete(namespace)) => format!("-{}", namespace.name_any()),
        Err(_) => "error".to_owned(),
    };
    assert_eq!([next().await, next().await, next().await], ["init", "a", "done"]);
    api.pause_watches("namespaces");
    api.create(namespace("b"));
    assert!(timeout(Duration::from_secs(9), next()).await.is_err());
    api.resume_watches("namespaces");
    assert_eq!(next().await, "b");
    api.break_watches("namespaces");
    api.create(namespace("c"));
    assert_eq!(next().await, "c");
    assert_eq!(api.count("list", "namespaces"), 1);
    api.delete("namespaces", "", "a");
    api.expire_watches("namespaces");
    assert_eq!([next().await, next().await], ["error", "init"]);
    assert_eq!([next().await, next().await, next().await], ["b", "c", "done"]);
    assert_eq!(api.count("list", "namespaces"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_chosen_request_fails_in_the_chosen_way() {
    let api = FakeApi::new();
    api.create(secret("s"));
    let secrets = secrets(&api);
    let write = async |value: &str| {
        let patch = json!({"data": {"one": value}});
        let write = secrets.patch("s", &merge(), &Patch::Merge(&patch)).await;
        let now = api.get("secrets", "shop", "s").unwrap()["data"]["one"].clone();
        (write, now.as_str().unwrap() == value)
    };
    for (fault, applied) in [
        (Fault::Status(500), false),
        (Fault::Status(409), false),
        (Fault::Status(429), false),
        (Fault::ResetBefore, false),
        (Fault::ResetAfter, true),
    ] {
        api.fail_nth(2, fault);
        assert!(write("AA==").await.0.is_ok());
        let (answer, done) = write("QQ==").await;
        assert_eq!(done, applied, "{fault:?}");
        match (answer.unwrap_err(), fault) {
            (Error::Api(status), Fault::Status(code)) => assert_eq!(status.code, code),
            (Error::Service(_), Fault::ResetBefore | Fault::ResetAfter) => {}
            (other, _) => panic!("{other}"),
        }
    }
    for (fault, value, applied) in [(Fault::Hang, "Qg==", false), (Fault::HangAfter, "Qw==", true)] {
        let happened = api.next_fault();
        api.fail_nth_of(|request| request.verb == "patch", 1, fault);
        tokio::select! {
            _ = write(value) => panic!("answered"),
            () = happened => {}
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = api.get("secrets", "shop", "s").unwrap()["data"]["one"].clone();
        assert_eq!(now == value, applied, "{fault:?}");
    }
    api.refuse(|request| request.body["data"]["one"] == "QUE=", "no A's");
    assert_eq!(code(write("QUE=").await.0), (403, "Forbidden".into()));
    api.recover();
    assert!(write("QUE=").await.1);
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_tests_is_tokios() {
    let before = now();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let passed = now().duration_since(before);
    assert_eq!(passed.as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn the_provider_counts_its_mints_and_fails_on_demand() {
    let provider = FakeProvider::new(SignedDuration::from_mins(10));
    let mint = async |model: &str| {
        let block = Blocks {
            openai: Some(Box::new(serde_json::from_value(json!({"model": model})).unwrap())),
            ..Blocks::default()
        };
        let ask = Ask {
            block: Block::only(&block).unwrap(),
            expiration: SignedDuration::from_mins(30),
            namespace: "apps".to_owned(),
            subject: None,
            of_caller: false,
        };
        let credential = Credential::new([("api-key", "sk-1".into())]);
        provider.mint(&ask, &credential, now()).await
    };
    provider.fail_nth(2, MintFault::Throttled(Some(SignedDuration::from_secs(7))));
    let first = mint("a").await.unwrap();
    assert_eq!((first.value.expose_secret(), &*first.provider), ("token-1", "openai"));
    assert_eq!(first.usable_until.duration_since(first.issued_at).as_secs(), 600);
    let throttled = mint("a").await.unwrap_err();
    assert!(matches!(throttled, MintError::Throttled { retry_after: Some(wait), .. } if wait.as_secs() == 7));
    assert_eq!(mint("b").await.unwrap().value.expose_secret(), "token-2");
    provider.fail_nth(1, MintFault::Hang);
    assert!(timeout(Duration::from_secs(60), mint("b")).await.is_err());
    let calls = provider.calls();
    let tokens: Vec<_> = calls.iter().map(|call| call.token.as_deref()).collect();
    assert_eq!(tokens, [Some("token-1"), None, Some("token-2"), None]);
    assert_eq!((provider.count_of("a"), provider.count(), provider.tokens()), (2, 4, 2));
    assert_eq!((calls[0].key.as_str(), calls[0].at), ("sk-1", first.issued_at));
}
