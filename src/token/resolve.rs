//! Spec + provider object + policy -> what to ask of whom with which key, or why not.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use super::{Blocked, fingerprint, template};
use crate::api::{
    ClusterRealtimeProvider, ElevenLabsAccount, OpenAiAccount, Policy, RateLimit, RealtimeToken,
    RealtimeTokenSpec, Reason, SecretKeyRef,
};
use crate::providers::{Ask, Block, EndpointPolicy, Life, Provider};

/// The life to ask for where the provider lets us choose and the spec doesn't.
const DEFAULT_EXPIRATION: i64 = 1800;

/// What can't be read from the RealtimeToken itself.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The ClusterRealtimeProvider that `credentials.providerRef` names, if it exists.
    pub provider: Option<&'a ClusterRealtimeProvider>,
    /// The labels of the RealtimeToken's namespace.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// Where ClusterRealtimeProviders' keys live.
    pub operator_namespace: &'a str,
    /// The endpoints that may be called.
    pub endpoints: &'a EndpointPolicy,
}

/// What to ask of whom, and with which key.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The request.
    pub ask: Ask,
    /// The key.
    pub key: KeyRef,
    /// Hash of what makes the token.
    pub fingerprint: String,
    /// The budget of the ClusterRealtimeProvider.
    pub rate_limit: Option<RateLimit>,
}

/// A key of a Secret in a namespace. Two RealtimeTokens with equal ones share a budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyRef {
    /// The namespace: the RealtimeToken's own, or the operator's.
    pub namespace: String,
    /// The Secret.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

impl KeyRef {
    /// The key that a ClusterRealtimeProvider names, in the operator's own namespace.
    #[must_use]
    pub fn new(namespace: &str, secret: &SecretKeyRef) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: secret.name.clone(),
            key: secret.key.clone(),
        }
    }
}

impl std::fmt::Display for KeyRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "key {} of Secret {}/{}",
            self.key, self.namespace, self.name
        )
    }
}

/// Resolves a RealtimeToken.
///
/// # Errors
/// What stands in the way: a condition's reason and message.
pub fn resolve(token: &RealtimeToken, around: &Surroundings<'_>) -> Result<Resolved, Blocked> {
    let spec = &token.spec;
    let mut block = block_of(spec)?;
    let (key, policy, rate_limit) = match (
        &spec.credentials.secret_ref,
        &spec.credentials.provider_ref,
    ) {
        (Some(secret), None) => (
            KeyRef::new(&token.namespace().unwrap_or_default(), secret),
            None,
            None,
        ),
        (None, Some(reference)) => {
            let provider = around.provider.ok_or_else(|| {
                Blocked::new(
                    Reason::ProviderNotFound,
                    format!(
                        "there is no ClusterRealtimeProvider {}; see `kubectl get clusterrealtimeproviders`",
                        reference.name
                    ),
                )
            })?;
            admit_namespace(token, provider, around)?;
            adopt_account(&mut block, provider)?;
            let key = KeyRef::new(
                around.operator_namespace,
                &provider.spec.credentials.secret_ref,
            );
            (key, provider.spec.policy.as_ref(), provider.spec.rate_limit)
        }
        _ => {
            return Err(invalid(
                "set exactly one of credentials.secretRef and credentials.providerRef",
            ));
        }
    };
    let expiration = expiration(spec, &block, policy)?;
    if let Some(allowed) = policy.and_then(|policy| policy.allowed_models.as_ref()) {
        admit_model(block.provider().model(), allowed)?;
    }
    let adapter = block.provider();
    adapter
        .validate()
        .map_err(|problem| invalid(problem.to_string()))?;
    around
        .endpoints
        .check(&adapter.endpoint())
        .map_err(|problem| Blocked::new(Reason::EndpointNotAllowed, problem.to_string()))?;
    let none = BTreeMap::new();
    let templates = spec
        .target
        .template
        .as_ref()
        .map_or(&none, |template| &template.data);
    template::check(templates, adapter).map_err(|problem| invalid(problem.to_string()))?;
    let ask = Ask { block, expiration };
    let fingerprint = fingerprint::of_ask(&ask, templates);
    Ok(Resolved {
        ask,
        key,
        fingerprint,
        rate_limit,
    })
}

/// The adapter of a spec's provider block, valid or not, for what the status says of it.
#[must_use]
pub fn provider_of(spec: &RealtimeTokenSpec) -> Option<&dyn Provider> {
    let openai = spec.openai.as_ref().map(|block| block as &dyn Provider);
    openai.or_else(|| spec.elevenlabs.as_ref().map(|block| block as &dyn Provider))
}

/// The one provider block of a spec.
///
/// # Errors
/// None or several, which the CRD refuses and `mint` has to.
pub fn block_of(spec: &RealtimeTokenSpec) -> Result<Block, Blocked> {
    match (&spec.openai, &spec.elevenlabs) {
        (Some(block), None) => Ok(Block::OpenAi(Box::new(block.clone()))),
        (None, Some(block)) => Ok(Block::ElevenLabs(Box::new(block.clone()))),
        _ => Err(invalid(
            "set exactly one provider block: openai or elevenlabs",
        )),
    }
}

/// The life to ask for.
///
/// # Errors
/// The policy's maximum would be exceeded, or the field is set where the provider fixes the life.
pub fn expiration(
    spec: &RealtimeTokenSpec,
    block: &Block,
    policy: Option<&Policy>,
) -> Result<SignedDuration, Blocked> {
    let maximum = policy.and_then(|policy| policy.max_expiration_seconds);
    let not_allowed = |message: String| Blocked::new(Reason::ExpirationNotAllowed, message);
    let name = block.provider().name();
    match (block.provider().life(), spec.expiration_seconds) {
        (Life::Chosen { .. }, asked) => {
            let seconds = asked.unwrap_or_else(|| {
                maximum.map_or(DEFAULT_EXPIRATION, |m| m.min(DEFAULT_EXPIRATION))
            });
            match maximum {
                Some(maximum) if seconds > maximum => Err(not_allowed(format!(
                    "expirationSeconds {seconds} exceeds the ClusterRealtimeProvider's \
                     policy.maxExpirationSeconds {maximum}; ask for less"
                ))),
                _ => Ok(SignedDuration::from_secs(seconds)),
            }
        }
        (_, Some(_)) => Err(invalid(format!(
            "expirationSeconds: {name} fixes the lifetime of its tokens; remove the field"
        ))),
        (Life::Fixed(life), None) => match maximum {
            Some(maximum) if life.as_secs() > maximum => Err(not_allowed(format!(
                "a token of {name} lives {} s, more than the ClusterRealtimeProvider's \
                 policy.maxExpirationSeconds {maximum}",
                life.as_secs()
            ))),
            _ => Ok(life),
        },
        (Life::Stated, None) => match maximum {
            Some(maximum) => Err(not_allowed(format!(
                "{name} decides how long such a token lives, so the ClusterRealtimeProvider's \
                 policy.maxExpirationSeconds {maximum} can't be kept"
            ))),
            None => Ok(SignedDuration::ZERO),
        },
    }
}

fn admit_namespace(
    token: &RealtimeToken,
    provider: &ClusterRealtimeProvider,
    around: &Surroundings<'_>,
) -> Result<(), Blocked> {
    let name = provider.name_any();
    let namespace = token.namespace().unwrap_or_default();
    let denied = |why: String| Blocked::new(Reason::NamespaceNotAllowed, why);
    let Some(selector) = provider.spec.namespace_selector.clone() else {
        return Err(denied(format!(
            "ClusterRealtimeProvider {name} has no namespaceSelector, so no namespace may use it; ask the platform team"
        )));
    };
    let selector = Selector::try_from(selector).map_err(|problem| {
        denied(format!(
            "the namespaceSelector of ClusterRealtimeProvider {name} is wrong: {problem}"
        ))
    })?;
    if selector.matches(around.namespace_labels) {
        return Ok(());
    }
    Err(denied(format!(
        "ClusterRealtimeProvider {name} does not select namespace {namespace}: its labels don't match {selector}; ask \
         the platform team"
    )))
}

fn adopt_account(block: &mut Block, provider: &ClusterRealtimeProvider) -> Result<(), Blocked> {
    let name = provider.name_any();
    let own = |field: &str| {
        invalid(format!(
            "{field}: region, account and endpoint come from ClusterRealtimeProvider {name}; remove them here"
        ))
    };
    let other = |wanted: &str| {
        invalid(format!(
            "ClusterRealtimeProvider {name} is not an account of {wanted}"
        ))
    };
    match block {
        Block::OpenAi(openai) => {
            let account = provider
                .spec
                .openai
                .as_ref()
                .ok_or_else(|| other("openai"))?;
            if openai.account != OpenAiAccount::default() {
                return Err(own("openai"));
            }
            openai.account = account.clone();
        }
        Block::ElevenLabs(elevenlabs) => {
            let account = provider
                .spec
                .elevenlabs
                .as_ref()
                .ok_or_else(|| other("elevenlabs"))?;
            if elevenlabs.account != ElevenLabsAccount::default() {
                return Err(own("elevenlabs"));
            }
            elevenlabs.account = account.clone();
        }
    }
    Ok(())
}

fn admit_model(model: &str, allowed: &[String]) -> Result<(), Blocked> {
    // `?` is an ordinary character here; a type parameter of WildMatchPattern turns its special meaning off.
    let matches =
        |pattern: &String| wildmatch::WildMatchPattern::<'*', '\0'>::new(pattern).matches(model);
    if allowed.iter().any(matches) {
        return Ok(());
    }
    Err(Blocked::new(
        Reason::ModelNotAllowed,
        format!(
            "{model} is not among the ClusterRealtimeProvider's policy.allowedModels: {}",
            allowed.join(", ")
        ),
    ))
}

fn invalid(message: impl Into<String>) -> Blocked {
    Blocked::new(Reason::InvalidSpec, message)
}

#[cfg(test)]
mod tests;
