//! The messages of the rules.

use std::sync::LazyLock;

/// Grows with the list of providers.
pub(super) static ONE_BLOCK: LazyLock<String> = LazyLock::new(realtime_token_operator::api::one_block_message);
pub(in crate::admission) const ONE_KEY: &str = "set exactly one of credentials.secretRef (a Secret of this namespace), credentials.providerRef (a ClusterRealtimeProvider) and credentials.workloadIdentity (a ServiceAccount of this namespace)";
pub(super) const ONE_PLATFORM_KEY: &str = "set exactly one of credentials.secretRef (a Secret of the operator's namespace) and credentials.workloadIdentity (a ServiceAccount of the operator's namespace)";
pub(in crate::admission) const OPENAI_LIFE: &str = "expirationSeconds: OpenAI client secrets live 10 to 7200 seconds";
pub(super) const ELEVENLABS_LIFE: &str =
    "expirationSeconds: ElevenLabs fixes the lifetime of its tokens; remove the field";
pub(super) const OPENAI_ACCOUNT: &str = "openai.region, organization, project, reuse and endpoint come from the ClusterRealtimeProvider when credentials.providerRef is set; remove them";
pub(super) const ELEVENLABS_ACCOUNT: &str = "elevenlabs.region and endpoint come from the ClusterRealtimeProvider when credentials.providerRef is set; remove them";
pub(super) const PARTICIPANT: &str = "elevenlabs.participantName belongs to kind ConversationToken";
pub(super) const RENEW_BEFORE: &str = "set at most one of renewal.renewBeforePercentage and renewal.renewBeforeSeconds";
pub(super) const NAME: &str =
    "a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit";
pub(super) const KEY: &str =
    "a key of a Secret has letters, digits, '-', '_' and '.'; this is the key's name, not its value";
pub(super) const HEADER: &str = "sent as a header: ASCII letters, digits and punctuation, no spaces";
pub(super) const ENDPOINT: &str = "an endpoint is scheme, host and, if it isn't the default, port, such as https://gateway.example.com; no path, query or user";
pub(super) const LABEL_KEY: &str = "target.template.metadata.labels: a key has letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and may have a domain and '/' before it";
pub(super) const LABEL_VALUE: &str =
    "a label's value has letters, digits, '-', '_' and '.', and begins and ends with a letter or digit";
pub(super) const LABEL_RESERVED: &str =
    "target.template.metadata.labels: keys below kubernetes.io, k8s.io and realtime-token.dev are reserved";
pub(super) const LABEL_OF_HELM: &str = "target.template.metadata.labels: with owner=helm Helm would take the Secret for one of its releases; choose another value";
pub(super) const RESERVED: &str = "target.name, or the RealtimeToken's name if that isn't set: Helm takes Secrets named sh.helm.release.… for its own, and the API server those named bootstrap-token-…; choose another";
pub(super) const PATTERN: &str = "a pattern has {{ namespace }} once at most, spelt so, with nothing or a character such as _ . / or : before and after it: in {{ namespace }}-* the namespace shop would pass for shop-b";
pub(super) const ALLOWED_FIELD: &str =
    "policy.allowedFields: a field of the provider block, such as openai.session.tools or livekit.roomConfig.agents";
pub(super) const OF_ROOMS: &str =
    "policy.allowedModels: tokens of this provider are bound to rooms and not to models; use policy.allowedRooms";
pub(super) const ANNOTATION_KEY: &str = "target.template.metadata.annotations: a key has letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and may have a domain and '/' before it";
pub(super) const ANNOTATION_RESERVED: &str =
    "target.template.metadata.annotations: keys below kubernetes.io, k8s.io and realtime-token.dev are reserved";
pub(super) const DATA_KEY: &str =
    "target.template.data: a key of a Secret has letters, digits, '-', '_' and '.', and does not begin with '..'";
pub(in crate::admission) const DATA_RESERVED: &str = "target.template.data: token.json, token, expires-at, provider, request-url, request-ca.crt and request-fallback are the operator's own keys";
pub(super) const SELECTOR: &str =
    "namespaceSelector.matchExpressions: In and NotIn need values, Exists and DoesNotExist have none";
pub(super) const LONG_NAME: &str = "at most 63 characters, since it becomes a label of the Secret";
pub(in crate::admission) const IMMUTABLE: &str =
    "target.name is immutable: to write to another Secret, delete the RealtimeToken and create it anew";

pub(super) const KEY_SECRET: &str =
    "the token can't go into the Secret that holds the key: set target.name, or name the RealtimeToken otherwise";
