//! A strict stand-in for the providers: one loopback HTTP server that mints fake tokens.
//!
//! It refuses what the real services are documented to refuse, and everything it has never heard of,
//! naming the culprit. A request that passes here is one the official SDKs would have sent.
//! It is a test double: it keeps keys and tokens in the clear and is never shipped.
//!
//! The server has a thread and a tokio runtime of its own, so it works from any `#[tokio::test]`,
//! whether that test's time is paused or not.

mod answer;
mod asked;
mod elevenlabs;
mod exchange;
mod face;
mod faults;
mod known;
mod mint;
mod openai;
mod record;
mod recorded;
mod server;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub use faults::{Fault, Scope};
pub use record::{Call, Mint, Recording};

use server::Desk;

/// The providers that can be stood in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OpenAI Realtime client secrets.
    OpenAi,
    /// ElevenLabs signed URLs, conversation tokens and single-use tokens.
    ElevenLabs,
    /// A provider played from its recording, by its field in the spec. It has a port of its own:
    /// [`StandIn::origin`].
    Recorded(&'static str),
}

impl Provider {
    /// The providers that share the first port.
    pub const ALL: [Self; 2] = [Self::OpenAi, Self::ElevenLabs];

    fn face(self) -> Option<&'static face::Face> {
        match self {
            Self::OpenAi => Some(&openai::FACE),
            Self::ElevenLabs => Some(&elevenlabs::FACE),
            Self::Recorded(_) => None,
        }
    }
}

/// Called once per call, as soon as its answer is decided. It must not ask the stand-in anything.
pub type Observer = Box<dyn Fn(&Call) + Send + Sync>;

/// How to start a [`StandIn`].
pub struct Options {
    /// Where to listen. By default a port of 127.0.0.1 that stays free for a successor while nobody listens.
    pub addr: Option<SocketAddr>,
    /// Fixes the random part of the tokens. Random by default, so that a restarted stand-in
    /// does not repeat the tokens of its predecessor.
    pub seed: u64,
    /// Sees every call, for a log.
    pub observer: Option<Observer>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: None,
            seed: RandomState::new().build_hasher().finish(),
            observer: None,
        }
    }
}

/// A running stand-in. Clones are handles to the same server, which ends with [`StandIn::stop`]
/// or when the last handle is dropped.
#[derive(Clone)]
pub struct StandIn {
    desk: Arc<Mutex<Desk>>,
    count: watch::Receiver<usize>,
    server: Arc<Server>,
}

/// The thread behind the handles.
struct Server {
    addr: SocketAddr,
    /// The ports of the recorded providers.
    origins: HashMap<&'static str, SocketAddr>,
    runtime: Handle,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl StandIn {
    /// Starts listening; requests are served from the moment this returns.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let addr = match options.addr {
            Some(addr) => addr,
            None => crate::ports::free()?,
        };
        let listener =
            std::net::TcpListener::bind(addr).with_context(|| format!("the stand-in cannot listen on {addr}"))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let listener = {
            let _entered = handle.enter();
            tokio::net::TcpListener::from_std(listener)?
        };

        let mut origins = HashMap::new();
        let mut listeners = vec![(listener, None)];
        let mut keys = Vec::new();
        for recorded in recorded::all()? {
            let listener = std::net::TcpListener::bind((addr.ip(), 0))?;
            listener.set_nonblocking(true)?;
            origins.insert(recorded.field, listener.local_addr()?);
            keys.push((Provider::Recorded(recorded.field), recorded.play.key.clone()));
            let listener = {
                let _entered = handle.enter();
                tokio::net::TcpListener::from_std(listener)?
            };
            listeners.push((listener, Some(Arc::new(recorded))));
        }

        let exchange = std::net::TcpListener::bind((addr.ip(), 0))?;
        exchange.set_nonblocking(true)?;
        origins.insert("exchange", exchange.local_addr()?);
        let exchange = {
            let _entered = handle.enter();
            tokio::net::TcpListener::from_std(exchange)?
        };

        let mut desk = Desk::new(options.seed, options.observer);
        for (provider, key) in keys {
            desk.keys.insert(provider, HashSet::from([key]));
        }
        let count = desk.ledger.count_watch();
        let desk = Arc::new(Mutex::new(desk));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("stand-in".to_owned()).spawn({
            let desk = Arc::clone(&desk);
            move || runtime.block_on(server::serve(listeners, exchange, desk, stopped))
        })?;

        Ok(Self {
            desk,
            count,
            server: Arc::new(Server {
                addr,
                origins,
                runtime: handle,
                running: Mutex::new(Some((stop, thread))),
            }),
        })
    }

    /// The base URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// The base URL at which a provider is played, by its field in the spec.
    pub fn origin(&self, field: &str) -> String {
        let own = self.server.origins.get(field);
        format!("http://{}", own.unwrap_or(&self.server.addr))
    }

    /// Every base URL, for `--allow-endpoint`.
    pub fn origins(&self) -> Vec<String> {
        let own = self.server.origins.values().map(|addr| format!("http://{addr}"));
        std::iter::once(self.url()).chain(own).collect()
    }

    /// The address it listens on; start another stand-in here to play a provider that comes back.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// Ends the server, cutting the calls in flight. The port is free when this returns.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Replaces the API keys a provider accepts (at first `sk-test-fake` and `xi-fake`).
    pub fn accept_keys<K: Into<String>>(&self, provider: Provider, keys: impl IntoIterator<Item = K>) {
        let keys = keys.into_iter().map(Into::into).collect();
        self.desk().keys.insert(provider, keys);
    }

    /// Has the token exchanges, at [`origin`](Self::origin)`("exchange")`, trust the tokens of these ServiceAccounts if
    /// they are of this issuer and signed with one of these keys.
    pub fn trust<S: Into<String>>(&self, issuer: &str, jwks: Value, subjects: impl IntoIterator<Item = S>) {
        let exchange = &mut self.desk().exchange;
        exchange.issuer = issuer.to_owned();
        exchange.jwks = jwks;
        exchange.subjects = subjects.into_iter().map(Into::into).collect();
    }

    /// How many exchanges a subject was granted.
    pub fn exchanges(&self, subject: &str) -> usize {
        self.desk().exchange.granted.get(subject).copied().unwrap_or_default()
    }

    /// The ServiceAccounts' tokens that were presented to the exchanges, and the access tokens that they have issued.
    pub fn exchanged(&self) -> Vec<String> {
        let exchange = &self.desk().exchange;
        [exchange.presented.clone(), exchange.issued.clone()].concat()
    }

    /// Has OpenAI refuse the access tokens that were issued so far.
    pub fn revoke_access_tokens(&self) {
        let mut desk = self.desk();
        let issued: HashSet<String> = desk.exchange.issued.iter().cloned().collect();
        if let Some(keys) = desk.keys.get_mut(&Provider::OpenAi) {
            keys.retain(|key| !issued.contains(key));
        }
    }

    /// Grants every token of a provider this many seconds, whatever was asked for;
    /// `None` returns to the provider's own rule.
    pub fn set_life(&self, provider: Provider, seconds: Option<u32>) {
        let mut desk = self.desk();
        match seconds {
            Some(seconds) => desk.lives.insert(provider, i64::from(seconds)),
            None => desk.lives.remove(&provider),
        };
    }

    /// Sets the stand-in's clock this many seconds ahead (or behind): `Date` and expiries shift together.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.desk().skew = jiff::SignedDuration::from_secs(seconds);
    }

    /// Delays every answer.
    pub fn set_latency(&self, latency: Duration) {
        self.desk().latency = latency;
    }

    /// Chooses the host of signed URLs, at first `api.elevenlabs.io`.
    pub fn set_signed_url_host(&self, host: impl Into<String>) {
        self.desk().signed_url_host = host.into();
    }

    /// Chooses how much of each call is kept.
    pub fn set_recording(&self, recording: Recording) {
        self.desk().ledger.recording = recording;
    }

    /// Applies the fault to the next `n` calls. Counted faults come in the order they were given
    /// and before any lasting one.
    pub fn fail_next(&self, n: usize, fault: Fault) {
        self.fail_next_for(Scope::Any, n, fault);
    }

    /// As [`fail_next`](Self::fail_next), for the calls in scope.
    pub fn fail_next_for(&self, scope: impl Into<Scope>, n: usize, fault: Fault) {
        self.desk().faults.add(scope.into(), Some(n), fault);
    }

    /// Applies the fault to every call until [`heal`](Self::heal); the latest such fault wins.
    pub fn fail_always(&self, fault: Fault) {
        self.fail_always_for(Scope::Any, fault);
    }

    /// As [`fail_always`](Self::fail_always), for the calls in scope.
    pub fn fail_always_for(&self, scope: impl Into<Scope>, fault: Fault) {
        self.desk().faults.add(scope.into(), None, fault);
    }

    /// Forgets every fault. Calls already left hanging stay so.
    pub fn heal(&self) {
        self.desk().faults.clear();
    }

    /// Forgets the faults given for exactly this scope.
    pub fn heal_for(&self, scope: impl Into<Scope>) {
        self.desk().faults.clear_for(&scope.into());
    }

    /// The calls recorded in full, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.desk().ledger.calls.clone()
    }

    /// The recorded calls that presented this API key.
    pub fn calls_with_key(&self, key: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.api_key.as_deref() == Some(key));
        calls
    }

    /// How many calls came in, whatever the recording.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Every token handed out while recording in full, oldest first.
    pub fn issued(&self) -> Vec<String> {
        self.desk().ledger.issued()
    }

    /// The mints that succeeded, by identity: the OpenAI safety identifier or the ElevenLabs agent id,
    /// empty where a call had neither. Kept in either recording.
    pub fn mints(&self) -> HashMap<String, Vec<Mint>> {
        self.desk().ledger.mints.clone()
    }

    /// What was wrong with the calls that broke the provider's rules, even those that a fault answered.
    /// Kept in either recording.
    pub fn complaints(&self) -> Vec<String> {
        self.desk().ledger.complaints.clone()
    }

    /// Uses a token as a client would. Refuses one that is unknown, expired, or single-use and used before.
    pub fn redeem(&self, token: &str) -> Result<(), String> {
        let mut desk = self.desk();
        let now = desk.now();
        desk.ledger.redeem(token, now)
    }

    /// Forgets the calls, tokens and counts, but neither the faults nor the settings.
    pub fn clear(&self) {
        self.desk().ledger.clear();
    }

    /// Waits until at least `n` calls have come in since the start or the last [`clear`](Self::clear).
    /// The timeout runs on the stand-in's clock, so that a test's paused time does not cut it short.
    pub async fn wait_for_calls(&self, n: usize, timeout: Duration) -> anyhow::Result<()> {
        let mut count = self.count.clone();
        self.server
            .runtime
            .spawn(async move {
                let waited = tokio::time::timeout(timeout, count.wait_for(|seen| *seen >= n)).await;
                waited.is_ok_and(|arrived| arrived.is_ok())
            })
            .await
            .context("the stand-in stopped while a test waited for its calls")?
            .then_some(())
            .with_context(|| {
                let seen = self.count();
                format!("the stand-in saw {seen} of {n} expected calls within {timeout:?}")
            })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

impl Server {
    fn stop(&self) {
        let running = lock(&self.running).take();
        if let Some((stop, thread)) = running {
            // Both fail only if the thread is gone already.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A test that panicked while it held the lock has failed anyway; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
