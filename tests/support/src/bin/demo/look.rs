//! What the API server knows of the demo's tokens.

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::Secret, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use serde::Deserialize;

const CONTENT_HASH: &str = "realtime-token.dev/content-hash";

/// The resource, without the operator's own types: the demo looks at it as any user does.
pub(crate) fn resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("realtime-token.dev", "v1alpha1", "RealtimeToken");
    ApiResource::from_gvk_with_plural(&kind, "realtimetokens")
}

/// One RealtimeToken and its Secret.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) provider: String,
    /// 0 until there is a token.
    pub(crate) revision: i64,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) usable_until: Option<Timestamp>,
    pub(crate) renewal_time: Option<Timestamp>,
    /// Hash of the Secret's token.json.
    pub(crate) hash: Option<String>,
    /// Whether its tokens are handed out on request and kept in no Secret.
    pub(crate) on_request: bool,
    conditions: Vec<Condition>,
}

impl Token {
    pub(crate) fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|it| it.type_ == type_)
    }

    /// Whether a condition is True.
    pub(crate) fn holds(&self, type_: &str) -> bool {
        self.condition(type_).is_some_and(|it| it.status == "True")
    }

    /// Whether it rotates while one looks on.
    pub(crate) fn rotates_soon(&self) -> bool {
        let life = self.usable_until.zip(self.issued_at);
        !self.on_request && life.is_none_or(|(end, from)| end.duration_since(from).as_secs() < 120)
    }

    /// Why there is no token, or no next one: the reason and the message.
    pub(crate) fn trouble(&self) -> Option<(String, String)> {
        let ready = self.condition("Ready").filter(|it| it.status == "False");
        let renewing = self.condition("Renewing").filter(|it| it.status == "True");
        let condition = ready.or(renewing).filter(|it| it.reason != "Pending")?;
        Some((condition.reason.clone(), condition.message.clone()))
    }
}

/// What is there at one moment.
pub(crate) struct Observation {
    /// By name.
    pub(crate) tokens: Vec<Token>,
    pub(crate) events: Vec<Event>,
}

/// Looks at one namespace.
pub(crate) struct Observer {
    tokens: Api<DynamicObject>,
    secrets: Api<Secret>,
    events: Api<Event>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    provider: Option<String>,
    revision: i64,
    issued_at: Option<Time>,
    usable_until: Option<Time>,
    renewal_time: Option<Time>,
    conditions: Vec<Condition>,
}

impl Observer {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            tokens: Api::namespaced_with(client.clone(), namespace, &resource()),
            secrets: Api::namespaced(client.clone(), namespace),
            events: Api::namespaced(client, namespace),
        }
    }

    pub(crate) async fn look(&self) -> Result<Observation> {
        let all = ListParams::default();
        let objects = self.tokens.list(&all).await.context("list RealtimeTokens")?;
        // Metadata only: the table shows no token.
        let secrets = self.secrets.list_metadata(&all).await.context("list Secrets")?;
        let events = self.events.list(&all).await.context("list Events")?.items;
        let mut tokens = Vec::new();
        for object in objects {
            let name = object.name_any();
            let secret = secrets.items.iter().find(|it| it.name_any() == name);
            let hash = secret.and_then(|it| it.annotations().get(CONTENT_HASH).cloned());
            tokens.push(token(object, hash)?);
        }
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Observation { tokens, events })
    }
}

fn token(object: DynamicObject, hash: Option<String>) -> Result<Token> {
    let name = object.name_any();
    let status = match object.data.get("status") {
        Some(status) => Status::deserialize(status).with_context(|| format!("the status of RealtimeToken {name}"))?,
        None => Status::default(),
    };
    let asked = |it: &&str| object.data["spec"].get(it).is_some();
    let asked = ["openai", "elevenlabs", "deepgram"].into_iter().find(asked);
    let at = |time: Option<Time>| time.map(|it| it.0);
    let on_request = object.data["spec"]["target"]["content"] == "Connection";
    Ok(Token {
        name,
        on_request,
        provider: status.provider.or(asked.map(str::to_owned)).unwrap_or_default(),
        revision: status.revision,
        issued_at: at(status.issued_at),
        usable_until: at(status.usable_until),
        renewal_time: at(status.renewal_time),
        hash,
        conditions: status.conditions,
    })
}
