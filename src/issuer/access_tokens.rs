//! Access tokens of ServiceAccounts: kept until shortly before their end, and exchanged once for all mints that wait.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

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

/// Longer than a request for a ServiceAccount's token and two of a cloud usually take.
const TIMEOUT: Duration = Duration::from_secs(40);

pub(crate) struct AccessTokens {
    client: Client,
    providers: Arc<dyn Minter>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cache: Cache<Identity>,
    under_way: HashMap<Identity, Exchange>,
}

type Exchange = Shared<BoxFuture<'static, Result<AccessToken, MintError>>>;

impl AccessTokens {
    pub(super) fn new(client: Client, providers: Arc<dyn Minter>) -> Self {
        Self {
            client,
            providers,
            state: Arc::default(),
        }
    }

    /// The access token of an identity, and whether it is from an earlier exchange.
    pub(super) async fn get(&self, identity: &Identity) -> Result<(SecretString, bool), MintError> {
        let exchange = {
            let mut state = self.state.lock();
            if let Some(token) = state.cache.get(identity, now()) {
                return Ok((token.value.clone(), true));
            }
            let under_way = &mut state.under_way;
            let exchange = under_way
                .entry(identity.clone())
                .or_insert_with(|| self.exchange(identity));
            exchange.clone()
        };
        exchange.await.map(|token| (token.value, false))
    }

    /// Drops a token that the provider refused.
    pub(super) fn remove(&self, identity: &Identity, refused: &SecretString) {
        self.state.lock().cache.remove(identity, refused);
    }

    /// Drops tokens that are no longer used. To be called every few seconds.
    pub(super) fn tidy(&self, now: Timestamp) {
        self.state.lock().cache.tidy(now);
    }

    /// A task of its own, so that it comes to its end also if every mint that waits for it is given up.
    fn exchange(&self, identity: &Identity) -> Exchange {
        let (client, providers, state) = (
            self.client.clone(),
            Arc::clone(&self.providers),
            Arc::clone(&self.state),
        );
        let identity = identity.clone();
        let exchange = async move {
            let asked = async {
                let subject = service_account::request_token(&client, &identity).await?;
                providers.exchange(&identity.exchange, &subject, now()).await
            };
            let result = AssertUnwindSafe(tokio::time::timeout(TIMEOUT, asked))
                .catch_unwind()
                .await;
            let result = match result {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => {
                    let message = format!("the exchange did not end within {} s", TIMEOUT.as_secs());
                    Err(MintError::unavailable(message))
                }
                Err(_) => {
                    tracing::error!("an exchange panicked; this is a bug of the operator");
                    Err(MintError::internal("the exchange panicked; see the operator's log"))
                }
            };
            let mut state = state.lock();
            state.under_way.remove(&identity);
            if let Ok(token) = &result {
                state.cache.insert(identity, token.clone(), now());
            }
            result
        };
        let task = tokio::spawn(exchange);
        let ended = task.map(|ended| ended.unwrap_or_else(|_| Err(MintError::internal("the operator is stopping"))));
        ended.boxed().shared()
    }
}
