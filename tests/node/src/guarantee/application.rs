//! An application: a RealtimeToken, its key, and a pod that mounts the Secret and reads it five times a second.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::{standin::Provider, wait};

use super::{
    Setup,
    setup::{NAMESPACE, PATIENCE},
};
use crate::probe::{self, Look};

/// How often the pod reads.
pub(super) const EVERY_MS: u32 = 200;

/// An application in its namespace.
pub struct Application {
    /// Its name, and that of its RealtimeToken, its Secret and its pod.
    pub name: String,
    /// Its key, which no other application has.
    pub key: String,
    /// Whose tokens it reads.
    pub provider: Provider,
    record: PathBuf,
}

/// A token that the provider handed out.
#[derive(Clone, Debug)]
pub struct Minted {
    /// When it was asked for.
    pub at: Timestamp,
    /// The token.
    pub token: String,
}

impl Application {
    /// Deploys one of each name: the pod before there is a Secret to mount, as may happen.
    pub async fn deploy(setup: &Setup, names: &[(&str, Provider)]) -> Result<Vec<Self>> {
        let key = |name: &str| format!("key-of-{name}");
        for provider in Provider::ALL {
            setup
                .standin
                .accept_keys(provider, names.iter().map(|(name, _)| key(name)));
        }
        let mut applications = Vec::new();
        for (name, provider) in names {
            let application = Self {
                name: (*name).to_owned(),
                key: key(name),
                provider: *provider,
                record: setup.node.folder().join("records").join(name),
            };
            setup.apply(&application.manifests(setup)).await?;
            applications.push(application);
        }
        Ok(applications)
    }

    fn manifests(&self, setup: &Setup) -> Value {
        let key = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{}-key", self.name), "namespace": NAMESPACE},
            "stringData": {"api-key": self.key},
        });
        let items = [self.pod(setup), key, self.token(setup)];
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    fn token(&self, setup: &Setup) -> Value {
        let terms = setup.terms;
        let mut spec = match self.provider {
            Provider::OpenAi => json!({
                // As the stand-in does it, whose tokens start any number of sessions.
                "openai": {"model": "gpt-realtime-2.1", "endpoint": setup.standin.url(), "reuse": "Multiple"},
                "expirationSeconds": terms.life,
            }),
            // The life is the stand-in's to choose.
            _ => json!({
                "elevenlabs": {
                    "kind": "ConversationToken", "agentId": format!("agent_{}", self.name),
                    "endpoint": setup.standin.url(),
                },
            }),
        };
        spec["credentials"] = json!({"secretRef": {"name": format!("{}-key", self.name), "key": "api-key"}});
        if let Some((floor, propagation)) = terms.renewal {
            spec["renewal"] = json!({"minRemainingSeconds": floor, "propagationSeconds": propagation});
        }
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": spec,
        })
    }

    fn pod(&self, setup: &Setup) -> Value {
        let mounted = "/var/run/realtime-token";
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "reader",
                    "image": probe::IMAGE,
                    "imagePullPolicy": "Never",
                    "args": ["read", format!("{mounted}/token.json"), format!("/records/{}", self.name),
                        EVERY_MS.to_string()],
                    "volumeMounts": [
                        {"name": "token", "mountPath": mounted, "readOnly": true},
                        {"name": "records", "mountPath": "/records"},
                    ],
                }],
                "volumes": [
                    {"name": "token", "secret": {"secretName": self.name}},
                    {"name": "records", "hostPath": {
                        "path": setup.node.folder().join("records"), "type": "DirectoryOrCreate",
                    }},
                ],
            },
        })
    }

    /// All that its pod has read so far.
    pub fn looks(&self) -> Result<Vec<Look>> {
        probe::looks(&self.record)
    }

    /// The tokens that the provider handed out for it, oldest first.
    pub fn minted(&self, setup: &Setup) -> Vec<Minted> {
        let calls = setup.standin.calls_with_key(&self.key).into_iter();
        calls
            .filter_map(|call| {
                Some(Minted {
                    at: call.time,
                    token: call.token?,
                })
            })
            .collect()
    }

    /// Waits until the pod of each reads the `n`th token.
    pub async fn all_read(all: &[Self], setup: &Setup, n: usize) -> Result<()> {
        try_join_all(all.iter().map(|it| it.reads(setup, n))).await.map(drop)
    }

    /// Waits until its pod reads the `n`th token.
    pub async fn reads(&self, setup: &Setup, n: usize) -> Result<()> {
        let lives = n.saturating_sub(1) as u32 * Duration::from_secs(setup.terms.life.into());
        let patience = PATIENCE + lives;
        wait::until(&self.name, patience, async || {
            let minted = self.minted(setup);
            let wanted = minted.get(n - 1);
            let wanted = wanted.with_context(|| format!("{} tokens were minted", minted.len()))?;
            let looks = self.looks()?;
            let last = looks.last().context("nothing read yet")?;
            let content = last.content.as_deref().unwrap_or_default();
            let content = String::from_utf8_lossy(content);
            ensure!(content.contains(&wanted.token), "an older token");
            Ok(Some(()))
        })
        .await
        .with_context(|| format!("{} doesn't read its token {n}", self.name))
    }

    /// When its token is renewed next.
    pub async fn renewal_time(&self, setup: &Setup) -> Result<Timestamp> {
        let path = "-o=jsonpath={.status.renewalTime}";
        let said = setup
            .kubectl(&["get", "rtt", &self.name, "-n", NAMESPACE, path])
            .await?;
        said.parse()
            .with_context(|| format!("the renewal time of {}: {said:?}", self.name))
    }

    /// The status of a condition: `True`, `False` or `Unknown`.
    pub async fn condition(&self, setup: &Setup, kind: &str) -> Result<String> {
        let path = format!("-o=jsonpath={{.status.conditions[?(@.type=='{kind}')].status}}");
        setup.kubectl(&["get", "rtt", &self.name, "-n", NAMESPACE, &path]).await
    }
}
