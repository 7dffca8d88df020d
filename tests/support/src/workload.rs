//! A Deployment's container as a process here: with the arguments, the environment, the files and the rights that its
//! pod would have.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Container, EnvVar, PodSpec, Probe, Secret},
};
use kube::{Api, Client};
use tempfile::TempDir;

use crate::{
    cluster::Cluster,
    operator::{Operator, OperatorBuilder},
};

/// The container's ports by name, and the flags that have the operator listen there.
const PORTS: [(&str, &str); 2] = [("health", "--health-listen"), ("metrics", "--metrics-listen")];

/// What a pod of the Deployment would run.
pub struct Workload {
    /// The Deployment as the API server has it.
    pub deployment: Deployment,
    client: Client,
    namespace: String,
    pod: PodSpec,
    container: Container,
    /// The files that would be mounted, and the kubeconfig in the place of the mounted token.
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Workload {
    /// Takes the Deployment `name` as it is in the cluster now.
    pub async fn of(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self> {
        let client = cluster.client().await?;
        let deployment = Api::<Deployment>::namespaced(client.clone(), namespace)
            .get(name)
            .await
            .with_context(|| format!("the Deployment {namespace}/{name}"))?;
        let pod = deployment
            .spec
            .clone()
            .and_then(|spec| spec.template.spec)
            .context("a Deployment without a pod")?;
        let [container] = pod.containers.as_slice() else {
            bail!("a pod of {} containers", pod.containers.len());
        };
        ensure!(
            container.command.is_none(),
            "the image's own entrypoint is the operator; the chart overrides it"
        );
        let container = container.clone();
        let folder = tempfile::tempdir()?;
        let account = pod.service_account_name.as_deref().unwrap_or("default");
        let kubeconfig = cluster.kubeconfig_of(namespace, account, folder.path()).await?;
        let workload = Self {
            deployment,
            client,
            namespace: namespace.to_owned(),
            pod,
            container,
            folder,
            kubeconfig,
        };
        workload.write_files().await?;
        Ok(workload)
    }

    /// The operator, as the pod `pod` would run it: add nothing but what a node would.
    pub async fn operator(&self, binary: impl Into<PathBuf>, pod: &str) -> Result<OperatorBuilder> {
        let args: Vec<String> = self.container.args.iter().flatten().cloned().collect();
        for (name, flag) in PORTS {
            let listens = format!("{flag}=0.0.0.0:{}", self.port(name)?);
            ensure!(args.contains(&listens), "{args:?} lack {listens}");
        }
        // The node's network isn't the pod's: here every operator listens on ports of its own. Where it should answer
        // requests, the test says.
        let args = args
            .into_iter()
            .filter(|arg| PORTS.iter().all(|(_, flag)| !arg.starts_with(flag)) && !arg.starts_with("--requests-listen"))
            .map(|arg| self.here(&arg));
        let mut builder = Operator::builder(binary, &self.kubeconfig).container_args(args);
        for variable in self.container.env.iter().flatten() {
            builder = builder.env(&variable.name, self.here(&self.value(variable, pod).await?));
        }
        Ok(builder)
    }

    /// The file with the rights of the pod's service account.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The paths that the kubelet would ask, liveness first.
    pub fn probes(&self) -> Result<[String; 2]> {
        let path = |probe: &Option<Probe>| {
            let get = probe.as_ref().and_then(|probe| probe.http_get.as_ref());
            get.and_then(|get| get.path.clone())
                .context("a container without its HTTP probes")
        };
        Ok([
            path(&self.container.liveness_probe)?,
            path(&self.container.readiness_probe)?,
        ])
    }

    fn port(&self, name: &str) -> Result<i32> {
        let ports = self.container.ports.as_deref().unwrap_or_default();
        let port = ports.iter().find(|port| port.name.as_deref() == Some(name));
        Ok(port
            .with_context(|| format!("no port is called {name}"))?
            .container_port)
    }

    async fn value(&self, variable: &EnvVar, pod: &str) -> Result<String> {
        let Some(source) = &variable.value_from else {
            return Ok(variable.value.clone().unwrap_or_default());
        };
        if let Some(key) = &source.secret_key_ref {
            let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
            let data = secrets.get(&key.name).await?.data.unwrap_or_default();
            let value = data.get(&key.key).context("a Secret without the key")?;
            return Ok(String::from_utf8(value.0.clone())?);
        }
        let field = source.field_ref.as_ref().map(|it| it.field_path.as_str());
        match field {
            Some("metadata.name") => Ok(pod.to_owned()),
            Some("metadata.namespace") => Ok(self.namespace.clone()),
            _ => bail!("{}: no test knows this source yet: {source:?}", variable.name),
        }
    }

    /// A text with the paths that a mount has in the pod replaced by those that it has here.
    fn here(&self, text: &str) -> String {
        let mounts = self.container.volume_mounts.iter().flatten();
        mounts.fold(text.to_owned(), |text, mount| {
            let folder = self.folder.path().join(&mount.name);
            text.replace(&mount.mount_path, &folder.to_string_lossy())
        })
    }

    async fn write_files(&self) -> Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        for volume in self.pod.volumes.iter().flatten() {
            let Some(source) = &volume.config_map else {
                bail!("{}: no test knows this volume yet", volume.name);
            };
            let folder = self.folder.path().join(&volume.name);
            fs::create_dir(&folder)?;
            let map = maps
                .get(&source.name)
                .await
                .with_context(|| format!("the ConfigMap {}", source.name))?;
            let data = map.data.unwrap_or_default();
            for item in source.items.iter().flatten() {
                let text = data.get(&item.key);
                let text = text.with_context(|| format!("no {} in {}", item.key, source.name))?;
                fs::write(folder.join(&item.path), text)?;
            }
        }
        Ok(())
    }
}
