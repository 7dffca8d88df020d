//! RealtimeTokens of short life that keep a token in their Secret, beside whatever a test does to the operator meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use testkit::cluster::Namespace;
use testkit::wait;

use crate::world::{DEADLINE, annotation};

pub const NAMES: [&str; 3] = ["mounted-a", "mounted-b", "mounted-c"];
/// `minRemainingSeconds` of each.
const FLOOR: i64 = 5;

/// Each of them, with the key in the Secret `openai`.
pub fn objects(provider: &str) -> [Value; 3] {
    NAMES.map(|name| {
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name},
            "spec": {
                "openai": {"model": "gpt-realtime-2.1", "endpoint": provider, "reuse": "Multiple"},
                "credentials": {"secretRef": {"name": "openai"}},
                "expirationSeconds": 60,
                "renewal": {"minRemainingSeconds": FLOOR, "propagationSeconds": 1},
            },
        })
    })
}

/// Reads the Secrets until it is `over`, which is asked with how often each token was seen to be replaced at least. None
/// of their tokens is ever below the floor.
pub async fn watch(apps: &Namespace, over: impl Fn(usize) -> bool) {
    let secrets: Api<Secret> = apps.api();
    for name in NAMES {
        wait::object_when(&secrets, name, DEADLINE, |it| it.data.is_some())
            .await
            .unwrap();
    }
    let mut seen = NAMES.map(|_| BTreeSet::new());
    while !over(seen.iter().map(|ends| ends.len().saturating_sub(1)).min().unwrap()) {
        for (name, ends) in NAMES.iter().zip(&mut seen) {
            let secret = secrets.get(name).await.unwrap();
            let until: Timestamp = annotation(&secret, "usable-until").unwrap().parse().unwrap();
            let left = until.duration_since(Timestamp::now());
            assert!(left.as_secs() >= FLOOR, "{name} has {left} left");
            ends.insert(until);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
