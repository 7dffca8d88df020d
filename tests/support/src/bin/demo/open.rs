//! The cluster of the demo: one of its own, or the one that `CLUSTER` names.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use testkit::cluster::{Cluster, Options};

use crate::{lines::say, look};

/// How long a cluster of one's own may take to answer the first question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts a control plane, or makes sure that the named one can be used.
pub(crate) async fn open(named: Option<PathBuf>) -> Result<Cluster> {
    match named {
        Some(kubeconfig) => use_named(&kubeconfig).await,
        None => start().await,
    }
}

async fn start() -> Result<Cluster> {
    let started = Instant::now();
    say("starting etcd, kube-apiserver and kube-controller-manager on loopback");
    let cluster = Cluster::start(Options {
        controller_manager: true,
        ..Options::default()
    })
    .await?;
    let took = started.elapsed().as_secs_f64();
    say(&format!("a Kubernetes API server is ready after {took:.1} s"));
    Ok(cluster)
}

async fn use_named(kubeconfig: &Path) -> Result<Cluster> {
    let file = kubeconfig.display();
    let cluster = Cluster::named(kubeconfig)?;
    let config = cluster.config().await.map_err(|error| {
        let why = error.root_cause().to_string();
        let why = why.lines().next().unwrap_or_default();
        anyhow!("CLUSTER={file} is no kubeconfig that can be used: {why}; name another, or unset it")
    })?;
    let address = config.cluster_url.to_string();
    let asked = tokio::time::timeout(ANSWER_TIMEOUT, has_no_realtime_tokens(Client::try_from(config)?)).await;
    asked
        .unwrap_or_else(|_| bail!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))
        .map_err(|error| {
            let why = error.root_cause();
            anyhow!("CLUSTER={file}: the API server at {address} can't be used: {why}; name another, or unset CLUSTER")
        })?;
    say(&format!(
        "using the cluster of {file}, {address}; the namespace goes afterwards, the CRDs stay"
    ));
    Ok(cluster)
}

/// Our operator serves the whole cluster: it would mint for everybody's RealtimeTokens, beside an operator that does so
/// already.
async fn has_no_realtime_tokens(client: Client) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let resource = look::resource();
    let crd = format!("{}.{}", resource.plural, resource.group);
    if crds.get_opt(&crd).await?.is_none() {
        return Ok(());
    }
    let tokens: Api<DynamicObject> = Api::all_with(client, &resource);
    let found = tokens.list(&ListParams::default().limit(1)).await?;
    match found.items.first() {
        None => Ok(()),
        Some(token) => bail!(
            "there are RealtimeTokens on it, such as {} in {}, and the demo's operator would serve them too",
            token.metadata.name.as_deref().unwrap_or_default(),
            token.metadata.namespace.as_deref().unwrap_or_default(),
        ),
    }
}
