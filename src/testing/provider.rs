//! A provider that answers `token-1`, `token-2` and so on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use crate::api::Exchange;
use crate::mint::{AccessToken, Ask, Credential, Minter, SubjectToken};
use crate::token::{MintError, Minted};

/// How long a mint takes, so that others come in between.
const LATENCY: Duration = Duration::from_millis(10);

/// What becomes of a chosen mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MintFault {
    Unavailable,
    Throttled(Option<SignedDuration>),
    /// The account has no credit left.
    QuotaExhausted,
    /// The request is refused.
    Rejected,
    /// The key is refused.
    KeyRejected,
    /// Never answered.
    Hang,
    Panic,
}

/// A mint that was asked for, whatever became of it.
#[derive(Clone, Debug)]
pub(crate) struct MintCall {
    /// The model, agent or room that was asked for: tests give each RealtimeToken its own.
    pub(crate) subject: String,
    pub(crate) at: Timestamp,
    /// The first value of the key Secret.
    pub(crate) key: String,
    pub(crate) of_caller: bool,
    /// The token, if there was one.
    pub(crate) token: Option<String>,
}

/// All providers in one. Clones are the same.
#[derive(Clone)]
pub(crate) struct FakeProvider(Arc<Mutex<State>>);

struct State {
    life: SignedDuration,
    latency: Duration,
    /// Whether it gives its last token again and again.
    repeats: bool,
    /// Whether its tokens differ by the second only.
    signs: bool,
    calls: Vec<MintCall>,
    tokens: usize,
    planned: BTreeMap<usize, MintFault>,
    always: Option<(Which, MintFault)>,
    /// The subjects of the exchanges that were asked for.
    exchanges: Vec<String>,
    exchange_fault: Option<MintError>,
}

type Which = Box<dyn Fn(&MintCall) -> bool + Send>;

impl FakeProvider {
    /// Its tokens live so long.
    pub(crate) fn new(life: SignedDuration) -> Self {
        Self(Arc::new(Mutex::new(State {
            life,
            latency: LATENCY,
            repeats: false,
            signs: false,
            calls: Vec::new(),
            tokens: 0,
            planned: BTreeMap::new(),
            always: None,
            exchanges: Vec::new(),
            exchange_fault: None,
        })))
    }

    /// Has the n-th mint from now on fail (1 is the next).
    pub(crate) fn fail_nth(&self, nth: usize, fault: MintFault) {
        let mut state = self.0.lock();
        let number = state.calls.len() + nth;
        state.planned.insert(number, fault);
    }

    /// Has every mint fail until [`Self::recover`].
    pub(crate) fn fail(&self, fault: MintFault) {
        self.fail_where(fault, |_| true);
    }

    /// Has every mint of some fail until [`Self::recover`].
    pub(crate) fn fail_where(&self, fault: MintFault, which: impl Fn(&MintCall) -> bool + Send + 'static) {
        self.0.lock().always = Some((Box::new(which), fault));
    }

    /// Has every mint take so long.
    pub(crate) fn slow(&self, latency: Duration) {
        self.0.lock().latency = latency;
    }

    /// Has it give its last token again and again, or no longer.
    pub(crate) fn repeat(&self, repeats: bool) {
        self.0.lock().repeats = repeats;
    }

    /// Has its tokens differ by the second only, as those that are signed do.
    pub(crate) fn sign(&self) {
        self.0.lock().signs = true;
    }

    /// No more faults.
    pub(crate) fn recover(&self) {
        let mut state = self.0.lock();
        state.always = None;
        state.planned.clear();
    }

    pub(crate) fn calls(&self) -> Vec<MintCall> {
        self.0.lock().calls.clone()
    }

    /// How many mints were asked for.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().calls.len()
    }

    /// How many mints were asked for of this model, agent or room.
    pub(crate) fn count_of(&self, subject: &str) -> usize {
        let state = self.0.lock();
        state.calls.iter().filter(|call| call.subject == subject).count()
    }

    /// The subjects of the exchanges that were asked for; the n-th brings the access token `access-n`, for an hour.
    pub(crate) fn exchanges(&self) -> Vec<String> {
        self.0.lock().exchanges.clone()
    }

    /// Has every exchange fail, or none.
    pub(crate) fn fail_exchanges(&self, fault: Option<MintError>) {
        self.0.lock().exchange_fault = fault;
    }

    /// How many tokens were handed out.
    pub(crate) fn tokens(&self) -> usize {
        self.0.lock().tokens
    }

    async fn answer(&self, ask: &Ask, credential: &Credential, now: Timestamp) -> Result<Minted, MintError> {
        let (number, fault) = self.record(ask, credential, now);
        let latency = self.0.lock().latency;
        tokio::time::sleep(latency).await;
        let message = || format!("the fake provider is to fail mint {number}");
        match fault {
            None => Ok(self.minted(number, ask, now)),
            Some(MintFault::Unavailable) => Err(MintError::unavailable(message())),
            Some(MintFault::QuotaExhausted) => Err(MintError::QuotaExhausted { message: message() }),
            Some(MintFault::Throttled(retry_after)) => Err(MintError::Throttled {
                retry_after,
                message: message(),
            }),
            Some(fault @ (MintFault::Rejected | MintFault::KeyRejected)) => Err(MintError::Rejected {
                credential: fault == MintFault::KeyRejected,
                message: message(),
            }),
            Some(MintFault::Hang) => std::future::pending().await,
            Some(MintFault::Panic) => panic!("{}", message()),
        }
    }

    fn record(&self, ask: &Ask, credential: &Credential, at: Timestamp) -> (usize, Option<MintFault>) {
        let mut state = self.0.lock();
        let key = credential.values().next().map(ExposeSecret::expose_secret);
        let call = MintCall {
            subject: ask.block.provider().bound_model().unwrap_or_default().to_owned(),
            at,
            key: key.unwrap_or_default().to_owned(),
            of_caller: ask.of_caller,
            token: None,
        };
        let number = state.calls.len() + 1;
        let always = state
            .always
            .as_ref()
            .filter(|(which, _)| which(&call))
            .map(|(_, fault)| *fault);
        let fault = state.planned.remove(&number).or(always);
        state.calls.push(call);
        (number, fault)
    }

    fn minted(&self, number: usize, ask: &Ask, now: Timestamp) -> Minted {
        let mut state = self.0.lock();
        if !state.repeats {
            state.tokens += 1;
        }
        let number_in_token = if state.signs {
            now.as_second()
        } else {
            state.tokens as i64
        };
        let token = format!("token-{number_in_token}");
        state.calls[number - 1].token = Some(token.clone());
        let provider = ask.block.provider();
        Minted {
            provider: provider.published(),
            value: SecretString::from(token),
            issued_at: now,
            usable_until: now + state.life,
            expires_at: now + state.life,
            config: provider.config(),
            outputs: BTreeMap::new(),
        }
    }
}

impl Minter for FakeProvider {
    fn mint<'a>(
        &'a self,
        ask: &'a Ask,
        credential: &'a Credential,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Minted, MintError>> {
        self.answer(ask, credential, now).boxed()
    }

    fn exchange<'a>(
        &'a self,
        _: &'a Exchange,
        subject: &'a SubjectToken,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<AccessToken, MintError>> {
        let mut state = self.0.lock();
        state.exchanges.push(subject.subject.clone());
        let token = SecretString::from(format!("access-{}", state.exchanges.len()));
        let result = match &state.exchange_fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(AccessToken::new(token, now, now + SignedDuration::from_hours(1))),
        };
        async move {
            tokio::time::sleep(LATENCY).await;
            result
        }
        .boxed()
    }
}
