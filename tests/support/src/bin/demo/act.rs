//! What the keys do to the cluster and to the stand-in.

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::standin::{Fault, StandIn};

use crate::{keys::Action, look::resource};

/// The key that the stand-in takes, and one that it refuses.
pub(crate) const OPENAI_KEY: &str = "sk-test-fake";
const REVOKED_KEY: &str = "sk-revoked";

/// Acts as a person with kubectl would.
pub(crate) struct Actor {
    tokens: Api<DynamicObject>,
    secrets: Api<Secret>,
    standin: StandIn,
    pub(crate) provider_down: bool,
}

impl Actor {
    pub(crate) fn new(client: Client, namespace: &str, standin: StandIn) -> Self {
        Self {
            tokens: Api::namespaced_with(client.clone(), namespace, &resource()),
            secrets: Api::namespaced(client, namespace),
            standin,
            provider_down: false,
        }
    }

    /// Does it, and says what was done.
    pub(crate) async fn act(&mut self, action: Action) -> String {
        match self.attempt(action).await {
            Ok(done) => done.to_owned(),
            Err(error) => format!("that failed: {error:#}"),
        }
    }

    async fn attempt(&mut self, action: Action) -> Result<&'static str> {
        Ok(match action {
            Action::Renew => {
                let asked = json!({"realtime-token.dev/renew-requested-at": Timestamp::now().to_string()});
                let patch = json!({"metadata": {"annotations": asked}});
                let params = PatchParams::default();
                self.tokens.patch("voice", &params, &Patch::Merge(patch)).await?;
                "you asked for a renewal of voice"
            }
            Action::DeleteSecret => {
                self.secrets.delete("voice", &DeleteParams::default()).await?;
                "you deleted the Secret voice"
            }
            Action::BreakKey => {
                self.set_key(REVOKED_KEY).await?;
                "you put a revoked key into the Secret openai"
            }
            Action::FixKey => {
                self.set_key(OPENAI_KEY).await?;
                "you put the good key back into the Secret openai"
            }
            Action::ToggleProvider => {
                self.provider_down = !self.provider_down;
                if self.provider_down {
                    self.standin.fail_always(Fault::status(503));
                    "you took the providers down: they answer 503"
                } else {
                    self.standin.heal();
                    "you brought the providers back"
                }
            }
            Action::Quit => "",
        })
    }

    async fn set_key(&self, key: &str) -> Result<()> {
        let patch: Value = json!({"stringData": {"api-key": key}});
        let params = PatchParams::default();
        let patched = self.secrets.patch("openai", &params, &Patch::Merge(patch)).await;
        patched.map(drop).context("the Secret openai")
    }
}
