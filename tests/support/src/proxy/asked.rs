//! What a request asks for, read from its method and path as the API server reads it.

use hyper::{Method, header::CONTENT_TYPE, http::request::Parts};

use crate::cluster::Request;

/// A request for one kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// As in [`Request::verb`].
    pub(super) verb: &'static str,
    pub(super) group: String,
    /// Empty for paths that are no resource.
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) namespace: String,
    /// Empty for a collection. Of another path than a resource's, the path.
    pub(super) name: String,
}

impl Asked {
    pub(super) fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        let mut rest: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let group = match rest.as_slice() {
            ["api", _version, ..] => {
                rest.drain(..2);
                Some(String::new())
            }
            ["apis", group, _version, ..] => {
                let group = (*group).to_owned();
                rest.drain(..3);
                Some(group)
            }
            _ => None,
        };
        let mut namespace = String::new();
        if let ["namespaces", name, _, ..] = rest.as_slice() {
            namespace = (*name).to_owned();
            rest.drain(..2);
        }
        let (resource, name, subresource) = match (&group, rest.as_slice()) {
            (Some(_), [resource]) => (*resource, "", ""),
            (Some(_), [resource, name]) => (*resource, *name, ""),
            (Some(_), [resource, name, subresource, ..]) => (*resource, *name, *subresource),
            _ => ("", path, ""),
        };
        let applied = |parts: &Parts| {
            let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            kind.is_some_and(|kind| kind.starts_with("application/apply-patch"))
        };
        let verb = match parts.method {
            Method::GET if watch => "WATCH",
            Method::GET if name.is_empty() => "LIST",
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH if applied(parts) => "APPLY",
            Method::PATCH => "PATCH",
            Method::DELETE if name.is_empty() => "DELETECOLLECTION",
            Method::DELETE => "DELETE",
            _ => "OTHER",
        };
        Self {
            verb,
            group: group.unwrap_or_default(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace,
            name: name.to_owned(),
        }
    }

    /// As rules name it: `secrets`, `realtimetokens/status`.
    pub(super) fn target(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// How it is counted, with the status of its answer.
    pub(super) fn counted(&self, code: u16) -> Request {
        Request {
            verb: self.verb.to_owned(),
            group: self.group.clone(),
            resource: self.resource.clone(),
            subresource: self.subresource.clone(),
            code,
        }
    }
}
