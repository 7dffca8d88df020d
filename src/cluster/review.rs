//! Who a bearer token belongs to (TokenReview), and whether they may do something (SubjectAccessReview): have tokens of a
//! RealtimeToken, read metrics. Nothing is cached here.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use kube::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ClusterError, Name, within};
use crate::api::GROUP;

/// A caller waits for it: an API server that is slower than this is away.
const WITHIN: Duration = Duration::from_secs(5);
/// Where the pod of a ServiceAccount's token stands.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// A user as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Caller {
    pub(crate) username: String,
    pub(crate) uid: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl Caller {
    /// The pod that the token is bound to.
    pub(crate) fn pod(&self) -> Option<&str> {
        self.extra.get(POD_NAME)?.first().map(String::as_str)
    }
}

/// What a caller wants to do.
pub(crate) enum Attributes<'a> {
    /// `create` on `realtimetokens/token` of this name.
    Token(&'a Name),
    /// A verb on a URL that is no resource.
    NonResource { verb: &'static str, path: &'static str },
}

/// Whose token it is; `None` if it is not valid for the audience, or without one for the API server itself.
pub(crate) async fn authenticate(
    client: &Client,
    token: &SecretString,
    audience: Option<&str>,
) -> Result<Option<Caller>, ClusterError> {
    let audiences: Vec<&str> = audience.into_iter().collect();
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token.expose_secret(), "audiences": audiences},
    });
    let status: TokenReviewStatus = create(client, "/apis/authentication.k8s.io/v1/tokenreviews", &review).await?;
    // An authenticator that doesn't know audiences states none: its answer says nothing of ours.
    let is_for_us = audience.is_none_or(|audience| status.audiences.iter().flatten().any(|own| own == audience));
    if status.authenticated != Some(true) || !is_for_us {
        return Ok(None);
    }
    let user = status.user.unwrap_or_default();
    let username = user.username.filter(|name| !name.is_empty());
    Ok(username.map(|username| Caller {
        username,
        uid: user.uid,
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    }))
}

/// Whether the caller may do it.
pub(crate) async fn authorize(
    client: &Client,
    caller: &Caller,
    attributes: Attributes<'_>,
) -> Result<bool, ClusterError> {
    let mut review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": caller.username, "uid": caller.uid, "groups": caller.groups, "extra": caller.extra},
    });
    match attributes {
        Attributes::Token(token) => {
            review["spec"]["resourceAttributes"] = json!({
                "verb": "create", "group": GROUP, "version": "v1alpha1",
                "resource": "realtimetokens", "subresource": "token",
                "namespace": token.namespace, "name": token.name,
            });
        }
        Attributes::NonResource { verb, path } => {
            review["spec"]["nonResourceAttributes"] = json!({"verb": verb, "path": path});
        }
    }
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let status: SubjectAccessReviewStatus = create(client, path, &review).await?;
    Ok(status.allowed && status.denied != Some(true))
}

/// Creates a review and reads its status. kube's typed calls would log an answer that they can't parse, and a
/// TokenReview's answer repeats the token.
async fn create<S: DeserializeOwned>(
    client: &Client,
    path: &'static str,
    review: &serde_json::Value,
) -> Result<S, ClusterError> {
    #[derive(Deserialize)]
    struct Review<S> {
        status: S,
    }
    let request = http::Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(review.to_string().into_bytes())
        .map_err(|problem| ClusterError::from(kube::Error::HttpError(problem)))?;
    let answer = within(WITHIN, client.request_text(request)).await?;
    let review: Review<S> = serde_json::from_str(&answer)
        .map_err(|_| ClusterError::Unavailable("the answer to a review can't be read".to_owned()))?;
    Ok(review.status)
}
