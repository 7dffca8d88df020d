//! What the API server refuses, and the words in which it does. Nothing here reaches the operator: objects are
//! created as a dry run or suspended.

mod agreement;
mod bounds;
mod conformance;
mod defaults;
mod identities;
mod immutable;
mod requests;
mod rules;
mod unchanged;

use std::process::Command;

use kube::{Client, Resource};
use realtime_token_operator::api::{ClusterRealtimeProvider, RealtimeToken, crds};
use serde_json::{Value, json};
use testkit::cluster::Namespace;

use crate::world::{World, world};

/// Speaks JSON with the API server, so that it sees what a user wrote and not what the types make of it.
struct ApiServer {
    world: &'static World,
    namespace: Namespace,
    client: Client,
}

/// One complaint of the API server: the field it names, and what it says.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    field: String,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Token,
    Provider,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Token, Self::Provider];

    fn name(self) -> &'static str {
        match self {
            Self::Token => "RealtimeToken",
            Self::Provider => "ClusterRealtimeProvider",
        }
    }

    /// The smallest valid spec.
    fn spec(self) -> Value {
        match self {
            Self::Token => {
                json!({"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "key"}}})
            }
            Self::Provider => json!({"openai": {}, "credentials": {"secretRef": {"name": "key"}}}),
        }
    }

    /// The schema of `spec` and what stands beside it, as the API server has it.
    fn schema(self) -> Value {
        let crds = crds().unwrap();
        let crd = crds.iter().find(|crd| crd.spec.names.kind == self.name());
        let crd = serde_json::to_value(crd.unwrap()).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }
}

impl ApiServer {
    async fn new() -> Self {
        let world = world().await;
        let namespace = world.cluster.namespace("admission").await.unwrap();
        Self {
            world,
            client: namespace.client(),
            namespace,
        }
    }

    fn kubectl(&self) -> Command {
        let mut kubectl = self.world.cluster.kubectl().unwrap();
        kubectl.args(["--namespace", self.namespace.name()]);
        kubectl
    }

    fn url(&self, kind: Kind) -> String {
        match kind {
            Kind::Token => RealtimeToken::url_path(&(), Some(self.namespace.name())),
            Kind::Provider => ClusterRealtimeProvider::url_path(&(), None),
        }
    }

    /// Sends an object. `Err` has the API server's complaints.
    async fn send(&self, method: &str, url: &str, body: &Value) -> Result<Value, Vec<Complaint>> {
        let content_type = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", content_type)
            .body(serde_json::to_vec(body).unwrap())
            .unwrap();
        match self.client.request(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => {
                let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
                let complaints: Vec<_> = causes
                    .iter()
                    // Says only that rules wait for the other complaints to be settled.
                    .filter(|cause| !cause.message.contains("some validation rules were not checked"))
                    .map(|cause| Complaint {
                        field: cause.field.clone(),
                        text: cause.message.clone(),
                    })
                    .collect();
                // `<nil>` stands for the whole object: no rule of the CRDs may be shown like this. Of a whole number with
                // a fraction the API server says it by itself, beside the complaint that names the field.
                let is_of_a_rule = |it: &Complaint| it.field == "<nil>" && !it.text.contains("Checked value must be");
                assert!(!complaints.iter().any(is_of_a_rule), "{body}\n{complaints:?}");
                Err(if complaints.is_empty() {
                    vec![Complaint {
                        field: String::new(),
                        text: status.message.clone(),
                    }]
                } else {
                    complaints
                })
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Creates an object as a dry run.
    async fn admit(&self, kind: Kind, spec: &Value) -> Result<Value, Vec<Complaint>> {
        self.admit_named(kind, "voice", spec).await
    }

    async fn admit_named(&self, kind: Kind, name: &str, spec: &Value) -> Result<Value, Vec<Complaint>> {
        let object = object(kind, name, spec);
        self.agrees_with_mint(kind, &object).await;
        let url = format!("{}?dryRun=All", self.url(kind));
        self.send("POST", &url, &object).await
    }

    async fn accepts(&self, kind: Kind, spec: &Value) -> Value {
        match self.admit(kind, spec).await {
            Ok(created) => created,
            Err(complaints) => panic!("{spec}\nis refused: {complaints:?}"),
        }
    }

    /// Expects one complaint, about this field, that ends with this text.
    async fn refuses(&self, kind: Kind, spec: &Value, field: &str, text: &str) {
        match self.admit(kind, spec).await {
            Ok(_) => panic!("{spec}\nis accepted, where {field} should be refused: {text}"),
            Err(complaints) => assert!(
                matches!(&complaints[..], [one] if one.field == field && one.text.ends_with(text)),
                "{spec}\nexpected {field}: {text}\ngot {complaints:#?}"
            ),
        }
    }
}

fn object(kind: Kind, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": kind.name(), "metadata": {"name": name}, "spec": spec,
    })
}

/// A JSON merge patch: null removes.
pub fn merge(base: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut merged = base.as_object().cloned().unwrap_or_default();
    for (key, change) in changes {
        if change.is_null() {
            merged.remove(key);
        } else {
            let before = merged.get(key).cloned().unwrap_or_default();
            merged.insert(key.clone(), merge(&before, change));
        }
    }
    Value::Object(merged)
}
