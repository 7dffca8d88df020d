//! Spec + provider object + policy -> the mint to make and its key, or what stands in the way.

mod credential;
pub(crate) mod customize;
mod findings;
mod fingerprint;
mod metadata;
mod overridable;
mod policy;
mod rate_limits;
pub(crate) mod subject;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

pub use self::credential::{CredentialRef, Identity, KeyRef};
pub(crate) use self::findings::{findings, token_kind};
pub use self::metadata::{InvalidKey, MetadataPolicy};
pub(crate) use self::overridable::unknown_overridable;
pub(crate) use self::rate_limits::rate_limits;
use crate::api::{
    ClusterRealtimeProvider, DEFAULT_EXPIRATION, Lifetime, Limits, OF_HELM, Policy, RESERVED, RESERVED_SECRETS,
    RealtimeToken, RealtimeTokenSpec, Reason, TemplateMetadata, one_block_message,
};
use crate::mint::{Ask, EndpointPolicy};
use crate::providers::{AccountMismatch, Block, Provider};
use crate::token::Blocked;
use crate::token::secret::template;

const ONE_CREDENTIAL: &str =
    "set exactly one of credentials.secretRef, credentials.providerRef and credentials.workloadIdentity";

/// What can't be read from the RealtimeToken itself.
#[derive(Clone, Copy, Debug)]
pub struct ResolveContext<'a> {
    /// The ClusterRealtimeProvider that `credentials.providerRef` names, if it exists.
    pub provider: Option<&'a ClusterRealtimeProvider>,
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// Where ClusterRealtimeProviders' keys live.
    pub operator_namespace: &'a str,
    pub endpoints: &'a EndpointPolicy,
    /// Which labels and annotations Secrets may be given.
    pub metadata: &'a MetadataPolicy,
}

#[derive(Clone, Debug)]
pub struct Resolved {
    pub ask: Ask,
    pub credential: CredentialRef,
    /// Hash of what makes the token.
    pub fingerprint: String,
    /// The ClusterRealtimeProvider that lends its credential.
    pub lent_by: Option<String>,
}

impl Resolved {
    /// The key as the owner of the RealtimeToken knows it: where the platform team keeps its own is not theirs to see.
    pub(crate) fn key_title(&self) -> String {
        match &self.lent_by {
            Some(provider) => format!("key of ClusterRealtimeProvider {provider}"),
            None => self.credential.to_string(),
        }
    }

    /// The Secret with the key, likewise.
    pub(crate) fn secret_title(&self) -> String {
        match (&self.lent_by, &self.credential) {
            (Some(provider), _) => format!("the Secret of ClusterRealtimeProvider {provider}"),
            (None, CredentialRef::Key(key)) => format!("Secret {}/{}", key.namespace, key.name),
            (None, CredentialRef::Identity(_)) => self.credential.to_string(),
        }
    }

    /// What the operator's own namespace holds is not the tenant's to see; the platform team finds it in the provider's
    /// status.
    pub(crate) fn without_platform_names(&self, blocked: Blocked) -> Blocked {
        match &self.lent_by {
            Some(provider) => Blocked::new(
                blocked.reason,
                format!(
                    "the key of ClusterRealtimeProvider {provider} can't be used; its status says more to the platform \
                     team"
                ),
            ),
            None => blocked,
        }
    }
}

/// Resolves a RealtimeToken, or gives the reason and message of a condition.
pub fn resolve(token: &RealtimeToken, context: &ResolveContext<'_>) -> Result<Resolved, Blocked> {
    resolve_for(token, None, context)
}

/// The same for a request whose caller names this subject.
pub fn resolve_for(
    token: &RealtimeToken,
    subject: Option<&str>,
    context: &ResolveContext<'_>,
) -> Result<Resolved, Blocked> {
    let spec = &token.spec;
    admit_target(token, context)?;
    let mut block = block_of(spec)?;
    let provider = lent_by(token, context)?;
    if let Some(provider) = provider {
        adopt_account(&mut block, provider)?;
    }
    subject::name(spec, &mut block, subject).map_err(invalid)?;
    let adapter = block.provider();
    let credential = CredentialRef::of_token(token, adapter, provider, context.operator_namespace)
        .ok_or_else(|| invalid(ONE_CREDENTIAL))?;
    let policy = provider.and_then(|provider| provider.spec.policy.as_ref());
    let expiration = expiration(spec, &block, policy)?;
    if let Some(policy) = policy {
        let namespace = token.metadata.namespace.as_deref().unwrap_or_default();
        policy::check(&block, policy, namespace, subject::named(spec, subject))?;
    }
    adapter.validate().map_err(|problem| invalid(problem.to_string()))?;
    subject::check(spec, adapter, subject).map_err(invalid)?;
    adapter.lifetime().admit(expiration).map_err(invalid)?;
    if let CredentialRef::Identity(identity) = &credential {
        identity.check(adapter, context.endpoints)?;
    }
    context
        .endpoints
        .check(&adapter.endpoint())
        .map_err(|problem| Blocked::new(Reason::EndpointNotAllowed, problem.to_string()))?;
    let none = BTreeMap::new();
    let templates = spec.target.template.as_ref().map_or(&none, |template| &template.data);
    template::check(templates, adapter.published(), adapter.config())
        .map_err(|problem| invalid(problem.to_string()))?;
    let ask = Ask {
        block,
        expiration,
        namespace: token.namespace().unwrap_or_default(),
        subject: subject.map(str::to_owned),
        of_caller: subject.is_some(),
    };
    let fingerprint = fingerprint::of_ask(&ask, templates);
    Ok(Resolved {
        ask,
        credential,
        fingerprint,
        lent_by: provider.map(ResourceExt::name_any),
    })
}

/// Whether tokens of this RealtimeToken may be requested and are minted with this credential then. `provider` is the
/// ClusterRealtimeProvider that it names.
pub(crate) fn is_requested_with(
    credential: &CredentialRef,
    token: &RealtimeToken,
    provider: Option<&ClusterRealtimeProvider>,
    operator_namespace: &str,
) -> bool {
    let spec = &token.spec;
    if spec.requests.is_none() || spec.credentials.provider_ref.is_some() != provider.is_some() {
        return false;
    }
    let of_token = |adapter| CredentialRef::of_token(token, adapter, provider, operator_namespace);
    provider_of(spec).and_then(of_token).as_ref() == Some(credential)
}

/// Whether a Secret of this name and metadata may be written. The CRD refuses the names, too.
fn admit_target(token: &RealtimeToken, context: &ResolveContext<'_>) -> Result<(), Blocked> {
    let name = token.target_name();
    if RESERVED_SECRETS.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Blocked::new(Reason::TargetNotAllowed, RESERVED));
    }
    let metadata = token
        .spec
        .target
        .template
        .as_ref()
        .and_then(|template| template.metadata.as_ref());
    if metadata.is_some_and(TemplateMetadata::is_of_helm) {
        return Err(Blocked::new(Reason::TargetNotAllowed, OF_HELM));
    }
    context.metadata.check(&token.spec.target)
}

/// The ClusterRealtimeProvider that lends its account, if the spec names one.
fn lent_by<'a>(
    token: &RealtimeToken,
    context: &ResolveContext<'a>,
) -> Result<Option<&'a ClusterRealtimeProvider>, Blocked> {
    let credentials = &token.spec.credentials;
    let own = credentials.secret_ref.is_some() || credentials.workload_identity.is_some();
    let reference = match &credentials.provider_ref {
        None => return Ok(None),
        Some(reference) if !own => reference,
        Some(_) => return Err(invalid(ONE_CREDENTIAL)),
    };
    let selected = |provider: &&ClusterRealtimeProvider| selects(provider, context.namespace_labels);
    let provider = context.provider.filter(selected).ok_or_else(|| {
        let namespace = token.namespace().unwrap_or_default();
        Blocked::new(
            Reason::ProviderNotFound,
            format!(
                "namespace {namespace} has no ClusterRealtimeProvider {}: there is none, or its namespaceSelector does not \
                 select the namespace; ask the platform team",
                reference.name
            ),
        )
    })?;
    Ok(Some(provider))
}

/// The adapter of a spec's provider block, valid or not, for what the status says of it.
pub(crate) fn provider_of(spec: &RealtimeTokenSpec) -> Option<&dyn Provider> {
    Block::first(&spec.blocks)
}

pub fn block_of(spec: &RealtimeTokenSpec) -> Result<Block, Blocked> {
    Block::only(&spec.blocks).ok_or_else(|| invalid(one_block_message()))
}

pub fn expiration(spec: &RealtimeTokenSpec, block: &Block, policy: Option<&Policy>) -> Result<SignedDuration, Blocked> {
    let maximum = policy.and_then(|policy| policy.max_expiration_seconds);
    let not_allowed = |message: String| Blocked::new(Reason::ExpirationNotAllowed, message);
    let name = block.provider().name();
    let further = block.provider().further_seconds();
    let within = |seconds: i64| match maximum {
        Some(maximum) if seconds > maximum => Err(not_allowed(format!(
            "expirationSeconds {seconds} exceeds the ClusterRealtimeProvider's \
             policy.maxExpirationSeconds {maximum}; ask for less"
        ))),
        Some(maximum) if seconds.saturating_add(further) > maximum => Err(not_allowed(format!(
            "a session that starts after expirationSeconds, {seconds}, goes on for {field}.sessionSeconds, {further}: together \
             they exceed the ClusterRealtimeProvider's policy.maxExpirationSeconds {maximum}; set both, to less",
            field = block.field()
        ))),
        _ => Ok(SignedDuration::from_secs(seconds)),
    };
    match (block.provider().lifetime(), spec.expiration_seconds) {
        (Lifetime::Chosen(Limits { min, max, .. }), asked) => {
            let default = maximum.map_or(DEFAULT_EXPIRATION, |m| m.min(DEFAULT_EXPIRATION));
            within(asked.unwrap_or(default.min(max).max(min)))
        }
        (Lifetime::Offered(_), Some(asked)) => within(asked),
        // Where the policy has a maximum, the provider's own choice might exceed it.
        (Lifetime::Offered(limits), None) => Ok(maximum.map_or(SignedDuration::ZERO, |maximum| {
            SignedDuration::from_secs(maximum.min(limits.max))
        })),
        // The block lacks the fields that decide; `validate` names them.
        (Lifetime::InBlock, asked) => Ok(SignedDuration::from_secs(asked.unwrap_or_default())),
        (_, Some(_)) => Err(invalid(format!(
            "expirationSeconds: {name} fixes the lifetime of its tokens; remove the field"
        ))),
        (Lifetime::Fixed(seconds), None) => match maximum {
            Some(maximum) if seconds > maximum => Err(not_allowed(format!(
                "a token of {name} lives {seconds} s, more than the ClusterRealtimeProvider's \
                 policy.maxExpirationSeconds {maximum}"
            ))),
            _ => Ok(SignedDuration::from_secs(seconds)),
        },
        (Lifetime::Stated, None) => match maximum {
            Some(maximum) => Err(not_allowed(format!(
                "{name} decides how long such a token lives, so the ClusterRealtimeProvider's \
                 policy.maxExpirationSeconds {maximum} can't be kept"
            ))),
            None => Ok(SignedDuration::ZERO),
        },
    }
}

/// Whether a namespace with these labels may use it. One that may not is told the same as if there were none, so that
/// tenants can't find out what others use.
fn selects(provider: &ClusterRealtimeProvider, labels: &BTreeMap<String, String>) -> bool {
    let selector = provider.spec.namespace_selector.clone();
    // One that can't be read selects no namespace; the provider's own status says so.
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.is_some_and(|selector| selector.matches(labels))
}

fn adopt_account(block: &mut Block, provider: &ClusterRealtimeProvider) -> Result<(), Blocked> {
    let name = provider.name_any();
    let field = block.field();
    block.adopt(&provider.spec.accounts).map_err(|mismatch| {
        invalid(match mismatch {
            AccountMismatch::Other => format!("ClusterRealtimeProvider {name} is not an account of {field}"),
            AccountMismatch::Own => format!(
                "{field}: region, account and endpoint come from ClusterRealtimeProvider {name}; remove them here"
            ),
        })
    })
}

fn invalid(message: impl Into<String>) -> Blocked {
    Blocked::new(Reason::InvalidSpec, message)
}

#[cfg(test)]
mod tests;
