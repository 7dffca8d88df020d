//! The bare client: it writes what the operator writes, and does nothing else. What it can do, nobody can beat by much.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::DynamicObject};
use realtime_token_operator::api::RealtimeToken;
use serde_json::{Value, json};

use crate::fleet::{self, Fleet};

/// What the operator wrote for one token.
pub(crate) struct Sample {
    secret: Value,
    status: Value,
}

impl Sample {
    /// Takes the Secret and the status of a token that the operator has issued.
    pub(crate) async fn take(fleet: &Fleet, name: &str) -> Result<Self> {
        let tokens: Api<RealtimeToken> = fleet.namespace.api();
        let token = tokens.get_status(name).await?;
        let secrets: Api<Secret> = fleet.namespace.api();
        let secret: DynamicObject = serde_json::from_value(json!(secrets.get(name).await?))?;
        let metadata = json!({
            "labels": secret.labels(),
            "annotations": secret.annotations(),
            "ownerReferences": secret.owner_references(),
        });
        let (data, type_) = (&secret.data["data"], &secret.data["type"]);
        Ok(Self {
            secret: json!({"metadata": metadata, "data": data, "type": type_}),
            status: json!({"status": token.status.context("a token without a status")?}),
        })
    }

    fn secret(&self, name: &str, owner: &str) -> Value {
        let mut secret = self.secret.clone();
        secret["metadata"]["name"] = json!(name);
        secret["metadata"]["ownerReferences"][0]["name"] = json!(name);
        secret["metadata"]["ownerReferences"][0]["uid"] = json!(owner);
        secret
    }
}

/// What the bare client achieved.
pub(crate) struct Bare {
    /// How many tokens it worked on at a time: the best of those tried.
    pub(crate) concurrency: usize,
    /// For all tokens.
    pub(crate) took: Duration,
}

/// Finds the best concurrency on small batches, then writes `count` tokens, and removes them.
pub(crate) async fn run(fleet: &Fleet, sample: &Sample, count: usize) -> Result<Bare> {
    const TRIED: [usize; 5] = [4, 8, 16, 32, 64];
    let batch = count.clamp(50, 300);
    let mut best: Option<(Duration, usize)> = None;
    // Twice, as the first requests find a cold API server and a single batch may meet with a hiccup.
    for (round, concurrency) in [1, 2].into_iter().flat_map(|it| TRIED.map(|n| (it, n))) {
        let names = fleet::names(&format!("try-{round}-{concurrency}"), batch);
        let took = write(fleet, sample, &names, concurrency).await?;
        fleet.remove(&names).await?;
        best = Some(best.map_or((took, concurrency), |it| it.min((took, concurrency))));
    }
    let (_, concurrency) = best.context("no concurrency tried")?;
    let names = fleet::names("bare", count);
    let took = write(fleet, sample, &names, concurrency).await?;
    fleet.remove(&names).await?;
    Ok(Bare { concurrency, took })
}

async fn write(fleet: &Fleet, sample: &Sample, names: &[String], concurrency: usize) -> Result<Duration> {
    let started = Instant::now();
    let client = fleet.client();
    let write_one = async |name: &String| -> Result<()> {
        let owner = fleet.create(name).await?.uid.unwrap_or_default();
        let secret = sample.secret(name, &owner);
        fleet::write(&client, Method::POST, fleet.secrets(), &secret).await?;
        let status = format!("{}/{name}/status", fleet.tokens());
        fleet::write(&client, Method::PATCH, status, &sample.status).await?;
        Ok(())
    };
    stream::iter(names)
        .map(write_one)
        .buffer_unordered(concurrency)
        .try_collect::<()>()
        .await?;
    Ok(started.elapsed())
}
