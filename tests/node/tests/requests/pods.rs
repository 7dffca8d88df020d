//! The pods that ask, and what is recorded of them.

use std::{net::IpAddr, path::PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};
use nodetests::{
    guarantee::{NAMESPACE, PATIENCE, Setup},
    image,
    probe::{self, Look},
};
use serde_json::{Value, json};
use testkit::{cache, wait};

use super::{HOST, TOKEN, token};

const MOUNTED: &str = "/var/run/realtime-token";
const ACCOUNT: &str = "/var/run/secrets/realtime-token.dev";

/// A pod that may ask: what every pod here has in common.
fn pod(name: &str, containers: Value, more: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "serviceAccountName": "app",
            "containers": containers,
            "terminationGracePeriodSeconds": 1,
            "volumes": [
                {"name": "connection", "secret": {"secretName": TOKEN}},
                {"name": "account", "projected": {"sources": [{"serviceAccountToken": {
                    "audience": "realtime-token.dev", "expirationSeconds": 600, "path": "token",
                }}]}},
            ],
        },
    });
    let (spec, more) = (pod["spec"].as_object_mut(), more.as_object());
    if let (Some(spec), Some(more)) = (spec, more) {
        for (key, value) in more {
            match (spec.get_mut(key).and_then(Value::as_array_mut), value.as_array()) {
                (Some(list), Some(further)) => list.extend(further.clone()),
                _ => {
                    spec.insert(key.clone(), value.clone());
                }
            }
        }
    }
    pod
}

fn mounts() -> [Value; 2] {
    [
        json!({"name": "connection", "mountPath": MOUNTED, "readOnly": true}),
        json!({"name": "account", "mountPath": ACCOUNT, "readOnly": true}),
    ]
}

/// A pod that asks as `helm test` does, under the name of the Service, again and again.
pub(super) struct Asker {
    record: PathBuf,
}

impl Asker {
    const NAME: &str = "asker";
    const MILLISECONDS: &str = "200";

    /// Starts it, and waits until it has a token. `service` is the Service's address: there is no DNS on this node.
    pub(super) async fn start(setup: &Setup, service: IpAddr) -> Result<Self> {
        let image = &tokio::task::spawn_blocking(image::image).await??.name;
        let records = setup.node.folder().join("records");
        let mounts = mounts().into_iter().chain([
            json!({"name": "records", "mountPath": "/records"}),
            json!({"name": "probe", "mountPath": "/probe", "readOnly": true}),
        ]);
        let container = json!([{
            "name": "ask", "image": image, "imagePullPolicy": "Never",
            "command": ["/probe/probe", "repeat", format!("/records/{}", Self::NAME), Self::MILLISECONDS],
            "args": [
                "/realtime-token-operator", "check",
                format!("--operator-url=http://{HOST}:8081"), "--no-cluster-providers",
                format!("--requests-url=https://{HOST}"),
                format!("--requests-ca={MOUNTED}/request-ca.crt"),
                format!("--requests-token-file={ACCOUNT}/token"),
                format!("--requests-realtime-token={NAMESPACE}/{TOKEN}"),
            ],
            "volumeMounts": mounts.collect::<Vec<_>>(),
            // The folder of records is root's.
            "securityContext": {"runAsUser": 0},
        }]);
        let more = json!({
            "hostAliases": [{"ip": service, "hostnames": [HOST]}],
            "volumes": [
                {"name": "records", "hostPath": {"path": records, "type": "DirectoryOrCreate"}},
                {"name": "probe", "hostPath": {"path": probe::folder(setup.node.folder())}},
            ],
        });
        setup.apply(&pod(Self::NAME, container, more)).await?;
        let asker = Self {
            record: records.join(Self::NAME),
        };
        asker.has_never_failed(Timestamp::now()).await?;
        Ok(asker)
    }

    /// Waits until it has asked once more after this time. Each time it has asked it was given a token.
    pub(super) async fn has_never_failed(&self, after: Timestamp) -> Result<()> {
        let looks = wait::until("the pod to ask once more", PATIENCE, async || {
            let looks = probe::looks(&self.record)?;
            let is_later = |look: &Look| look.at > after + SignedDuration::from_secs(5);
            Ok(looks.last().is_some_and(is_later).then_some(looks))
        })
        .await?;
        let handed_out = format!("/namespaces/{NAMESPACE}/realtimetokens/{TOKEN}/token handed out a token");
        for look in &looks {
            let said = look.content.as_deref().map(String::from_utf8_lossy);
            let said = said.map_err(|error| anyhow!("{}: {error}", look.at))?;
            ensure!(said.contains(&handed_out), "{}: {said}", look.at);
        }
        cache::say(&format!("the pod was given {} tokens through the Service", looks.len()));
        Ok(())
    }
}

/// A pod that lives on, and whose files are recorded as its processes see them.
pub(super) struct Reader {
    records: PathBuf,
}

impl Reader {
    const NAME: &str = "reader";
    const CA: &str = "ca";
    const TOKEN: &str = "token";
    const URL: &str = "url";

    pub(super) async fn start(setup: &Setup) -> Result<Self> {
        let records = setup.node.folder().join("records");
        let container = |record: &str, file: String| {
            let mounts = mounts()
                .into_iter()
                .chain([json!({"name": "records", "mountPath": "/records"})]);
            json!({
                "name": record, "image": probe::IMAGE, "imagePullPolicy": "Never",
                "args": ["read", file, format!("/records/{record}"), "200"],
                "volumeMounts": mounts.collect::<Vec<_>>(),
            })
        };
        let containers = json!([
            container(Self::CA, format!("{MOUNTED}/request-ca.crt")),
            container(Self::TOKEN, format!("{ACCOUNT}/token")),
            container(Self::URL, format!("{MOUNTED}/request-url")),
        ]);
        let volume = json!({"name": "records", "hostPath": {"path": records, "type": "DirectoryOrCreate"}});
        setup.apply(&token(setup)).await?;
        setup
            .apply(&pod(Self::NAME, containers, json!({"volumes": [volume]})))
            .await?;
        Ok(Self { records })
    }

    /// The mounted CA bundle as a process of the pod read it last.
    pub(super) async fn ca(&self) -> Result<String> {
        self.last(Self::CA).await
    }

    /// Where to ask, likewise.
    pub(super) async fn url(&self) -> Result<String> {
        self.last(Self::URL).await
    }

    /// The ServiceAccount's token, likewise.
    pub(super) async fn token(&self) -> Result<String> {
        self.last(Self::TOKEN).await
    }

    async fn last(&self, record: &str) -> Result<String> {
        let file = self.records.join(record);
        wait::until(record, PATIENCE, async || {
            let looks = probe::looks(&file)?;
            let last = looks.into_iter().next_back().context("nothing read yet")?;
            let content = last.content.map_err(anyhow::Error::msg)?;
            Ok(Some(String::from_utf8(content)?))
        })
        .await
    }

    pub(super) async fn delete(self, setup: &Setup) -> Result<()> {
        setup
            .kubectl(&["delete", "pod", Self::NAME, "-n", NAMESPACE, "--wait=true"])
            .await
            .map(drop)
    }
}
