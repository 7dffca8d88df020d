//! A namespace per test.

use anyhow::{Context, Result};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace as Object};
use kube::{
    Api, Client, Config, Resource,
    api::{DeleteParams, ObjectMeta, PostParams},
};

/// A namespace of a unique name. Goes away with the cluster, or with this value in a cluster that stays.
pub struct Namespace {
    name: String,
    client: Client,
    /// How to delete it on drop, where the cluster outlives the tests.
    sweep: Option<Config>,
}

impl Namespace {
    pub(super) async fn create(
        client: Client,
        prefix: &str,
        labels: &[(&str, &str)],
        sweep: Option<Config>,
    ) -> Result<Self> {
        let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let object = Object {
            metadata: ObjectMeta {
                // The API server makes the name unique, across processes too.
                generate_name: Some(format!("{prefix}-")),
                labels: Some(labels.collect()),
                ..ObjectMeta::default()
            },
            ..Object::default()
        };
        let created = Api::<Object>::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("create a namespace {prefix}-…"))?;
        let name = created
            .metadata
            .name
            .context("the API server created a namespace without a name")?;
        Ok(Self { name, client, sweep })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client it was made with: of the runtime that called [`super::Cluster::namespace`].
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The objects of one kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// Asks for its deletion. It stays in `Terminating` where no controller manager runs.
    pub async fn delete(&self) -> Result<()> {
        delete(self.client(), &self.name).await
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let Some(config) = self.sweep.take() else {
            return;
        };
        let name = std::mem::take(&mut self.name);
        // Drop can't wait in the test's own runtime, hence a thread with another one. Best effort.
        let sweeper = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { delete(Client::try_from(config)?, &name).await })
        });
        let _ = sweeper.join();
    }
}

async fn delete(client: Client, name: &str) -> Result<()> {
    Api::<Object>::all(client)
        .delete(name, &DeleteParams::default())
        .await?;
    Ok(())
}
