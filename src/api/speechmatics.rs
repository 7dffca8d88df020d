use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{account, words};
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, SecretField};

/// Speechmatics temporary keys (`POST /v1/api_keys`). They may be used any number of times until they expire, and can't
/// be revoked. Enterprise customers must ask Speechmatics' support before using them.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.clientRef) || !has(self.kind) || self.kind != 'Batch'")
    .message("speechmatics.clientRef: kind Batch needs it, so that a holder of the key sees only jobs of that client"))]
pub struct Speechmatics {
    /// What the key opens.
    #[serde(default)]
    pub kind: SpeechmaticsKind,
    /// Binds the key to the jobs of one client. Required for kind Batch, ignored by Speechmatics for Realtime.
    /// The subject of a request takes its place for kind Batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub client_ref: Option<String>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: SpeechmaticsAccount,
}

impl ProviderBlock for Speechmatics {
    const FACTS: &'static Facts = &Facts {
        name: "speechmatics",
        title: "Speechmatics",
        lifetime: Lifetime::Chosen(Limits::new("Speechmatics temporary keys", 60, 86_400)),
        secret_fields: &[SecretField::api_key("SPEECHMATICS_API_KEY")],
        origins: &["https://mp.speechmatics.com"],
        fields: &[&[("kind", FieldUse::Free), ("clientRef", FieldUse::Identity)]],
        subject: Some("`clientRef` of kind `Batch`; the other kinds have no place for it"),
        ..Facts::DEFAULT
    };

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        if self.kind == SpeechmaticsKind::Batch {
            self.client_ref = Some(subject.to_owned());
        }
        Ok(())
    }
}

account! {
    /// The account side of Speechmatics.
    SpeechmaticsAccount {
        /// Another origin in place of `https://mp.speechmatics.com`. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}

words! {
    /// The services that a key is for.
    SpeechmaticsKind: Realtime Batch TextToSpeech;
}
