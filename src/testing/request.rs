//! What a request asks for, read from its method, path, query and headers.

use std::collections::HashMap;

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A kind of object that is kept.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The plural of the path.
    pub(crate) resource: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) api_version: &'static str,
    /// A custom resource of ours: it has a generation and a status subresource.
    pub(crate) custom: bool,
}

const fn kind(resource: &'static str, kind: &'static str, api_version: &'static str, custom: bool) -> Kind {
    Kind {
        resource,
        kind,
        api_version,
        custom,
    }
}

static KINDS: [Kind; 9] = [
    kind("realtimetokens", "RealtimeToken", "realtime-token.dev/v1alpha1", true),
    kind(
        "clusterrealtimeproviders",
        "ClusterRealtimeProvider",
        "realtime-token.dev/v1alpha1",
        true,
    ),
    kind("secrets", "Secret", "v1", false),
    kind("namespaces", "Namespace", "v1", false),
    kind("serviceaccounts", "ServiceAccount", "v1", false),
    kind("events", "Event", "events.k8s.io/v1", false),
    kind("leases", "Lease", "coordination.k8s.io/v1", false),
    kind("tokenreviews", "TokenReview", "authentication.k8s.io/v1", false),
    kind(
        "subjectaccessreviews",
        "SubjectAccessReview",
        "authorization.k8s.io/v1",
        false,
    ),
];

impl Kind {
    pub(crate) fn of_resource(resource: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.resource == resource)
    }

    pub(crate) fn of_object(object: &Value) -> Option<&'static Self> {
        KINDS.iter().find(|kind| object["kind"] == kind.kind)
    }
}

/// A request as tests see it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// As RBAC calls it: get, list, watch, create, update, patch, delete.
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static str,
    /// Empty for cluster-scoped objects and for all namespaces.
    pub(crate) namespace: String,
    /// Empty for collections.
    pub(crate) name: String,
    pub(crate) status: bool,
    /// A TokenRequest.
    pub(crate) token: bool,
    /// The query's `fieldManager`.
    pub(crate) manager: String,
    pub(crate) metadata_only: bool,
    /// A forced apply: its fields become the manager's, also those that it leaves as they are.
    pub(crate) apply: bool,
    /// Null if there is none.
    pub(crate) body: Value,
    /// How many objects the answer to a list may have; 0 if it says nothing.
    pub(crate) limit: u32,
    pub(super) selector: Selector,
    /// Where a watch begins.
    pub(super) version: u64,
    /// How long a watch lasts.
    pub(super) seconds: u64,
}

/// Which objects of a collection are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    namespace: String,
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

/// That a label or a field has this value, or that it doesn't.
#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    equals: bool,
    value: String,
}

impl Requirement {
    fn is_met(&self, found: &Value) -> bool {
        (*found == *self.value) == self.equals
    }
}

impl Selector {
    pub(super) fn matches(&self, object: &Value) -> bool {
        let meta = &object["metadata"];
        let field = |key: &str| key.split('.').fold(object, |at, part| &at[part]).clone();
        (self.namespace.is_empty() || meta["namespace"] == *self.namespace)
            && self.fields.iter().all(|it| it.is_met(&field(&it.key)))
            && self.labels.iter().all(|it| it.is_met(&meta["labels"][&it.key]))
    }
}

impl Request {
    /// `None` if no kind is served at the path.
    pub(super) fn parse(parts: &http::request::Parts, body: Value) -> Option<Self> {
        let segments: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let below_version = match segments.split_first()? {
            (&"api", rest) => rest.get(1..)?,
            (&"apis", rest) => rest.get(2..)?,
            _ => return None,
        };
        let (namespace, path) = match below_version {
            ["namespaces", namespace, path @ ..] if !path.is_empty() => (*namespace, path),
            path => ("", path),
        };
        let query = query(parts.uri.query().unwrap_or_default());
        let of_query = |key: &str| query.get(key).cloned().unwrap_or_default();
        let resource = Kind::of_resource(path.first()?)?.resource;
        let name = path.get(1).copied().unwrap_or_default();
        let watching = matches!(of_query("watch").as_str(), "true" | "1");
        let verb = match parts.method {
            Method::GET if watching => "watch",
            Method::GET if name.is_empty() => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            _ => "delete",
        };
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Some(Self {
            verb,
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            status: path.get(2) == Some(&"status"),
            token: path.get(2) == Some(&"token"),
            manager: of_query("fieldManager"),
            metadata_only: accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata")),
            apply: content_type.is_some_and(|content_type| content_type.contains("apply-patch")),
            body,
            limit: of_query("limit").parse().unwrap_or(0),
            selector: Selector {
                namespace: namespace.to_owned(),
                labels: requirements(&of_query("labelSelector")),
                fields: requirements(&of_query("fieldSelector")),
            },
            version: of_query("resourceVersion").parse().unwrap_or(0),
            seconds: of_query("timeoutSeconds").parse().unwrap_or(300),
        })
    }
}

fn query(text: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

/// `a=b,c!=d`; other operators are not supported.
fn requirements(text: &str) -> Vec<Requirement> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| Requirement {
            key: key.trim_end_matches('!').to_owned(),
            equals: !key.ends_with('!'),
            value: value.trim_start_matches('=').to_owned(),
        })
        .collect()
}
