use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// Speechmatics temporary keys (`POST /v1/api_keys`). They live 60 to 86400 seconds, may be used any number of times
/// until they expire, and can't be revoked. Enterprise customers must ask Speechmatics' support before using them.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.clientRef) || !has(self.kind) || self.kind != 'Batch'")
    .message("speechmatics.clientRef: kind Batch needs it, so that a holder of the key sees only jobs of that client"))]
pub struct Speechmatics {
    /// What the key opens.
    #[serde(default)]
    pub kind: SpeechmaticsKind,
    /// Binds the key to the jobs of one client. Required for kind Batch, ignored by Speechmatics for Realtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub client_ref: Option<String>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: SpeechmaticsAccount,
}

impl SpecRules for Speechmatics {
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "Speechmatics temporary keys",
        min: 60,
        max: 86_400,
    };
}

/// The account side of Speechmatics.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SpeechmaticsAccount {
    /// Another origin in place of `https://mp.speechmatics.com`. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}

/// The services that a key is for.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum SpeechmaticsKind {
    #[default]
    Realtime,
    Batch,
    TextToSpeech,
    Flow,
}
