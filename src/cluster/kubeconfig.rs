//! Which API server is meant: a context of the kubeconfig, or the one of this pod.

use std::io;

use http::Uri;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::address::{Address, NamedBy};
use super::client::ClientError;
use super::proxy::{PROXY_URL, Proxy, ProxyError};
use crate::text::without_number;

/// Keeps kube from reading HTTPS_PROXY and NO_PROXY, which it understands otherwise than kubectl.
const CHOSEN_LATER: &str = "http://chosen-later.invalid";

#[derive(Debug, thiserror::Error)]
pub enum KubeconfigProblem {
    #[error("the kubeconfig {file} can't be read: {problem}; set KUBECONFIG to the file of the cluster's kubeconfig")]
    Unreadable { file: String, problem: String },
    #[error("the kubeconfig has no context {0}; {1}")]
    NoContext(String, String),
    #[error("the kubeconfig has no current-context; {0}")]
    NoCurrentContext(String),
    #[error("context {context} of the kubeconfig refers to cluster {cluster}, which it doesn't have; {others}")]
    NoCluster {
        context: String,
        cluster: String,
        others: String,
    },
    #[error("the kubeconfig can't be used: {0}; get it anew from the cluster")]
    Other(String),
}

/// The configuration of the kubeconfig's current context; where there is no kubeconfig, of this pod.
pub(super) async fn find() -> Result<(Config, Address), ClientError> {
    match Kubeconfig::read() {
        Ok(kubeconfig) => with_context(kubeconfig, None).await,
        Err(problem) if is_chosen() || !is_missing(&problem) => Err(explain(problem, "", &[]).into()),
        Err(_) if variable("KUBERNETES_SERVICE_HOST").is_none() => Err(ClientError::NoCluster),
        Err(_) => of_pod(),
    }
}

/// The configuration of a context of the kubeconfig.
pub(super) async fn of_context(context: Option<&str>) -> Result<(Config, Address), ClientError> {
    match Kubeconfig::read() {
        Ok(kubeconfig) => with_context(kubeconfig, context).await,
        Err(problem) if !is_chosen() && is_missing(&problem) => Err(ClientError::NoCluster),
        Err(problem) => Err(explain(problem, "", &[]).into()),
    }
}

/// A person has named a file.
fn is_chosen() -> bool {
    variable("KUBECONFIG").is_some_and(|files| !files.is_empty())
}

#[allow(
    clippy::disallowed_methods,
    reason = "variables of Kubernetes' clients, which are no settings of the operator"
)]
fn variable(name: &'static str) -> Option<String> {
    std::env::var(name).ok()
}

fn is_missing(problem: &KubeconfigError) -> bool {
    match problem {
        KubeconfigError::ReadConfig(problem, _) => problem.kind() == io::ErrorKind::NotFound,
        KubeconfigError::FindPath => true,
        _ => false,
    }
}

fn of_pod() -> Result<(Config, Address), ClientError> {
    let config = Config::incluster().map_err(|problem| ClientError::Pod(problem.to_string()))?;
    let address = Address {
        url: config.cluster_url.clone(),
        named_by: NamedBy::Pod,
        proxy: None,
    };
    Ok((config, address))
}

async fn with_context(mut kubeconfig: Kubeconfig, context: Option<&str>) -> Result<(Config, Address), ClientError> {
    let own_proxy = hide_proxies(&mut kubeconfig, context);
    let name = context
        .or(kubeconfig.current_context.as_deref())
        .unwrap_or_default()
        .to_owned();
    let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|problem| explain(problem, &name, &known))?;
    let proxy = choose_proxy(own_proxy, &config.cluster_url)?;
    config.proxy_url = proxy.as_ref().map(|proxy| proxy.url.clone());
    let address = Address {
        url: config.cluster_url.clone(),
        named_by: NamedBy::Context(name),
        proxy,
    };
    Ok((config, address))
}

/// Takes the proxy of the context's cluster out of the kubeconfig.
fn hide_proxies(kubeconfig: &mut Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|found| found.name == context)?;
    let cluster = context.context.as_ref()?.cluster.clone();
    let mut clusters = kubeconfig.clusters.iter_mut();
    let cluster = clusters.find(|found| found.name == cluster)?.cluster.as_mut()?;
    let own = cluster.proxy_url.replace(CHOSEN_LATER.to_owned());
    own.filter(|url| !url.is_empty())
}

fn choose_proxy(own: Option<String>, server: &Uri) -> Result<Option<Proxy>, ProxyError> {
    match own {
        Some(url) => Proxy::parse(&url, PROXY_URL).map(Some),
        None => Proxy::of_environment(server, variable),
    }
}

fn explain(problem: KubeconfigError, context: &str, known: &[String]) -> KubeconfigProblem {
    let choose = || match known {
        [] => "it has none at all: get it anew from the cluster".to_owned(),
        known => format!("choose with `kubectl config use-context` one of {}", known.join(", ")),
    };
    match problem {
        KubeconfigError::ReadConfig(problem, file) => KubeconfigProblem::Unreadable {
            file: file.display().to_string(),
            problem: without_number(&first_line(&problem)).to_owned(),
        },
        KubeconfigError::LoadContext(name) => KubeconfigProblem::NoContext(name, choose()),
        KubeconfigError::CurrentContextNotSet => KubeconfigProblem::NoCurrentContext(choose()),
        KubeconfigError::LoadClusterOfContext(cluster) => KubeconfigProblem::NoCluster {
            context: context.to_owned(),
            cluster,
            others: choose(),
        },
        other => KubeconfigProblem::Other(first_line(&other)),
    }
}

/// A parser's message without the excerpt that follows it: a kubeconfig holds credentials.
fn first_line(problem: &impl std::fmt::Display) -> String {
    let text = problem.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
