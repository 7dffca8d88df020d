//! Access tokens of ServiceAccounts: kept until shortly before their end, and exchanged once for all mints that wait.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use secrecy::SecretString;

use crate::clock::now;
use crate::cluster::service_account;
use crate::mint::exchange::AccessTokens as Cache;
use crate::mint::{AccessToken, Minter};
use crate::resolve::Identity;
use crate::token::MintError;

pub(crate) struct AccessTokens {
    client: Client,
    providers: Arc<dyn Minter>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cache: Cache<Identity>,
    /// Exchanges under way. Each is driven by whoever waits for it.
    flights: HashMap<Identity, Flight>,
}

type Flight = Shared<BoxFuture<'static, Result<AccessToken, MintError>>>;

impl AccessTokens {
    pub(super) fn new(client: Client, providers: Arc<dyn Minter>) -> Self {
        Self {
            client,
            providers,
            state: Mutex::default(),
        }
    }

    /// The access token of an identity, and whether it is from an earlier exchange.
    pub(super) async fn get(&self, identity: &Identity) -> Result<(SecretString, bool), MintError> {
        let flight = {
            let mut state = self.state.lock();
            if let Some(token) = state.cache.get(identity, now()) {
                return Ok((token.value.clone(), true));
            }
            let flights = &mut state.flights;
            let flight = flights
                .entry(identity.clone())
                .or_insert_with(|| self.exchange(identity));
            flight.clone()
        };
        let result = flight.clone().await;
        let mut state = self.state.lock();
        let landed = |it: &Flight| it.ptr_eq(&flight);
        if state.flights.get(identity).is_some_and(landed) {
            state.flights.remove(identity);
            if let Ok(token) = &result {
                state.cache.insert(identity.clone(), token.clone(), now());
            }
        }
        result.map(|token| (token.value, false))
    }

    /// Drops a token that the provider refused.
    pub(super) fn remove(&self, identity: &Identity, refused: &SecretString) {
        self.state.lock().cache.remove(identity, refused);
    }

    /// Drops tokens that are no longer used. To be called every few seconds.
    pub(super) fn tidy(&self, now: Timestamp) {
        self.state.lock().cache.tidy(now);
    }

    fn exchange(&self, identity: &Identity) -> Flight {
        let (client, providers, identity) = (self.client.clone(), Arc::clone(&self.providers), identity.clone());
        let exchange = async move {
            let subject = service_account::request_token(&client, &identity).await?;
            providers.exchange(&identity.exchange, &subject, now()).await
        };
        // A panic would break the flight for every mint that comes after.
        let guarded = AssertUnwindSafe(exchange).catch_unwind().map(|result| {
            result.unwrap_or_else(|_| {
                tracing::error!("an exchange panicked; this is a bug of the operator");
                Err(MintError::unavailable("the exchange panicked; see the operator's log"))
            })
        });
        guarded.boxed().shared()
    }
}
