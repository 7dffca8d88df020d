//! One request, from its headers to its answer: who asks, whether they may, what they ask for, and a token for it.
//!
//! The order of the checks is what keeps the endpoint from telling anything to strangers: bearer token, right, and only
//! then whether the RealtimeToken exists, what the body says, and the limits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use futures::FutureExt;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::access::Access;
use super::audit::{self, Refusals, Source};
use super::body::{self, Asked};
use super::handed_out::HandedOut;
use super::in_flight::InFlight;
use super::limits::{Limits, Reached};
use super::loopback;
use super::pools::Pools;
use super::problem::Problem;
use super::refused;
use super::reviews::Reviews;
use super::target::Target;
use super::world::{Served, World};
use crate::api::{RealtimeToken, Requests, SubjectUse};
use crate::clock::now;
use crate::cluster::Name;
use crate::cluster::review::Caller;
use crate::issuer::Claim;
use crate::metrics::{Metrics, OK};
use crate::mint::Endpoint;
use crate::resolve::Resolved;
use crate::resolve::customize::{Customization, customized};
use crate::token::Minted;
use crate::token::secret::token_json;

/// From a request's headers to its answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// So much earlier a mint is given up, so that its end still makes an answer.
const MARGIN: Duration = Duration::from_secs(1);
/// How often a token is signed for a request before it is another than those that were handed out.
const MOST_SIGNATURES: usize = 3;

pub(super) struct Handler {
    pub(super) world: Arc<World>,
    access: Access,
    pub(super) pools: Pools,
    pub(super) metrics: Arc<Metrics>,
    in_flight: InFlight,
    limits: Mutex<HashMap<Name, Limits>>,
    handed_out: HandedOut,
    refusals: Refusals,
    ready: AtomicBool,
}

/// What is known of a request so far, for the log and the metrics.
#[derive(Default)]
struct Known {
    caller: Option<Arc<Caller>>,
    /// A RealtimeToken that exists.
    token: Option<Name>,
}

/// A token on its way to a caller.
struct HandedOutToken {
    minted: Minted,
    source: Source,
}

impl Handler {
    pub(super) fn new(world: Arc<World>, access: Access, pools: Pools, metrics: Arc<Metrics>) -> Self {
        Self {
            world,
            access,
            pools,
            metrics,
            in_flight: InFlight::default(),
            limits: Mutex::default(),
            handed_out: HandedOut::default(),
            refusals: Refusals::default(),
            ready: AtomicBool::new(false),
        }
    }

    /// All watches have listed once.
    pub(super) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Forgets limits that are whole again, and what is known of RealtimeTokens that are gone.
    pub(super) fn sweep(&self) {
        let exists = |name: &Name| self.world.find(name).is_some();
        let now = now();
        self.limits
            .lock()
            .retain(|name, limits| exists(name) && !limits.sweep(now));
        self.handed_out.retain(exists);
        self.metrics.retain_requested(&self.world.names());
    }

    /// Answers a request. If the caller hangs up this is dropped, and the token with it.
    pub(super) async fn answer(&self, request: Request<Body>, peer: IpAddr) -> Response<Body> {
        let began = Instant::now();
        let mut known = Known::default();
        let work = self.hand_out(request, peer, began + ANSWER_WITHIN - MARGIN, &mut known);
        // A panic would take the connection with it, and the other requests on it.
        let work = AssertUnwindSafe(work).catch_unwind();
        let result = match tokio::time::timeout(ANSWER_WITHIN, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Problem::internal()), // the panic hook has said where
            Err(_) => Err(Problem::too_slow()),
        };
        let (outcome, source) = match &result {
            Ok(handed_out) => (OK, handed_out.source.as_str()),
            Err(problem) => (problem.reason, "none"),
        };
        self.metrics
            .requested(known.token.as_ref(), outcome, source, began.elapsed());
        match result {
            Ok(handed_out) => created(&handed_out.minted),
            Err(problem) => {
                self.refusals
                    .log(&problem, known.caller.as_deref(), known.token.as_ref());
                problem.into_response()
            }
        }
    }

    async fn hand_out(
        &self,
        request: Request<Body>,
        peer: IpAddr,
        deadline: Instant,
        known: &mut Known,
    ) -> Result<HandedOutToken, Problem> {
        let (parts, body) = request.into_parts();
        let target = Target::parse(&parts.method, parts.uri.path())?;
        let name = target.to_name();
        let caller = match &self.access {
            Access::Reviewed(reviews) => self.review(reviews, &parts.headers, peer, &target, known).await?,
            Access::OfThisMachine => loopback::caller(&parts)?,
        };
        known.token = self.world.find(&name).map(|_| name.clone());
        let _counted = self.in_flight.begin(&caller.username)?;
        if !self.ready.load(Ordering::Relaxed) {
            return Err(Problem::not_ready());
        }
        let asked = body::read(&parts.headers, body).await;
        // Only now: reviews and body take a while, in which the watches may have listed or the RealtimeToken may have
        // changed.
        let found = self.world.find(&name).ok_or_else(|| Problem::no_such_token(&target))?;
        let asked = self.admit(asked, &name, &found, &target)?;
        let subject = asked.subject.clone();
        let handed_out = self.token(&name, &found, &target, asked, deadline).await?;
        audit::handed_out(
            &caller,
            &name,
            subject.as_deref(),
            &handed_out.minted,
            handed_out.source,
        );
        Ok(handed_out)
    }

    /// Who asks, if they may.
    async fn review(
        &self,
        reviews: &Reviews,
        headers: &HeaderMap,
        peer: IpAddr,
        target: &Target,
        known: &mut Known,
    ) -> Result<Arc<Caller>, Problem> {
        let bearer = bearer_token(headers).ok_or_else(Problem::no_bearer_token)?;
        let count = || self.in_flight.begin_unknown(peer);
        let caller = reviews.authenticate(&bearer, peer, count).await?;
        let caller = known.caller.insert(caller.ok_or_else(Problem::invalid_bearer_token)?);
        let name = target.to_name();
        known.token = self.world.find(&name).map(|_| name.clone());
        match reviews.authorize(caller, &name, count).await? {
            true => Ok(Arc::clone(caller)),
            false => Err(Problem::forbidden(&caller.username, target)),
        }
    }

    /// What the caller asks for, once the RealtimeToken's state and limits allow it something.
    fn admit(
        &self,
        asked: Result<Asked, Problem>,
        name: &Name,
        found: &Served,
        target: &Target,
    ) -> Result<Asked, Problem> {
        let (token, requests) = found.read().ok_or_else(|| Problem::no_such_token(target))?;
        if token.spec.suspend {
            return Err(Problem::suspended());
        }
        let mut asked = asked?;
        match requests.subject {
            SubjectUse::Required if asked.subject.is_none() => return Err(Problem::subject_required()),
            SubjectUse::Ignored => asked.subject = None,
            SubjectUse::Required | SubjectUse::Optional => {}
        }
        let now = now();
        let subject = asked.subject.as_deref();
        let subject = subject.map(|subject| (subject, requests.subject_rate_limit));
        let mut limits = self.limits.lock();
        let limits = limits.entry(name.clone()).or_default();
        limits
            .admit(requests.rate_limit, subject, now)
            .map_err(|(reached, until)| {
                let what = match reached {
                    Reached::All => "the RealtimeToken's requests.rateLimit is reached on this replica",
                    Reached::Subject => "the RealtimeToken's requests.subjectRateLimit is reached for this subject",
                };
                refused::limited(what, until, now)
            })?;
        Ok(asked)
    }

    /// A token out of the pool, or one that is minted for this caller.
    async fn token(
        &self,
        name: &Name,
        found: &Served,
        target: &Target,
        asked: Asked,
        deadline: Instant,
    ) -> Result<HandedOutToken, Problem> {
        let (token, requests) = found.read().ok_or_else(|| Problem::no_such_token(target))?;
        let is_plain = asked.subject.is_none() && asked.overrides.as_ref().is_none_or(serde_json::Map::is_empty);
        let resolved = if is_plain {
            let resolved = self.world.resolver.resolve_for(token, None, now());
            resolved.map_err(refused::blocked)?
        } else {
            self.customize(token, asked)?
        };
        let provider = resolved.ask.block.provider();
        let is_for_one = provider.single_use().is_some() || provider.one_reader().is_some();
        let is_new = |minted: &Minted| !is_for_one || self.handed_out.is_new(name, minted);
        let is_signed_here = provider.endpoint() == Endpoint::Local;
        // A signature takes no time: a pool of them would only hold equal ones.
        if is_plain && requests.ready > 0 && !is_signed_here {
            let terms = self.world.terms_of(token, requests, &resolved).await;
            let terms = terms.map_err(|problem| problem.map_or_else(Problem::api_server_away, refused::blocked))?;
            while terms.ready > 0
                && let Some(minted) = self.pools.take(name, terms.clone())
            {
                if is_new(&minted) {
                    let source = Source::Pool;
                    return Ok(HandedOutToken { minted, source });
                }
            }
        }
        for _ in 0..MOST_SIGNATURES {
            let issued = self.world.issuer.issue(name, &resolved, Claim::Caller, deadline).await;
            let minted = issued.map_err(|problem| refused::not_issued(problem, now()))?;
            check_life(&minted, requests)?;
            if is_new(&minted) {
                let source = Source::Minted;
                return Ok(HandedOutToken { minted, source });
            }
            if !is_signed_here {
                break;
            }
            // It says when it was signed, in whole seconds: a second later it is another.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(refused::given_before())
    }

    /// What to ask for with the caller's subject and overrides.
    fn customize(&self, token: &RealtimeToken, asked: Asked) -> Result<Resolved, Problem> {
        let asked = Customization {
            subject: asked.subject,
            overrides: asked.overrides,
        };
        let subject = asked.subject_for(token)?;
        let customized = customized(token, &asked)?;
        let resolve = |token, subject| self.world.resolver.resolve_for(token, subject, now());
        let resolved = resolve(&customized, subject).map_err(|blocked| {
            if resolve(token, None).is_ok() {
                refused::blocked_by_caller(blocked)
            } else {
                refused::blocked(blocked)
            }
        });
        resolved.map(|mut resolved| {
            resolved.ask.of_caller |= asked.overrides.is_some_and(|overrides| !overrides.is_empty());
            resolved
        })
    }
}

/// The token of `Authorization: Bearer`; `None` if there is none or more than one.
fn bearer_token(headers: &HeaderMap) -> Option<SecretString> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_token = |c: char| c.is_ascii_graphic();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.chars().all(is_token)).then(|| token.into())
}

fn check_life(minted: &Minted, requests: &Requests) -> Result<(), Problem> {
    let (wanted, now) = (requests.min_remaining_seconds, now());
    if minted.is_usable_for(wanted, now) {
        return Ok(());
    }
    Err(refused::too_short(
        minted.usable_until.duration_since(now).as_secs(),
        wanted,
    ))
}

fn created(minted: &Minted) -> Response<Body> {
    let json = token_json(minted);
    let mut response = Response::new(Body::from(json.expose_secret().to_owned()));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
