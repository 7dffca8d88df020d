//! The API server's surface: requests, watches, and what tests do behind the operator's back.

mod watches;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Response, StatusCode};
use kube::Client;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer};

use super::faults::{Fault, Faults};
use super::objects::{Backup, Key, Objects, Refusal};
use super::request::{Kind, Request};
use super::reviews::Reviews;
use crate::cluster::HEAD_TIMEOUT;
use crate::cluster::retry_after::RetryAfterLayer;

/// The field manager of what tests write.
pub(crate) const USER: &str = "kubectl";
/// How long a request is on its way, so that others come in between.
const LATENCY: Duration = Duration::from_millis(1);

/// A Kubernetes API in memory. Clones are the same API.
#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Wakes the watches.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    objects: Objects,
    faults: Faults,
    paused: HashSet<&'static str>,
    /// Of each kind: how often its watches were broken.
    breaks: HashMap<&'static str, u64>,
    /// Of each kind: how often its watches died silently.
    silences: HashMap<&'static str, u64>,
    /// Of each kind: the version from which on watches can begin.
    oldest: HashMap<&'static str, u64>,
    reviews: Reviews,
}

/// Everything that tests do; each panics if what it works on isn't there.
impl FakeApi {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A client of this API, with the operator's own limit on answers and its reading of Retry-After. To be called within a runtime.
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request| api.clone().answer(request));
        let service = TimeoutLayer::new(HEAD_TIMEOUT).layer(RetryAfterLayer.layer(service));
        Client::new(service, "default")
    }

    /// Creates an object as a user; its kind and namespace are its own.
    pub(crate) fn create(&self, object: impl Serialize) -> Value {
        let object = json!(object);
        let kind = Kind::of_object(&object).expect("a kind that the fake keeps");
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        self.change(|objects| objects.create(kind.resource, namespace, &object, USER))
    }

    /// Merges into an object as a user.
    pub(crate) fn edit(&self, resource: &'static str, namespace: &str, name: &str, patch: &Value) -> Value {
        self.edit_as(USER, resource, namespace, name, patch)
    }

    /// Merges into an object as this field manager.
    pub(crate) fn edit_as(
        &self,
        manager: &str,
        resource: &'static str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Value {
        let key = Key::new(resource, namespace, name);
        self.change(|objects| objects.merge(&key, patch, false, manager))
    }

    /// Merges into a status; fields that are null disappear.
    pub(crate) fn edit_status(&self, resource: &'static str, namespace: &str, name: &str, status: &Value) -> Value {
        let key = Key::new(resource, namespace, name);
        self.change(|objects| objects.merge(&key, &json!({"status": status}), true, USER))
    }

    /// Takes everything away from the field managers of a Secret.
    pub(crate) fn disown(&self, resource: &'static str, namespace: &str, name: &str) {
        self.0.state.lock().objects.disown(&Key::new(resource, namespace, name));
    }

    /// Deletes an object as a user.
    pub(crate) fn delete(&self, resource: &'static str, namespace: &str, name: &str) {
        self.change(|objects| objects.delete(&Key::new(resource, namespace, name)));
    }

    pub(crate) fn get(&self, resource: &'static str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.0.state.lock();
        state.objects.get(&Key::new(resource, namespace, name)).ok().cloned()
    }

    pub(crate) fn list(&self, resource: &'static str) -> Vec<Value> {
        self.0.state.lock().objects.list(resource).cloned().collect()
    }

    /// The requests since the start or since [`Self::forget_requests`].
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.0.state.lock().faults.requests.clone()
    }

    pub(crate) fn forget_requests(&self) {
        self.0.state.lock().faults.requests.clear();
    }

    pub(crate) fn count(&self, verb: &str, resource: &str) -> usize {
        let state = self.0.state.lock();
        let requests = state.faults.requests.iter();
        requests
            .filter(|request| request.verb == verb && request.resource == resource)
            .count()
    }

    /// Has the n-th request from now on fail (1 is the next), lists and watches of collections not counted.
    pub(crate) fn fail_nth(&self, nth: usize, fault: Fault) {
        self.fail_nth_of(|request| !matches!(request.verb, "list" | "watch"), nth, fault);
    }

    /// Has the n-th request that matches from now on fail.
    pub(crate) fn fail_nth_of(&self, filter: impl Fn(&Request) -> bool + Send + 'static, nth: usize, fault: Fault) {
        assert!(nth > 0, "the first is number 1");
        self.0.state.lock().faults.plan(Box::new(filter), nth, fault);
    }

    /// Has every request that matches fail, until [`Self::recover`] or the next call.
    pub(crate) fn break_down(&self, filter: impl Fn(&Request) -> bool + Send + 'static, fault: Fault) {
        self.0.state.lock().faults.break_down(Box::new(filter), fault);
    }

    /// Resolves when the next fault happens: with [`Fault::HangAfter`] and a controller that is dropped then, that is a
    /// process that dies between its write and the answer. To be called before the fault can happen.
    pub(crate) fn next_fault(&self) -> impl Future<Output = ()> + use<> {
        let mut happened = self.0.state.lock().faults.happened();
        async move {
            happened.changed().await.expect("the API outlives its tests");
        }
    }

    /// Refuses requests as an admission policy does, with 403 and this message.
    pub(crate) fn refuse(&self, filter: impl Fn(&Request) -> bool + Send + 'static, message: &str) {
        self.refuse_as(403, filter, message);
    }

    /// Refuses requests with this code and message: 500 is what a webhook that can't be called comes to.
    pub(crate) fn refuse_as(&self, code: u16, filter: impl Fn(&Request) -> bool + Send + 'static, message: &str) {
        self.0.state.lock().faults.refuse(Box::new(filter), code, message);
    }

    /// Changes the Secrets that the operator writes, as a mutating admission webhook does.
    pub(crate) fn rewrite_secrets(&self, rewrite: impl Fn(&mut Value) + Send + 'static) {
        self.0.state.lock().objects.rewrites.push(Box::new(rewrite));
    }

    /// Has every request fail, watches included, until [`Self::recover`].
    pub(crate) fn go_away(&self) {
        self.0.state.lock().faults.go_away();
        for resource in ["realtimetokens", "clusterrealtimeproviders", "secrets", "namespaces"] {
            self.break_watches(resource);
        }
    }

    /// No more faults, refusals and rewrites.
    pub(crate) fn recover(&self) {
        let mut state = self.0.state.lock();
        state.faults.clear();
        state.objects.rewrites.clear();
    }

    /// Holds back the events of watches of a kind.
    pub(crate) fn pause_watches(&self, resource: &'static str) {
        self.0.state.lock().paused.insert(resource);
    }

    pub(crate) fn resume_watches(&self, resource: &'static str) {
        self.0.state.lock().paused.remove(resource);
        self.0.changed.send_replace(());
    }

    /// Ends the watches of a kind, as a restart of the API server does: the client goes on where they ended.
    pub(crate) fn break_watches(&self, resource: &'static str) {
        *self.0.state.lock().breaks.entry(resource).or_default() += 1;
        self.0.changed.send_replace(());
    }

    /// Ends the watches of a kind and forgets its history: the client must list anew.
    pub(crate) fn expire_watches(&self, resource: &'static str) {
        let mut state = self.0.state.lock();
        let version = state.objects.version() + 1;
        state.oldest.insert(resource, version);
        drop(state);
        self.break_watches(resource);
    }

    /// The connections of the watches of a kind die silently: nothing comes any more, and no end. Those that
    /// begin later work.
    pub(crate) fn silence_watches(&self, resource: &'static str) {
        *self.0.state.lock().silences.entry(resource).or_default() += 1;
        self.0.changed.send_replace(());
    }

    pub(crate) fn back_up(&self) -> Backup {
        self.0.state.lock().objects.back_up()
    }

    /// Replaces everything by a backup, as that of etcd is restored: while the API server is away ([`Self::go_away`]).
    /// A watch that goes on from a version which the backup has not reached shows nothing until it has.
    pub(crate) fn restore(&self, backup: &Backup) {
        self.0.state.lock().objects.restore(backup);
    }

    /// Has a bearer token be this user's, for these audiences.
    pub(crate) fn add_bearer_token(&self, token: &str, username: &str, audiences: &[&str]) {
        self.0.state.lock().reviews.add_token(token, username, audiences);
    }

    /// Has a bearer token belong to no user any more.
    pub(crate) fn remove_bearer_token(&self, token: &str) {
        self.0.state.lock().reviews.remove_token(token);
    }

    /// Lets a user request tokens of a RealtimeToken, or no longer.
    pub(crate) fn allow_requests(&self, username: &str, namespace: &str, name: &str, allowed: bool) {
        self.0.state.lock().reviews.allow(username, namespace, name, allowed);
    }

    fn change(&self, work: impl FnOnce(&mut Objects) -> Result<Value, Refusal>) -> Value {
        let done = work(&mut self.0.state.lock().objects).expect("nothing stands in the user's way");
        self.0.changed.send_replace(());
        done
    }
}

/// What the client gets to see.
impl FakeApi {
    async fn answer(self, request: http::Request<kube::client::Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let Some(request) = Request::parse(&parts, body) else {
            return Ok(refused(&Refusal::of_code(404)));
        };
        tokio::time::sleep(LATENCY).await;
        let fault = self.0.state.lock().faults.record(&request);
        if fault.is_none_or(Fault::is_applied) {
            if let Some(Fault::Slow(time)) = fault {
                tokio::time::sleep(time).await;
            }
            let response = self.serve(request);
            if matches!(fault, None | Some(Fault::Slow(_))) {
                return Ok(response);
            }
        }
        match fault {
            Some(Fault::Throttled(seconds)) => {
                let too_many = Body::from("Too many requests, please try again later.\n");
                let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS);
                Ok(response.header(RETRY_AFTER, seconds).body(too_many)?)
            }
            Some(Fault::WebhookThrottled(seconds)) => {
                let denied = Refusal::by_busy_webhook();
                let mut body = denied.body();
                body["details"]["retryAfterSeconds"] = seconds.into();
                let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS);
                let response = response
                    .header(RETRY_AFTER, seconds)
                    .header(CONTENT_TYPE, "application/json");
                Ok(response.body(Body::from(body.to_string()))?)
            }
            Some(Fault::Status(code)) => Ok(refused(&Refusal::of_code(code))),
            Some(Fault::ResetBefore | Fault::ResetAfter | Fault::Slow(_)) | None => {
                Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by the test").into())
            }
            Some(Fault::Hang | Fault::HangAfter) => std::future::pending().await,
        }
    }

    fn serve(&self, request: Request) -> Response<Body> {
        if request.verb == "watch" {
            return Response::new(self.watch(request));
        }
        let mut state = self.0.state.lock();
        let result = match request.verb {
            "get" => {
                let key = Key::new(request.resource, &request.namespace, &request.name);
                state.objects.get(&key).cloned()
            }
            "list" => Ok(list(&state.objects, &request)),
            "create" if request.token => {
                let key = Key::new(request.resource, &request.namespace, &request.name);
                let admitted = state.faults.admit(&request);
                admitted
                    .and_then(|()| state.objects.get(&key))
                    .map(|_| token(&request.body))
            }
            "create" if request.resource.ends_with("reviews") => {
                let admitted = state.faults.admit(&request);
                admitted.map(|()| state.reviews.answer(&request))
            }
            _ => {
                let admitted = state.faults.admit(&request);
                admitted.and_then(|()| state.objects.write(&request))
            }
        };
        drop(state);
        self.0.changed.send_replace(());
        match result {
            Ok(object) if request.verb == "list" => Response::new(Body::from(object.to_string())),
            Ok(object) => {
                let mut response = Response::new(Body::from(shown(&object, &request).to_string()));
                if request.verb == "create" {
                    *response.status_mut() = StatusCode::CREATED;
                }
                response
            }
            Err(refusal) => refused(&refusal),
        }
    }
}

fn list(objects: &Objects, request: &Request) -> Value {
    let matching = objects
        .list(request.resource)
        .filter(|object| request.selector.matches(object));
    let items: Vec<Value> = matching.map(|object| shown(object, request)).collect();
    let kind = Kind::of_resource(request.resource).map_or("List", |kind| kind.kind);
    json!({
        "kind": if request.metadata_only { "PartialObjectMetadataList".to_owned() } else { format!("{kind}List") },
        "apiVersion": "v1",
        "metadata": {"resourceVersion": objects.version().to_string()},
        "items": items,
    })
}

/// The answer to a TokenRequest.
fn token(request: &Value) -> Value {
    let audience = &request["spec"]["audiences"][0];
    json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": request["spec"],
        "status": {"token": format!("jwt-for-{}", audience.as_str().unwrap_or_default()), "expirationTimestamp": "2030-01-01T00:00:00Z"},
    })
}

fn shown(object: &Value, request: &Request) -> Value {
    if request.metadata_only {
        let kind = "PartialObjectMetadata";
        return json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
    }
    object.clone()
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(Body::from(refusal.body().to_string()));
    *response.status_mut() = StatusCode::from_u16(refusal.code).expect("a code of HTTP");
    response
}
