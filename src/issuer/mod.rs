//! Asks a provider for a token with the credential that a spec names. The controller and the requests share it, one for
//! each process, so that a credential has one budget and one access token.
//!
//! It knows no RealtimeToken but by name: what to ask comes resolved, by [`Resolver`].

mod access_tokens;
mod ask;
mod credential;
mod for_secret;
mod in_flight;
mod issue;
mod keys;
mod resolver;
mod terminating;

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;

use self::access_tokens::AccessTokens;
pub(crate) use self::ask::{MintedWith, NotMinted};
pub(crate) use self::for_secret::AdmittedMint;
use self::in_flight::InFlight;
pub(crate) use self::issue::NotIssued;
use self::keys::Keys;
pub(crate) use self::keys::LocalKeys;
pub(crate) use self::resolver::{Resolver, Writers};
use crate::api::RealtimeTokenSpec;
pub(crate) use crate::budget::Claim;
use crate::budget::{Budgets, TokenName};
use crate::clock::now;
use crate::cluster::credentials::Credentials;
use crate::cluster::{Name, Scope};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::mint::Minter;
use crate::resolve::{CredentialRef, Resolved};
use crate::token::report::provider::CredentialHealth;

/// Mints in flight with a key of this machine.
const MINTS_WITH_LOCAL_KEY: usize = 16;

pub struct Issuer {
    pub(crate) budgets: Arc<Budgets<CredentialRef, Name>>,
    keys: Keys,
    providers: Arc<dyn Minter>,
    /// Apart, so that who asks for many delays no Secret.
    for_secrets: InFlight,
    for_requests: InFlight,
    metrics: Arc<Metrics>,
}

pub struct Options {
    pub client: Client,
    pub providers: Arc<dyn Minter>,
    /// Mints in flight for each credential.
    pub mints_per_credential: u16,
    pub scope: Scope,
    /// Where ClusterRealtimeProviders' keys live.
    pub operator_namespace: String,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

impl Issuer {
    pub fn new(options: Options) -> Self {
        let Options {
            client,
            providers,
            mints_per_credential,
            scope,
            operator_namespace,
            health,
            metrics,
        } = options;
        let keys = Keys::OfCluster {
            credentials: Credentials::new(client.clone(), &scope, &operator_namespace, health),
            access_tokens: AccessTokens::new(client, Arc::clone(&providers)),
        };
        Self::with_keys(keys, providers, usize::from(mints_per_credential), metrics)
    }

    /// Asks with keys that lie on this machine, without a cluster.
    pub(crate) fn local(keys: Arc<dyn LocalKeys>, providers: Arc<dyn Minter>, metrics: Arc<Metrics>) -> Self {
        Self::with_keys(Keys::Local(keys), providers, MINTS_WITH_LOCAL_KEY, metrics)
    }

    fn with_keys(keys: Keys, providers: Arc<dyn Minter>, concurrency: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            budgets: Arc::new(Budgets::new(concurrency)),
            keys,
            providers,
            for_secrets: InFlight::new(concurrency),
            for_requests: InFlight::new(concurrency),
            metrics,
        }
    }

    /// Takes in the ClusterRealtimeProviders' rates. To be called whenever these change.
    pub(crate) fn follow_rate_limits(&self, resolver: &Resolver) {
        self.budgets.set_limits(resolver.rate_limits(), now());
    }

    /// What is known of the credential, where tokens are handed out on request.
    pub(crate) fn health(
        &self,
        spec: &RealtimeTokenSpec,
        resolved: Option<&Resolved>,
        now: Timestamp,
    ) -> Option<CredentialHealth> {
        spec.requests.as_ref()?;
        Some(self.budgets.health(&resolved?.credential, now))
    }

    /// Drops keys and access tokens that are no longer used, and what is known of credentials that rest. To be called every
    /// few seconds, by the controller or, where it doesn't run, by what serves requests.
    pub(crate) fn tidy(&self, now: Timestamp) {
        self.keys.tidy(now);
        self.for_secrets.tidy();
        self.for_requests.tidy();
        self.budgets.sweep(now);
    }
}

impl TokenName for Name {
    fn namespace(&self) -> &str {
        &self.namespace
    }
}

#[cfg(test)]
mod tests;
