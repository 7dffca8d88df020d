//! What is fixed about a provider, stated beside its block. The CEL rules, the adapter, the guarded hosts, the scrubber
//! and the documentation read it.

use jiff::SignedDuration;

use super::FieldUses;

/// What a provider block states about its provider, and what it asks of `spec`. Rules on the block alone stand on its
/// type.
pub trait ProviderBlock {
    /// What never changes about the provider.
    const FACTS: &'static Facts;
    /// What must hold where the block is set, in CEL on `spec`, each with its message. Texts in CEL have single quotes,
    /// messages no double ones.
    const RULES: &'static [(&'static str, &'static str)] = &[];
    /// What must hold where a ClusterRealtimeProvider has the account, likewise.
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[];

    /// How long a token of this block lives: [`Facts::lifetime`], unless the block's fields decide.
    fn lifetime(&self) -> Lifetime {
        Self::FACTS.lifetime
    }

    /// How much longer a token works than it starts sessions, in seconds, where fields of the block say so.
    fn further_seconds(&self) -> i64 {
        0
    }

    /// Puts the subject of a request into the block's field for the end user, in place of what the spec has there. Does
    /// nothing where there is no such field.
    ///
    /// # Errors
    /// What the field takes, if not this subject. Begins with `subject:` and doesn't repeat it.
    fn name_subject(&mut self, _subject: &str) -> Result<(), String> {
        Ok(())
    }
}

/// What a ClusterRealtimeProvider's policy can't be about where tokens are bound to rooms.
pub(super) const OF_ROOMS: (&str, &str) = (
    "!has(self.policy) || !has(self.policy.allowedModels)",
    "policy.allowedModels: tokens of this provider are bound to rooms and not to models; use policy.allowedRooms",
);

/// What never changes about a provider.
#[derive(Debug)]
pub struct Facts {
    /// The name in `token.json`, TanStack AI's where it has an adapter.
    pub name: &'static str,
    /// The name in messages.
    pub title: &'static str,
    /// How long a token lives.
    pub lifetime: Lifetime,
    /// The values from the key Secret, unless they depend on the account.
    pub secret_fields: &'static [SecretField],
    /// The origins that its keys are sent to without being listed; `*` stands for a name of the customer's.
    pub origins: &'static [&'static str],
    /// How its keys and tokens begin, in lower case, so that its error messages can be scrubbed of them.
    pub secret_prefixes: &'static [&'static str],
    /// Whether `model` of TanStack's `config` is what a policy's allowedModels is compared with.
    pub config_has_model: bool,
    /// Whether it says how many sessions a token starts.
    pub documents_reuse: bool,
    /// Whether it answers 400 for a wrong key as well.
    pub wrong_key_is_400: bool,
    /// The exchanges of `credentials.workloadIdentity` whose access tokens it takes in place of a key, by their fields.
    pub exchanges: &'static [&'static str],
    /// What its fields mean to a policy, in one or several lists.
    pub fields: &'static [FieldUses],
    /// Where the subject of a request goes, as the documentation says it. `None`: the provider has no place for it.
    pub subject: Option<&'static str>,
}

impl Facts {
    /// For struct update syntax: a provider states only what differs.
    pub(crate) const DEFAULT: Self = Self {
        name: "",
        title: "",
        lifetime: Lifetime::InBlock,
        secret_fields: &[],
        origins: &[],
        secret_prefixes: &[],
        config_has_model: false,
        documents_reuse: true,
        wrong_key_is_400: false,
        exchanges: &[],
        fields: &[],
        subject: None,
    };
}

/// A value that a provider needs from the key Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretField {
    /// The key in the Secret, unless `secretRef.key` names another.
    pub key: &'static str,
    /// The environment variable from which the provider's own SDK reads it.
    pub env: &'static str,
}

impl SecretField {
    /// The one key that most providers have.
    pub(crate) const fn api_key(env: &'static str) -> Self {
        Self { key: "api-key", env }
    }

    /// A value whose key in the Secret is the name of its environment variable.
    pub(crate) const fn named(name: &'static str) -> Self {
        Self { key: name, env: name }
    }
}

/// What decides how long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// `expirationSeconds`, or a default within the limits.
    Chosen(Limits),
    /// `expirationSeconds` within the limits; left out, the provider decides and its reply says.
    Offered(Limits),
    /// The provider, always so many seconds. `expirationSeconds` is refused.
    Fixed(i64),
    /// The provider, and the token says. `expirationSeconds` is refused.
    Stated,
    /// Fields of the block, which [`ProviderBlock::lifetime`] reads. CEL leaves `expirationSeconds` to the operator.
    InBlock,
}

/// The shortest and the longest life in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What lives so long, such as "OpenAI client secrets".
    pub of: &'static str,
    /// The shortest life.
    pub min: i64,
    /// The longest life.
    pub max: i64,
}

impl Limits {
    /// Limits in seconds.
    pub(crate) const fn new(of: &'static str, min: i64, max: i64) -> Self {
        Self { of, min, max }
    }
}

impl Lifetime {
    /// Why the provider would refuse this life, if it would. CEL refuses the same at admission.
    ///
    /// # Errors
    /// The limits.
    pub fn admit(self, expiration: SignedDuration) -> Result<(), String> {
        let seconds = expiration.as_secs();
        match self {
            Self::Offered(_) if expiration.is_zero() => Ok(()),
            Self::Chosen(Limits { min, max, .. }) | Self::Offered(Limits { min, max, .. })
                if !(min..=max).contains(&seconds) =>
            {
                Err(format!(
                    "expirationSeconds: {seconds} is outside of what the provider grants, {min} to {max} seconds"
                ))
            }
            _ => Ok(()),
        }
    }

    /// The rule on `expirationSeconds` in CEL, with its message.
    pub(super) fn rule(self, title: &str) -> Option<(String, String)> {
        match self {
            Self::Chosen(limits) | Self::Offered(limits) => {
                let Limits { of, min, max } = limits;
                Some((
                    format!("[self.?expirationSeconds.orValue({min})].all(s, s >= {min} && s <= {max})"),
                    format!("expirationSeconds: {of} live {min} to {max} seconds"),
                ))
            }
            Self::Fixed(_) | Self::Stated => Some((
                "!has(self.expirationSeconds)".to_owned(),
                format!("expirationSeconds: {title} fixes the lifetime of its tokens; remove the field"),
            )),
            Self::InBlock => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_outside_of_the_limits_are_refused() {
        let secs = SignedDuration::from_secs;
        let limits = Limits::new("tokens", 10, 7200);
        for lifetime in [Lifetime::Chosen(limits), Lifetime::Offered(limits)] {
            for inside in [10, 1800, 7200] {
                assert_eq!(lifetime.admit(secs(inside)), Ok(()));
            }
            for outside in [i64::MIN, -1, 9, 7201, i64::MAX] {
                assert!(lifetime.admit(secs(outside)).unwrap_err().contains("10 to 7200"));
            }
        }
        assert!(Lifetime::Chosen(limits).admit(secs(0)).is_err());
        assert_eq!(Lifetime::Offered(limits).admit(secs(0)), Ok(()), "the provider decides");
        assert_eq!(Lifetime::Stated.admit(secs(0)), Ok(()));
    }
}
