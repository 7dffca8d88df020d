use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// Credentials for TURN servers: of Cloudflare, of Twilio (Network Traversal), or for a coturn of one's own, signed in
/// the operator (TURN REST API). `token` is the list of ICE servers as JSON; `username` and `credential` stand beside it
/// in the Secret. They may be used any number of times until they expire.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IceServers {
    /// Who uses them, as a coturn's log names them. Coturn only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!-9;-~]+$')").message("iceServers.user: ASCII letters, digits and punctuation but ':', no spaces"))]
    pub user: Option<String>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: IceServersAccount,
}

impl SpecRules for IceServers {
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "ICE server credentials",
        min: 60,
        max: 172_800,
    };
    const RULES: &'static [(&'static str, &'static str)] = &[
        (
            "has(self.credentials.providerRef) || (has(self.iceServers.kind) && self.iceServers.kind == 'Coturn') == has(self.iceServers.urls)",
            "iceServers.urls: kind Coturn needs its servers' URLs; Cloudflare and Twilio name their own",
        ),
        (
            "has(self.credentials.providerRef) || (has(self.iceServers.kind) && self.iceServers.kind == 'Coturn') || !has(self.iceServers.user)",
            "iceServers.user belongs to kind Coturn",
        ),
        (
            "!(has(self.iceServers.kind) && self.iceServers.kind == 'Coturn') || !has(self.iceServers.endpoint)",
            "iceServers.endpoint: a coturn is asked nothing; remove the field",
        ),
    ];
}

/// The account side of ICE servers.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IceServersAccount {
    /// Whose servers: `Cloudflare`, `Twilio`, or a `Coturn` of one's own. Default: Cloudflare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<IceServersKind>,
    /// A coturn's URLs: `turn:turn.example.com:3478?transport=udp`, `turns:…`, `stun:…`. Coturn only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new("self.all(url, url.matches('^(stun|stuns|turn|turns):[!-~]+$'))").message("iceServers.urls: each begins with stun:, stuns:, turn: or turns:, and has no spaces"))]
    pub urls: Option<Vec<String>>,
    /// Another origin in place of the service's own. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}

/// Whose TURN servers.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum IceServersKind {
    #[default]
    Cloudflare,
    Twilio,
    Coturn,
}
