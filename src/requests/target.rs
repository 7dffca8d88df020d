//! The path of a request: which RealtimeToken is meant.

use std::fmt;

use http::Method;

use super::problem::Problem;
use crate::cluster::Name;

/// The longest name of an object, and of a namespace.
const LONGEST_NAME: usize = 253;
const LONGEST_NAMESPACE: usize = 63;

/// The RealtimeToken that a path names, whether it exists or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Target {
    /// Reads method and path. Names are compared as they are written: what is percent-encoded names nothing.
    pub(super) fn parse(method: &Method, path: &str) -> Result<Self, Problem> {
        let segments: Vec<&str> = path.split('/').collect();
        let ["", "v1alpha1", "namespaces", namespace, "realtimetokens", name, "token"] = segments.as_slice() else {
            return Err(Problem::no_such_path());
        };
        if !is_name(namespace, LONGEST_NAMESPACE) || !is_name(name, LONGEST_NAME) {
            return Err(Problem::no_such_path());
        }
        if method != Method::POST {
            return Err(Problem::method_not_allowed());
        }
        Ok(Self {
            namespace: (*namespace).to_owned(),
            name: (*name).to_owned(),
        })
    }

    pub(super) fn to_name(&self) -> Name {
        Name::new(&self.namespace, &self.name)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether it has only the characters of Kubernetes' names, so that it can go into a SubjectAccessReview and a log line.
fn is_name(text: &str, longest: usize) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || matches!(b, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_names_a_realtime_token_and_every_other_names_nothing() {
        let parse = |path: &str| Target::parse(&Method::POST, path);
        let found = parse("/v1alpha1/namespaces/shop/realtimetokens/voice.v2/token").unwrap();
        assert_eq!(found.to_string(), "shop/voice.v2");
        for path in [
            "/",
            "/livez",
            "/v1alpha1/namespaces/shop/realtimetokens/voice",
            "/v1alpha1/namespaces/shop/realtimetokens/voice/token/",
            "//v1alpha1/namespaces/shop/realtimetokens/voice/token",
            "/v1/namespaces/shop/realtimetokens/voice/token",
            "/v1alpha1/namespaces//realtimetokens/voice/token",
            "/v1alpha1/namespaces/shop/realtimetokens/../token",
            "/v1alpha1/namespaces/shop/realtimetokens/%76oice/token",
            "/v1alpha1/namespaces/Shop/realtimetokens/voice/token",
            "/v1alpha1/namespaces/shop/realtimetokens/voice\u{430}/token",
            "/v1alpha1/namespaces/shop/realtimetokens/*/token",
        ] {
            assert_eq!(parse(path), Err(Problem::no_such_path()), "{path}");
        }
        let long = format!("/v1alpha1/namespaces/{}/realtimetokens/voice/token", "a".repeat(64));
        assert_eq!(parse(&long), Err(Problem::no_such_path()));
    }

    #[test]
    fn the_method_is_post() {
        let path = "/v1alpha1/namespaces/shop/realtimetokens/voice/token";
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(Target::parse(&method, path), Err(Problem::method_not_allowed()));
        }
    }
}
