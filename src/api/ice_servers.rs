use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::words;
use super::subject::SubjectField;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, SecretField, rules};

/// Credentials for TURN servers: of Cloudflare, of Twilio (Network Traversal), or for a coturn of one's own, signed in
/// the operator (TURN REST API). `token` is the list of ICE servers as JSON; `username` and `credential` stand beside it
/// in the Secret. They may be used any number of times until they expire.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IceServers {
    /// Who uses them, as a coturn's log names them. Coturn only. The subject of a request takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!-9;-~]+$')").message("iceServers.user: ASCII letters, digits and punctuation but ':', no spaces"))]
    pub user: Option<String>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: IceServersAccount,
}

impl IceServers {
    /// The message about a URL that no browser takes: its `RTCPeerConnection` throws on the whole list.
    pub(crate) const URL: &'static str = "iceServers.urls: each is stun:, stuns:, turn: or turns: and a host, without //, then perhaps a port and \
         ?transport=udp or ?transport=tcp, such as turn:turn.example.com:3478?transport=udp";
    /// The message about a list of STUN servers.
    pub(crate) const NO_TURN: &'static str =
        "iceServers.urls: name at least one turn: or turns: URL; the credential is for TURN, a STUN server takes none";
}

impl ProviderBlock for IceServers {
    const FACTS: &'static Facts = &Facts {
        name: "iceservers",
        title: "ICE servers",
        lifetime: Lifetime::Chosen(Limits::new("ICE server credentials", 60, 172_800)),
        secret_fields: &[
            SecretField::named("TURN_KEY_API_TOKEN"),
            SecretField::named("TURN_KEY_ID"),
        ],
        origins: &["https://rtc.live.cloudflare.com", "https://api.twilio.com"],
        fields: &[&[("user", FieldUse::Identity)]],
        subject: Some(
            "`user` of kind `Coturn`, which takes no `:`, and `customIdentifier` of the request to Cloudflare; Twilio has no place for it",
        ),
        ..Facts::DEFAULT
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

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        // Cloudflare has no field of ours for it: the request carries it.
        if self.account.kind == Some(IceServersKind::Coturn) {
            let field = SubjectField {
                field: "iceServers.user",
                longest: 128,
                refused: ":",
            };
            self.user = Some(field.admit(subject)?);
        }
        Ok(())
    }
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
    #[x_kube(validation = Rule::new("self.all(url, url.matches('^(stun|stuns|turn|turns):([A-Za-z0-9._-]+|\\\\[[0-9A-Fa-f:.]+\\\\])(:[0-9]{1,5})?([?]transport=[a-z]+)?$'))").message(IceServers::URL))]
    #[x_kube(validation = Rule::new("self.exists(url, !url.startsWith('stun'))").message(IceServers::NO_TURN))]
    pub urls: Option<Vec<String>>,
    /// Another origin in place of the service's own. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub endpoint: Option<String>,
}

words! {
    /// Whose TURN servers.
    IceServersKind: Cloudflare Twilio Coturn;
}
