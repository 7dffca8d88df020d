//! Kubeconfigs of others than the administrator.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Config,
    api::PostParams,
    config::{AuthInfo, Kubeconfig},
};

use super::Cluster;

impl Cluster {
    /// Writes a kubeconfig with the rights of a service account into `folder`: with a token as its pod would get it.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str, folder: &Path) -> Result<PathBuf> {
        let token = self.token_of(namespace, account, &[]).await?;
        let user = AuthInfo {
            token: Some(token.into()),
            ..AuthInfo::default()
        };
        let file = folder.join(format!("kubeconfig-{namespace}-{account}"));
        fs::write(&file, self.kubeconfig_with(user)?)?;
        Ok(file)
    }

    /// A token of a service account as its pod would get it, for these audiences; without one for the API server.
    pub async fn token_of(&self, namespace: &str, account: &str, audiences: &[&str]) -> Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(ToString::to_string).collect(),
                expiration_seconds: Some(3600),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = Api::<ServiceAccount>::namespaced(self.client().await?, namespace)
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("a token of the service account {namespace}/{account}"))?;
        Ok(answer.status.context("a token request without an answer")?.token)
    }

    /// How to reach it as a user of that name, in these groups.
    pub async fn config_as(&self, user: &str, groups: &[&str]) -> Result<Config> {
        let mut config = self.config().await?;
        config.auth_info.impersonate = Some(user.to_owned());
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        config.auth_info.impersonate_groups = (!groups.is_empty()).then_some(groups);
        Ok(config)
    }

    /// The administrator's kubeconfig with another user in it.
    fn kubeconfig_with(&self, user: AuthInfo) -> Result<String> {
        let mut file = Kubeconfig::read_from(self.kubeconfig())?;
        for named in &mut file.auth_infos {
            named.auth_info = Some(user.clone());
        }
        serde_json::to_string(&file).context("write a kubeconfig")
    }
}
