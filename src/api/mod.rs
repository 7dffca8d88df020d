//! The contract: the two kinds that people apply, and what is fixed about each provider. Types only.
//!
//! Doc comments here are what `kubectl explain` prints. Rules that the API server can check are CEL on the
//! types; `crds/*.yaml` are generated from them (`realtime-token-operator crd`).

#![warn(missing_docs)] // what people read with `kubectl explain`

mod agora;
mod assemblyai;
mod azure_openai;
mod azure_speech;
mod block_rules;
mod blocks;
mod bounds;
mod cartesia;
mod cluster_realtime_provider;
mod condition;
mod credentials;
mod daily;
mod deepgram;
mod elevenlabs;
mod facts;
mod field_use;
mod gemini;
mod http;
mod hume;
mod ice_servers;
mod jwt;
mod livekit;
mod mistral;
mod openai;
mod raw_object;
mod realtime_token;
mod renewal;
mod requests;
mod root_rule;
mod rules;
mod shapes;
mod soniox;
mod speechmatics;
mod subject;
mod target;
mod twilio;
mod workload_identity;
mod xai;

pub use agora::{Agora, AgoraAccount, AgoraRole, AgoraRtc, AgoraRtm};
pub use assemblyai::{AssemblyAi, AssemblyAiAccount, AssemblyAiKind, AssemblyAiRegion};
pub use azure_openai::{AzureOpenAi, AzureOpenAiAccount, Entra};
pub use azure_speech::{AzureSpeech, AzureSpeechAccount};
pub use block_rules::{BlockRules, exchange_message, one_block_message};
pub use blocks::{Accounts, Blocks, PROVIDER_FIELDS, PROVIDER_SUMMARIES, account_rules, block_rules, request_rules};
pub(crate) use blocks::{every_provider, facts_by_field};
pub use bounds::{LONGEST_SPEC, MOST_VALUES, TooLarge, check_size, count_values};
pub use cartesia::{Cartesia, CartesiaAccount, CartesiaGrants};
pub use cluster_realtime_provider::{
    ClusterRealtimeProvider, ClusterRealtimeProviderSpec, ClusterRealtimeProviderStatus, Policy, RateLimit,
    RateLimitStatus,
};
pub use condition::{ConditionType, Reason};
pub use credentials::{Credentials, PlatformCredentials, ProviderRef, SecretKeyRef};
pub use daily::{Daily, DailyAccount, DailyRecording};
pub use deepgram::{Deepgram, DeepgramAccount};
pub use elevenlabs::{ElevenLabs, ElevenLabsAccount, ElevenLabsKind, ElevenLabsRegion};
pub use facts::{Facts, Lifetime, Limits, ProviderBlock, SecretField};
pub use field_use::{FieldUse, FieldUses};
pub use gemini::{Gemini, GeminiAccount};
pub use http::{
    Http, HttpAccount, HttpAuth, HttpAuthKind, HttpCombine, HttpExpiry, HttpExpiryFrom, HttpFormat, HttpMethod,
    HttpRequest, HttpResponse, HttpReuse, HttpTtl, HttpUnit,
};
pub use hume::{Hume, HumeAccount};
pub use ice_servers::{IceServers, IceServersAccount, IceServersKind};
pub use jwt::{Jwt, JwtAccount, JwtAlgorithm, JwtKeyEncoding};
pub use livekit::{LiveKit, LiveKitAccount, LiveKitAgentEndpoint, LiveKitAgentThread};
pub use mistral::{Mistral, MistralAccount, MistralRegion};
pub use openai::{OpenAi, OpenAiAccount, OpenAiKind, OpenAiRegion, OpenAiReuse};
pub use raw_object::RawObject;
pub use realtime_token::{RealtimeToken, RealtimeTokenSpec, RealtimeTokenStatus};
pub use renewal::Renewal;
pub use requests::{Requests, SubjectUse};
pub use soniox::{Soniox, SonioxAccount, SonioxKind, SonioxRegion};
pub use speechmatics::{Speechmatics, SpeechmaticsAccount, SpeechmaticsKind};
pub use target::{
    CONNECTION_KEYS, DeletionPolicy, FALLBACK_KEY, OF_HELM, OWN_KEYS, RESERVED, RESERVED_SECRETS, SecretName,
    TARGET_TYPE, Target, TargetContent, Template, TemplateMetadata,
};
pub use twilio::{Twilio, TwilioAccount, TwilioChat, TwilioSync, TwilioTaskRouter, TwilioVideo, TwilioVoice};
pub use workload_identity::{AzureExchange, Exchange, GoogleExchange, OpenAiExchange, WorkloadIdentity};
pub use xai::{Xai, XaiAccount, XaiReasoning, XaiSession};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::CustomResourceExt;
use serde_json::Value;

/// The API group of both kinds, also the prefix of every label and annotation the operator owns.
pub const GROUP: &str = "realtime-token.dev";

/// The audience of the bearer tokens that tokens are requested with.
pub(crate) const REQUESTS_AUDIENCE: &str = GROUP;

/// Annotation on a RealtimeToken: a new value asks for a new token now, whatever the schedule says.
pub const RENEW_REQUESTED_AT: &str = "realtime-token.dev/renew-requested-at";

/// Annotation on a CRD: the version of the operator that it is of.
pub(crate) const CRD_VERSION: &str = "realtime-token.dev/version";

/// The life to ask for, in seconds, where the provider lets us choose and the spec doesn't.
pub(crate) const DEFAULT_EXPIRATION: i64 = 1800;

/// Both CRDs, as `crds/` holds them.
///
/// # Errors
/// Only if a type's schema can't be written as JSON, which a test rules out.
pub fn crds() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    type Complete = fn(&mut JSONSchemaProps);
    let kinds: [(_, Complete); 2] = [
        (RealtimeToken::crd(), |root| {
            let rule = spec_of(root).map(|spec| root_rule::of_token(spec));
            root.x_kubernetes_validations.get_or_insert_default().extend(rule);
        }),
        (ClusterRealtimeProvider::crd(), |root| {
            if let Some(spec) = spec_of(root) {
                let rule = block_rules::of_provider(spec);
                spec.x_kubernetes_validations.get_or_insert_default().push(rule);
            }
        }),
    ];
    let complete = |(mut crd, complete): (CustomResourceDefinition, Complete)| {
        let version = (CRD_VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        crd.metadata.annotations.get_or_insert_default().extend([version]);
        for version in &mut crd.spec.versions {
            let schema = version.schema.as_mut();
            if let Some(root) = schema.and_then(|schema| schema.open_api_v3_schema.as_mut()) {
                complete(root);
                root.properties
                    .get_or_insert_default()
                    .insert("metadata".to_owned(), metadata());
            }
        }
        without_null(crd)
    };
    kinds.into_iter().map(complete).collect()
}

fn spec_of(root: &mut JSONSchemaProps) -> Option<&mut JSONSchemaProps> {
    root.properties.as_mut()?.get_mut("spec")
}

/// Of the metadata the name, with no restriction: a rule's `fieldPath` may only name a field of the schema. The API server
/// forbids anything else there, a description of `metadata` too.
fn metadata() -> JSONSchemaProps {
    let of_type = |type_: &str| JSONSchemaProps {
        type_: Some(type_.to_owned()),
        ..JSONSchemaProps::default()
    };
    let mut name = of_type("string");
    name.description = Some("The name, which is unique in its scope.".to_owned());
    JSONSchemaProps {
        properties: Some([("name".to_owned(), name)].into()),
        ..of_type("object")
    }
}

/// Both CRDs as one YAML stream, as `realtime-token-operator crd` prints it.
///
/// # Errors
/// Only if a CRD can't be written as YAML, which a test rules out.
pub fn crds_yaml() -> Result<String, Box<dyn std::error::Error>> {
    let mut yaml = String::new();
    for crd in crds()? {
        yaml.push_str("---\n");
        yaml.push_str(&serde_saphyr::to_string(&crd)?);
    }
    Ok(yaml)
}

/// An `Option` field left out and one set to `null` mean the same. The derive marks such fields `nullable`,
/// which would let a literal null past `has()` in CEL; without the mark the API server drops nulls itself.
fn without_null(crd: CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.get("nullable").is_some_and(Value::is_boolean) {
                    map.remove("nullable");
                }
                if let Some(Value::Array(variants)) = map.get_mut("enum") {
                    variants.retain(|variant| !variant.is_null());
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(crd)?;
    strip(&mut value);
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests;
