//! What a provider is asked with: a key in a Secret, or the access token that a ServiceAccount's token is exchanged for.

use crate::api::{
    ClusterRealtimeProvider, Exchange, RealtimeToken, Reason, SecretField, SecretKeyRef, WorkloadIdentity,
    exchange_message,
};
use crate::mint::EndpointPolicy;
use crate::providers::{Block, Provider};
use crate::token::{Blocked, hash};

/// A credential by where it comes from. Two RealtimeTokens with equal ones share a budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialRef {
    Key(KeyRef),
    Identity(Identity),
}

/// A key of a Secret in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyRef {
    /// The namespace: the RealtimeToken's own, or the operator's.
    pub namespace: String,
    pub name: String,
    pub key: String,
}

/// A ServiceAccount, and what its token is exchanged for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The namespace: the RealtimeToken's own, or the operator's.
    pub namespace: String,
    pub service_account: String,
    /// The audience of the ServiceAccount's token.
    pub audience: String,
    pub exchange: Exchange,
}

impl CredentialRef {
    /// Where it lies: in the RealtimeToken's namespace, or in the operator's.
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Key(key) => &key.namespace,
            Self::Identity(identity) => &identity.namespace,
        }
    }

    /// The credential that a spec names; `None` if it names none or several.
    pub(super) fn new(
        namespace: &str,
        secret: Option<&SecretKeyRef>,
        identity: Option<&WorkloadIdentity>,
        secret_fields: &[SecretField],
    ) -> Option<Self> {
        match (secret, identity) {
            (Some(secret), None) => Some(Self::Key(KeyRef::new(namespace, secret, secret_fields))),
            (None, Some(identity)) => Identity::new(namespace, identity).map(Self::Identity),
            _ => None,
        }
    }

    /// The credential of a RealtimeToken: that of the ClusterRealtimeProvider that it names, or else its own.
    pub(super) fn of_token(
        token: &RealtimeToken,
        adapter: &dyn Provider,
        provider: Option<&ClusterRealtimeProvider>,
        operator_namespace: &str,
    ) -> Option<Self> {
        let namespace = token.metadata.namespace.as_deref().unwrap_or_default();
        let own = &token.spec.credentials;
        let (namespace, secret, identity) = match provider {
            Some(provider) => {
                let platform = &provider.spec.credentials;
                (operator_namespace, &platform.secret_ref, &platform.workload_identity)
            }
            None => (namespace, &own.secret_ref, &own.workload_identity),
        };
        Self::new(namespace, secret.as_ref(), identity.as_deref(), adapter.secret_fields())
    }

    /// The credential of a ClusterRealtimeProvider.
    pub(crate) fn of_provider(operator_namespace: &str, provider: &ClusterRealtimeProvider) -> Option<Self> {
        let credentials = &provider.spec.credentials;
        Self::new(
            operator_namespace,
            credentials.secret_ref.as_ref(),
            credentials.workload_identity.as_deref(),
            Block::account_secret_fields(&provider.spec.accounts),
        )
    }

    /// What there is of it before the first mint, for the status of a ClusterRealtimeProvider.
    pub(crate) fn found(&self) -> String {
        match self {
            Self::Key(_) => format!("found the {self}"),
            Self::Identity(identity) => format!(
                "access tokens are to come from ServiceAccount {}/{}",
                identity.namespace, identity.service_account
            ),
        }
    }
}

impl std::fmt::Display for CredentialRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {} of Secret {}/{}", key.key, key.namespace, key.name),
            Self::Identity(identity) => write!(
                f,
                "access token of ServiceAccount {}/{}",
                identity.namespace, identity.service_account
            ),
        }
    }
}

impl KeyRef {
    /// The key that a reference names, or else the one of the provider's first field.
    fn new(namespace: &str, secret: &SecretKeyRef, secret_fields: &[SecretField]) -> Self {
        let key = || secret_fields.first().map_or("api-key", |field| field.key).to_owned();
        Self {
            namespace: namespace.to_owned(),
            name: secret.name.clone(),
            key: secret.key.clone().unwrap_or_else(key),
        }
    }
}

impl Identity {
    fn new(namespace: &str, identity: &WorkloadIdentity) -> Option<Self> {
        let exchange = identity.exchange()?;
        Some(Self {
            namespace: namespace.to_owned(),
            service_account: identity.service_account_name.clone(),
            audience: identity.audience.clone().unwrap_or_else(|| exchange.usual_audience()),
            exchange,
        })
    }

    /// The subject of the ServiceAccount's token.
    pub(crate) fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }

    /// What stands for the key's revision: another identity is another credential, another access token of it isn't.
    pub(crate) fn revision(&self) -> String {
        let makes = (&self.namespace, &self.service_account, &self.audience, &self.exchange);
        // Strings only: serde_json can't fail on them.
        hash::short(&serde_json::to_vec(&makes).unwrap_or_default())
    }

    /// Whether the provider takes its access tokens, and whether the ServiceAccount's token may be sent to the exchange.
    pub(super) fn check(&self, provider: &dyn Provider, endpoints: &EndpointPolicy) -> Result<(), Blocked> {
        let invalid = |message: String| Blocked::new(Reason::InvalidSpec, message);
        if !provider.facts().exchanges.contains(&self.exchange.field()) {
            return Err(invalid(exchange_message()));
        }
        if let Some(problem) = provider.no_access_token() {
            return Err(invalid(problem.to_owned()));
        }
        if let Some(origin) = self.exchange.custom_origin() {
            endpoints
                .check_service(origin, false)
                .map_err(|problem| Blocked::new(Reason::EndpointNotAllowed, problem.to_string()))?;
        }
        Ok(())
    }
}
