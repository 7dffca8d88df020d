//! What an error of a provider is about, and what helps. The status alone doesn't say: a 403 may mean the key, the
//! region, the credit of the account or a firewall on the way.

use super::error_body::{ErrorBody, Format};
use super::{Ask, Credential};
use crate::providers::Provider;

/// What an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No credit, or a spending limit or quota that time alone does not soon restore.
    Quota,
    /// The provider refuses the region or the network of the caller.
    Network,
    /// Refused by something on the way: the body is not the API's.
    OnTheWay,
    /// The key lacks a permission, by its name if that is known.
    Permission(Option<String>),
    /// The organization must be verified at the provider.
    Unverified,
    /// The model isn't there, or not for this account.
    Model,
    /// The deployment isn't there, or holds another kind of model.
    Deployment,
    /// The key is wrong.
    Key,
    /// What the status says.
    Status,
}

/// Parts of codes, as [`ErrorBody::has_code_with`] compares them.
const QUOTA_CODES: &[&str] = &[
    "insufficientquota",
    "dailylimitexceeded",
    "billing",
    "creditbalance",
    "balanceexhausted",
    "creditsexhausted",
    "outofcredits",
    "insufficientcredit",
    "insufficientfunds",
    "insufficientbalance",
    "paymentrequired",
    "spendinglimit",
    "spendlimit",
    "budgetexhausted",
    "budgetexceeded",
];
/// ElevenLabs answers 401 with it. Under 429 it may be a limit that time restores, as with Soniox.
const QUOTA_CODES_OF_REFUSALS: &[&str] = &["quotaexceeded", "quotaexhausted"];
/// Not "exceeded your current quota": Gemini says so of a minute's quota too.
const QUOTA_PHRASES: &[&str] = &[
    "used all available credits",
    "used all credits",
    "no credits",
    "any credits",
    "out of credits",
    "not enough credits",
    "insufficient credits",
    "insufficient funds",
    "insufficient balance",
    "credits are depleted",
    "credit balance",
    "spending limit",
    "exceeds your quota",
];
const NETWORK_CODES: &[&str] = &[
    "unsupportedcountryregionterritory",
    "ipnotauthorized",
    "apikeyipaddressblocked",
    "incorrecthostname",
];
const NETWORK_PHRASES: &[&str] = &[
    "country, region, or territory",
    "location is not supported",
    "private endpoint",
    "public access is disabled",
    "virtual network",
    "firewall rules",
    "ip address",
];
const PERMISSION_CODES: &[&str] = &[
    "missingpermissions",
    "missingpermission",
    "insufficientpermissions",
    "insufficientscope",
    "missingscope",
    "servicedisabled",
    "apikeyserviceblocked",
];
const PERMISSION_PHRASES: &[&str] = &["missing the permission", "insufficient permissions", "missing scopes"];
const UNVERIFIED_PHRASES: &[&str] = &["organization must be verified", "organisation must be verified"];
const MODEL_CODES: &[&str] = &[
    "modelnotfound",
    "invalidmodel",
    "modelnotsupported",
    "unsupportedmodel",
    "modelnotallowed",
];
/// The last two are Azure's: the deployment holds a model of another kind. It spells the first of them so.
const DEPLOYMENT_CODES: &[&str] = &["deploymentnotfound", "opperationnotsupported", "operationnotsupported"];
/// OAuth (RFC 6749) and Google refuse a client and a key with 400.
const KEY_CODES: &[&str] = &[
    "apikeyinvalid",
    "invalidclient",
    "unauthorizedclient",
    "invalidapikey",
    "invalidauth",
];
/// What a 400 for a wrong key says, with any provider.
const KEY_PHRASES: &[&str] = &[
    "invalid credentials",
    "invalid api key",
    "incorrect api key",
    "api key not valid",
];

impl Cause {
    /// Looks at codes and types first, then at known sentences, and last at the status.
    ///
    /// Providers repeat what they don't accept. A sentence about quota or key that is in the spec counts for nothing, or
    /// its owner could limit or reject a credential that others use. The same holds for every such sentence if a caller
    /// of a request chose some of it.
    pub(super) fn of(provider: &dyn Provider, status: u16, body: &ErrorBody, ask: Option<&Ask>) -> Self {
        let of_caller = ask.is_some_and(|ask| ask.of_caller);
        let asked = ask.and_then(|ask| serde_json::to_string(&ask.block).ok());
        let asked = asked.unwrap_or_default().to_lowercase();
        let is_own = |phrase: &str| of_caller || asked.contains(phrase);
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| !is_own(phrase) && body.says(&[phrase]));
        if !(400..=499).contains(&status) {
            return Self::Status;
        }
        let is_quota = body.has_code_with(QUOTA_CODES)
            || status != 429 && body.has_code_with(QUOTA_CODES_OF_REFUSALS)
            || body.is_daily_quota()
            || says(QUOTA_PHRASES);
        match status {
            402 => Self::Quota,
            400 | 401 | 403 | 429 if is_quota => Self::Quota,
            408 | 409 | 429 => Self::Status,
            _ if body.has_code(DEPLOYMENT_CODES) => Self::Deployment,
            _ if body.says(UNVERIFIED_PHRASES) => Self::Unverified,
            _ if body.has_code(MODEL_CODES) => Self::Model,
            400 | 401 | 403 => Self::of_access(provider, status, body, says),
            _ => Self::Status,
        }
    }

    fn of_access(provider: &dyn Provider, status: u16, body: &ErrorBody, says: impl Fn(&[&str]) -> bool) -> Self {
        let is_refused = status != 400;
        let not_the_api = match body.format {
            Format::Html => true,
            // Some APIs refuse a key in plain text, most of them with this one word.
            Format::Text => !(body.says(&["api key", "apikey"]) || status == 401 && body.is_text("unauthorized")),
            Format::Empty | Format::Json => false,
        };
        if body.has_code(NETWORK_CODES) || body.says(NETWORK_PHRASES) {
            Self::Network
        } else if is_refused && not_the_api {
            Self::OnTheWay
        } else if is_refused && (body.has_code(PERMISSION_CODES) || body.says(PERMISSION_PHRASES)) {
            Self::Permission(permission(body))
        } else if is_refused
            || body.has_code(KEY_CODES)
            || says(KEY_PHRASES)
            || provider.facts().wrong_key_is_400 && says(&["api key"])
        {
            Self::Key
        } else {
            Self::Status
        }
    }

    /// Whether it is the key that was refused. A key that only looks wrong is worth another look at once; a wrong spec
    /// isn't helped by a new key.
    pub(super) fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Key | Self::Permission(_))
    }

    /// What helps, unless the status says it well enough.
    pub(super) fn hint(&self, credential: &Credential, model: Option<&str>) -> Option<String> {
        let caller = match credential.is_on_this_machine() {
            true => "this machine",
            false => "the operator's pod",
        };
        let hint = match self {
            Self::Quota => {
                let until = match credential.is_asked_once() {
                    true => "",
                    false => " Until then one mint with this key is tried every four minutes.",
                };
                return Some(format!(
                    "The API key is fine, but its account has no credit left or has reached a spending limit or \
                     quota: add credit or raise the limit at the provider.{until}"
                ));
            }
            Self::Network => {
                return Some(format!(
                    "The API key is not the cause: the provider refuses the region or network that the request came \
                     from. Check the egress of {caller}, the region in the spec, and the network rules of the account."
                ));
            }
            Self::OnTheWay => {
                return Some(format!(
                    "The body is not the API's, so something on the way refuses the request, and not the API key: \
                     check the egress of {caller}, its region, and any proxy or gateway on the way."
                ));
            }
            Self::Permission(name) => {
                let which = name
                    .as_deref()
                    .map_or("a permission".into(), |name| format!("the permission {name}"));
                let place = credential.place();
                return Some(format!(
                    "The API key lacks {which}: grant it at the provider, or put a key that has it into {place}."
                ));
            }
            Self::Unverified => {
                "The organization of the API key must be verified before it may use this model: verify it in the \
                 provider's settings."
            }
            Self::Model => {
                let named = model.map(|model| format!(" {model}")).unwrap_or_default();
                return Some(format!(
                    "Check the model{named} in the spec: it does not exist, can't be used here, or the account of the API \
                     key has no access to it."
                ));
            }
            Self::Deployment => {
                "Check the deployment in the spec: it must exist in this resource and hold a realtime model."
            }
            Self::Key | Self::Status => return None,
        };
        Some(hint.to_owned())
    }
}

/// The permission that a message names: an identifier after a known phrase, such as `convai_read`.
fn permission(body: &ErrorBody) -> Option<String> {
    let message = body.message.as_deref()?;
    let after = ["missing the permission ", "Missing scopes: "]
        .iter()
        .find_map(|phrase| message.split_once(phrase))?
        .1;
    let in_name = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.' | ':');
    let end = after.find(|c| !in_name(c)).unwrap_or(after.len());
    let name = after[..end].trim_end_matches(['.', ':']);
    (3..=40).contains(&name.len()).then(|| name.to_owned())
}
