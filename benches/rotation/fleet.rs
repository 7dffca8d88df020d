//! The tokens of the bench, and the requests that make, count and remove them.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use http::{Method, Request};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ListMeta, ObjectMeta, PartialObjectMeta},
};
use realtime_token_operator::{
    api::RealtimeToken,
    token::secret::annotations::{NAME, RENEWAL_TIME},
};
use serde_json::{Value, json};
use testkit::cluster::Namespace;

/// The Secret with the API key, in each namespace.
pub(crate) const KEY: &str = "openai";

/// How many objects the bench reads at a time: 100,000 at once would take a gigabyte, twice.
const PAGE: u32 = 1000;

/// The answer to a write is of no interest beyond its metadata; the operator asks for no more either.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// RealtimeTokens of one namespace, all alike.
pub(crate) struct Fleet {
    pub(crate) namespace: Namespace,
    endpoint: String,
    /// How long a token lives, in seconds.
    pub(crate) life: i64,
    /// How long before its end it is renewed, in seconds.
    renew_before: i64,
}

impl Fleet {
    /// No tokens yet, but the key that they need.
    pub(crate) async fn new(namespace: Namespace, endpoint: String, life: i64, renew_before: i64) -> Result<Self> {
        let fleet = Self {
            namespace,
            endpoint,
            life,
            renew_before,
        };
        let key = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEY},
            "stringData": {"api-key": "sk-test-fake"},
        });
        write(&fleet.client(), Method::POST, fleet.secrets(), &key).await?;
        Ok(fleet)
    }

    pub(crate) fn client(&self) -> Client {
        self.namespace.client()
    }

    pub(crate) fn tokens(&self) -> String {
        let namespace = self.namespace.name();
        format!("/apis/realtime-token.dev/v1alpha1/namespaces/{namespace}/realtimetokens")
    }

    pub(crate) fn secrets(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace.name())
    }

    /// A RealtimeToken. Its name is also the identity under which the stand-in counts its mints. It is renewed before
    /// its end by what was chosen or, if that is more than half of its life, at half of it, less up to 5 % of jitter.
    pub(crate) fn manifest(&self, name: &str) -> Value {
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name},
            "spec": {
                "openai": {
                    "model": "gpt-realtime-2.1",
                    "session": {"instructions": "Be brief.", "audio": {"output": {"voice": "marin"}}},
                    "safetyIdentifier": name,
                    "endpoint": self.endpoint,
                    // As the stand-in has it. Else each token would also cost the write of a Warning Event.
                    "reuse": "Multiple",
                },
                "credentials": {"secretRef": {"name": KEY, "key": "api-key"}},
                "expirationSeconds": self.life,
                "renewal": {"renewBeforeSeconds": self.renew_before, "minRemainingSeconds": 0, "propagationSeconds": 0},
            },
        })
    }

    /// Creates a RealtimeToken; the answer is its metadata.
    pub(crate) async fn create(&self, name: &str) -> Result<ObjectMeta> {
        write(&self.client(), Method::POST, self.tokens(), &self.manifest(name)).await
    }

    /// Removes the RealtimeTokens and their Secrets: no controller manager collects garbage here.
    pub(crate) async fn remove(&self, names: &[String]) -> Result<()> {
        let paths = names
            .iter()
            .flat_map(|name| [self.tokens(), self.secrets()].map(|it| format!("{it}/{name}")));
        let client = self.client();
        let delete = async |path: String| -> Result<()> {
            client.request_text(Request::delete(path).body(Vec::new())?).await?;
            Ok(())
        };
        stream::iter(paths)
            .map(delete)
            .buffer_unordered(32)
            .try_collect::<()>()
            .await
            .context("sweep up")
    }

    /// How many of the tokens have a Secret. One object and a number come over the wire, however many there are.
    pub(crate) async fn secrets_there(&self) -> Result<usize> {
        let secrets: Api<Secret> = self.namespace.api();
        let page = secrets.list_metadata(&ListParams::default().limit(1)).await?;
        let more = page.metadata.remaining_item_count.unwrap_or_default();
        let all = page.items.len() + usize::try_from(more)?;
        Ok(all.saturating_sub(1)) // the key
    }

    /// Whether every status speaks of this revision.
    pub(crate) async fn statuses_at(&self, revision: i64) -> Result<bool> {
        let tokens: Api<RealtimeToken> = self.namespace.api();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = tokens.list(&params).await?;
            let at = |token: &RealtimeToken| token.status.as_ref()?.revision;
            if page.iter().any(|token| at(token) < Some(revision)) {
                return Ok(false);
            }
            match following(params, page.metadata) {
                Some(next) => params = next,
                None => return Ok(true),
            }
        }
    }

    /// When each token is due, to the millisecond, as its Secret says.
    pub(crate) async fn plan(&self) -> Result<HashMap<String, Timestamp>> {
        let secrets: Api<Secret> = self.namespace.api();
        let mut params = ListParams::default().limit(PAGE).labels(NAME);
        let mut plan = HashMap::new();
        loop {
            let page = secrets.list_metadata(&params).await?;
            for secret in page.items {
                let (name, time) = due(secret)?;
                plan.insert(name, time);
            }
            match following(params, page.metadata) {
                Some(next) => params = next,
                None => return Ok(plan),
            }
        }
    }
}

/// The parameters of the next page, if there is one.
fn following(params: ListParams, meta: ListMeta) -> Option<ListParams> {
    let next = meta.continue_.filter(|it| !it.is_empty())?;
    Some(params.continue_token(&next))
}

fn due(secret: PartialObjectMeta<Secret>) -> Result<(String, Timestamp)> {
    let name = secret.name_any();
    let Some(time) = secret.annotations().get(RENEWAL_TIME) else {
        bail!("Secret {name} doesn't say when it is renewed");
    };
    Ok((name, time.parse()?))
}

/// Names of tokens.
pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:06}")).collect()
}

/// One write, as lean as it can be made.
pub(crate) async fn write(client: &Client, method: Method, path: String, body: &Value) -> Result<ObjectMeta> {
    let content_type = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(&method)
        .uri(&path)
        .header(http::header::CONTENT_TYPE, content_type)
        .header(http::header::ACCEPT, METADATA_ONLY)
        .body(serde_json::to_vec(body)?)?;
    let answer: PartialObjectMeta<Secret> = client
        .request(request)
        .await
        .with_context(|| format!("{method} {path}"))?;
    Ok(answer.metadata)
}
