//! The answers of the API server to "whose token is this?" and "may they?", kept for seconds and bounded in number.
//!
//! Without an answer of the API server a request is refused. How long an answer is kept bounds how long a
//! change takes to be noticed: a bearer token that ends, or a Role that is taken away, within [`KEEP`]; a bearer token
//! that was not valid and now is, within [`KEEP_INVALID`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kube::Client;
use lru::LruCache;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::in_flight::Counted;
use super::problem::Problem;
use super::unproven::{Place, Unproven};
use crate::api::REQUESTS_AUDIENCE;
use crate::clock::now;
use crate::cluster::review::{self, Attributes, Caller};
use crate::cluster::{ClusterError, Name};
use crate::mint::claims;

/// How long an answer holds.
pub(super) const KEEP: Duration = Duration::from_secs(10);
/// How long it holds that a bearer token is not valid.
pub(super) const KEEP_INVALID: Duration = Duration::from_secs(2);
/// Answers that are kept, of each kind.
const MOST: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Reviews under way at a time, so that callers can't flood the API server.
const AT_A_TIME: usize = 32;
/// From asking for a review to its answer, the wait for others included.
const WITHIN: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The API server doesn't answer, or not this question.
    Away,
    /// Too many invalid bearer tokens came from the address; seconds until one is reviewed again.
    TooManyInvalid(u64),
    /// The caller has asked for too many RealtimeTokens that it may not have; seconds until its next right is reviewed.
    TooManyForbidden(u64),
}

pub(super) struct Reviews {
    client: Client,
    callers: Cache<Option<Arc<Caller>>>,
    rights: Cache<bool>,
    permits: Arc<Semaphore>,
    /// Addresses that send bearer tokens of which nothing is known.
    senders: Unproven<IpAddr>,
    /// User names that ask for RealtimeTokens of which it isn't known whether they may.
    askers: Unproven<String>,
}

impl Reviews {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            callers: Cache::new(),
            rights: Cache::new(),
            permits: Arc::new(Semaphore::new(AT_A_TIME)),
            senders: Unproven::new(),
            askers: Unproven::new(),
        }
    }

    /// Asks whose token it is; `None` if it is not valid here. `count` is called only if the API server is to be asked.
    pub(super) async fn authenticate(
        &self,
        token: &SecretString,
        peer: IpAddr,
        count: impl FnOnce() -> Result<Counted<IpAddr>, Problem>,
    ) -> Result<Option<Arc<Caller>>, Problem> {
        let key = sha256(token.expose_secret().as_bytes());
        if let Some(caller) = self.callers.get(&key) {
            return Ok(caller);
        }
        let counted = Arc::new(count()?);
        // Behind a proxy all callers share an address: what others send from there is held against no token that was valid.
        let is_proven = self.callers.last(&key).flatten().is_some();
        let senders = self.senders.clone();
        let place = async move {
            match is_proven {
                true => Ok(None),
                false => senders.take(peer).await.map(Some).map_err(Unanswered::TooManyInvalid),
            }
        };
        let (client, review_of) = (self.client.clone(), token.clone());
        let review = async move {
            let caller = review::authenticate(&client, &review_of, Some(REQUESTS_AUDIENCE)).await?;
            let keep = match &caller {
                Some(_) => until_end(&review_of).min(KEEP),
                None => KEEP_INVALID,
            };
            Ok((caller.map(Arc::new), keep))
        };
        let question = self.limited(Arc::clone(&counted), place, review, Option::is_none);
        Ok(self.callers.ask(key, question).await?)
    }

    /// Whether the caller may have tokens of a RealtimeToken, which may not exist. `count` is called only if the API server
    /// is to be asked.
    pub(super) async fn authorize(
        &self,
        caller: &Arc<Caller>,
        token: &Name,
        count: impl FnOnce() -> Result<Counted<IpAddr>, Problem>,
    ) -> Result<bool, Problem> {
        // Strings only: serde_json can't fail on them.
        let text = serde_json::to_vec(&(&**caller, &token.namespace, &token.name)).unwrap_or_default();
        let key = sha256(&text);
        if let Some(allowed) = self.rights.get(&key) {
            return Ok(allowed);
        }
        let counted = Arc::new(count()?);
        let is_proven = self.rights.last(&key) == Some(true);
        let (askers, username) = (self.askers.clone(), caller.username.clone());
        let place = async move {
            match is_proven {
                true => Ok(None),
                false => askers
                    .take(username)
                    .await
                    .map(Some)
                    .map_err(Unanswered::TooManyForbidden),
            }
        };
        let (client, caller, token) = (self.client.clone(), Arc::clone(caller), token.clone());
        let review = async move {
            Ok((
                review::authorize(&client, &caller, Attributes::Token(&token)).await?,
                KEEP,
            ))
        };
        let question = self.limited(Arc::clone(&counted), place, review, |allowed| !allowed);
        Ok(self.rights.ask(key, question).await?)
    }

    /// A review that waits for its place and its permit, and is given up in time. It goes on when its caller hangs up, and
    /// counts as one of that caller's requests until its end.
    fn limited<V: Send + 'static, K: Clone + Eq + Hash + Send + 'static>(
        &self,
        counted: Arc<Counted<IpAddr>>,
        place: impl Future<Output = Result<Option<Place<K>>, Unanswered>> + Send + 'static,
        review: impl Future<Output = Result<(V, Duration), ClusterError>> + Send + 'static,
        is_no: fn(&V) -> bool,
    ) -> BoxFuture<'static, Result<(V, Duration), Unanswered>> {
        let permits = Arc::clone(&self.permits);
        async move {
            let _counted = counted;
            let reviewed = tokio::time::timeout(WITHIN, async {
                let place = place.await?;
                let _permit = permits.acquire_owned().await;
                let answer = review.await.map_err(|problem| {
                    tracing::debug!(%problem, "a review failed");
                    Unanswered::Away
                })?;
                if let Some(place) = place.filter(|_| is_no(&answer.0)) {
                    place.use_up();
                }
                Ok(answer)
            });
            reviewed.await.unwrap_or(Err(Unanswered::Away))
        }
        .boxed()
    }
}

/// The rest of a token's life, if it says when it ends. The API server has checked the signature.
fn until_end(token: &SecretString) -> Duration {
    let end = claims::expiry(token.expose_secret());
    end.map_or(Duration::MAX, |end| {
        Duration::try_from(end.duration_since(now())).unwrap_or(Duration::ZERO)
    })
}

type Key = [u8; 32];

fn sha256(bytes: &[u8]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, bytes).as_ref());
    key
}

/// Answers by the hash of the question. Equal questions at a time are one.
struct Cache<V>(Arc<Mutex<Answers<V>>>);

struct Answers<V> {
    kept: LruCache<Key, (V, Instant)>,
    asked: HashMap<Key, Asked<V>>,
}

type Asked<V> = Shared<BoxFuture<'static, Result<V, Unanswered>>>;

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Answers {
            kept: LruCache::new(MOST),
            asked: HashMap::new(),
        })))
    }

    fn get(&self, key: &Key) -> Option<V> {
        let mut answers = self.0.lock();
        let (answer, until) = answers.kept.get(key)?;
        (*until > Instant::now()).then(|| answer.clone())
    }

    /// The last answer, also if it no longer holds.
    fn last(&self, key: &Key) -> Option<V> {
        self.0.lock().kept.peek(key).map(|(answer, _)| answer.clone())
    }

    /// Joins the question under way, or asks. A failure is not kept.
    async fn ask(
        &self,
        key: Key,
        question: BoxFuture<'static, Result<(V, Duration), Unanswered>>,
    ) -> Result<V, Unanswered> {
        let asked = {
            let mut answers = self.0.lock();
            let asked = answers.asked.entry(key);
            asked.or_insert_with(|| self.spawn(key, question)).clone()
        };
        asked.await
    }

    /// A task of its own, so that a caller that hangs up doesn't end it for the others.
    fn spawn(&self, key: Key, question: BoxFuture<'static, Result<(V, Duration), Unanswered>>) -> Asked<V> {
        let answers = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let result = AssertUnwindSafe(question).catch_unwind().await;
            let result = result.unwrap_or(Err(Unanswered::Away));
            let mut answers = answers.lock();
            answers.asked.remove(&key);
            result.map(|(answer, keep)| {
                answers.kept.put(key, (answer.clone(), Instant::now() + keep));
                answer
            })
        });
        let ended = task.map(|ended| ended.unwrap_or(Err(Unanswered::Away)));
        ended.boxed().shared()
    }
}
