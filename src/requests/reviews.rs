//! The answers of the API server to "whose token is this?" and "may they?", kept for seconds and bounded in number.
//!
//! A refused or failed review is never an open door: without an answer there is no caller. What is kept bounds how long a
//! change takes to be noticed: a bearer token that ends, or a Role that is taken away, within [`KEEP`]; a bearer token
//! that was not valid and now is, within [`KEEP_INVALID`].

use std::collections::HashMap;
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

use super::AUDIENCE;
use super::limits::Bucket;
use crate::api::RateLimit;
use crate::clock::now;
use crate::cluster::review::{self, Caller};
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
/// How often one address may send bearer tokens that are not valid before its unknown ones are no longer reviewed.
const INVALID_TOKENS: RateLimit = RateLimit {
    requests_per_minute: 60,
    burst: 20,
};
/// Addresses for which that is counted.
const MOST_ADDRESSES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The API server doesn't answer, or not this question.
    Away,
    /// Too many invalid bearer tokens came from the address; seconds until one is reviewed again.
    TooManyInvalid(u64),
}

pub(super) struct Reviews {
    client: Client,
    callers: Cache<Option<Arc<Caller>>>,
    rights: Cache<bool>,
    permits: Arc<Semaphore>,
    invalid: Mutex<LruCache<IpAddr, Bucket>>,
}

impl Reviews {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            callers: Cache::new(),
            rights: Cache::new(),
            permits: Arc::new(Semaphore::new(AT_A_TIME)),
            invalid: Mutex::new(LruCache::new(MOST_ADDRESSES)),
        }
    }

    /// Whose token it is, if that is known without asking; the inner `None` if it is not valid here.
    pub(super) fn known(&self, token: &SecretString) -> Option<Option<Arc<Caller>>> {
        self.callers.get(&sha256(token.expose_secret().as_bytes()))
    }

    /// Asks whose token it is; `None` if it is not valid here.
    pub(super) async fn authenticate(
        &self,
        token: &SecretString,
        peer: IpAddr,
    ) -> Result<Option<Arc<Caller>>, Unanswered> {
        let key = sha256(token.expose_secret().as_bytes());
        self.check_address(peer)?;
        let (client, review_of) = (self.client.clone(), token.clone());
        let review = async move {
            let caller = review::authenticate(&client, &review_of, AUDIENCE).await?;
            let keep = match &caller {
                Some(_) => until_end(&review_of).min(KEEP),
                None => KEEP_INVALID,
            };
            Ok((caller.map(Arc::new), keep))
        };
        let caller = self.callers.ask(key, self.limited(review)).await?;
        if caller.is_none() {
            let mut invalid = self.invalid.lock();
            // One more than its limit changes nothing.
            let _ = invalid
                .get_or_insert_mut(peer, Bucket::default)
                .take(INVALID_TOKENS, now());
        }
        Ok(caller)
    }

    /// Whether the caller may have tokens of a RealtimeToken, which may not exist.
    pub(super) async fn authorize(&self, caller: &Arc<Caller>, token: &Name) -> Result<bool, Unanswered> {
        // Strings only: serde_json can't fail on them.
        let text = serde_json::to_vec(&(&**caller, &token.namespace, &token.name)).unwrap_or_default();
        let key = sha256(&text);
        if let Some(allowed) = self.rights.get(&key) {
            return Ok(allowed);
        }
        let (client, caller, token) = (self.client.clone(), Arc::clone(caller), token.clone());
        let review = async move { Ok((review::authorize(&client, &caller, &token).await?, KEEP)) };
        self.rights.ask(key, self.limited(review)).await
    }

    fn check_address(&self, peer: IpAddr) -> Result<(), Unanswered> {
        let now = now();
        let mut invalid = self.invalid.lock();
        let Some(bucket) = invalid.get_mut(&peer) else {
            return Ok(());
        };
        bucket.free_at(INVALID_TOKENS, now).map_err(|until| {
            let seconds = until.duration_since(now).as_secs() + 1;
            Unanswered::TooManyInvalid(seconds.unsigned_abs())
        })
    }

    /// A review that waits for its permit, and is given up in time.
    fn limited<V: Send + 'static>(
        &self,
        review: impl Future<Output = Result<(V, Duration), ClusterError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<(V, Duration), Unanswered>> {
        let permits = Arc::clone(&self.permits);
        async move {
            let reviewed = tokio::time::timeout(WITHIN, async {
                let _permit = permits.acquire_owned().await;
                review.await
            });
            match reviewed.await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(problem)) => {
                    tracing::debug!(%problem, "a review failed");
                    Err(Unanswered::Away)
                }
                Err(_) => Err(Unanswered::Away),
            }
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
