//! What a provider looks like from outside, and the checks all of them share.
//!
//! A provider is one file with one [`Face`]: its paths, headers, error envelope and mints.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use super::Provider;
use super::asked::Asked;
use super::mint::{Minted, Minting};

/// Everything the server needs to know about a provider.
pub(super) struct Face {
    pub(super) provider: Provider,
    /// Paths that begin so are answered in this provider's voice, known or not.
    pub(super) prefixes: &'static [&'static str],
    /// The headers of the SDK's recorded requests, apart from the ordinary ones.
    pub(super) headers: &'static [&'static str],
    /// How to present a key, for the message of a call without one.
    pub(super) key_form: &'static str,
    pub(super) default_key: &'static str,
    pub(super) api_key: fn(&Asked) -> Option<&str>,
    /// Which identity the token is for, if the call names one.
    pub(super) identity: fn(&Asked) -> Option<String>,
    /// The error body of a refusal; the last argument is the request's id.
    pub(super) envelope: fn(&Refusal, &str) -> Value,
    pub(super) routes: &'static [Route],
}

/// One path that mints.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) query: &'static [&'static str],
    pub(super) body: Body,
    pub(super) mint: fn(&Asked, &Minting) -> Result<Minted, Refusal>,
}

/// What a route's body must be.
#[derive(PartialEq)]
pub(super) enum Body {
    Json,
    None,
}

/// Why a call is refused.
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The header, query key or field at fault, if there is one.
    pub(super) param: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            param: None,
            message: message.into(),
        }
    }

    /// A 400 about one named thing.
    pub(super) fn bad(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(400, message)
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.message)?;
        match &self.param {
            Some(param) if !self.message.contains(param) => write!(f, ": {param}"),
            _ => Ok(()),
        }
    }
}

/// Headers that any HTTP client may send.
pub(super) const ORDINARY: [&str; 6] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "user-agent",
];

impl Face {
    /// The provider that a path belongs to.
    pub(super) fn of(path: &str) -> Option<&'static Self> {
        Provider::ALL
            .map(Provider::face)
            .into_iter()
            .flatten()
            .find(|face| face.prefixes.iter().any(|prefix| path.starts_with(prefix)))
    }

    /// Holds a call against the rules and mints if it keeps them all.
    pub(super) fn answer(
        &self,
        asked: &Asked,
        accepted: &HashSet<String>,
        minting: &Minting,
    ) -> Result<Minted, Refusal> {
        let route = self.route(asked)?;
        self.check_key(asked, accepted)?;
        self.check_headers(asked, route)?;
        check_query(asked, route)?;
        check_body(asked, route)?;
        (route.mint)(asked, minting)
    }

    fn route(&self, asked: &Asked) -> Result<&'static Route, Refusal> {
        let Asked { method, path, .. } = asked;
        let mut routes = self.routes.iter().filter(|route| route.path == path);
        let Some(route) = routes.next() else {
            return Err(Refusal::new(404, format!("there is no {method} {path}")));
        };
        if route.method != method {
            let message = format!("{path} takes {}, not {method}", route.method);
            return Err(Refusal::new(405, message));
        }
        Ok(route)
    }

    fn check_key(&self, asked: &Asked, accepted: &HashSet<String>) -> Result<(), Refusal> {
        match (self.api_key)(asked) {
            None => {
                let message = format!("no API key: send the header `{}`", self.key_form);
                Err(Refusal::new(401, message))
            }
            Some(key) if accepted.contains(key) => Ok(()),
            Some(key) => Err(Refusal::new(401, wrong_key(key))),
        }
    }

    fn check_headers(&self, asked: &Asked, route: &Route) -> Result<(), Refusal> {
        let mut seen = HashSet::new();
        for (name, _) in &asked.headers {
            let name = name.as_str();
            let known = ORDINARY.contains(&name)
                || self.headers.contains(&name)
                || (name == "content-type" && route.body == Body::Json);
            if !known {
                return Err(Refusal::bad(name, format!("unknown header {name}")));
            }
            if !seen.insert(name) {
                return Err(Refusal::bad(name, format!("header {name} sent twice")));
            }
        }
        Ok(())
    }
}

/// Unlike the real services it shows the whole key, so that an error that is stored or logged unscrubbed is noticed.
pub(super) fn wrong_key(key: &str) -> String {
    format!("Incorrect API key provided: {key}.")
}

fn check_query(asked: &Asked, route: &Route) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for (key, value) in asked.raw_query() {
        if !route.query.contains(&key) {
            return Err(Refusal::bad(key, format!("unknown query key {key}")));
        }
        if !seen.insert(key) {
            return Err(Refusal::bad(key, format!("query key {key} sent twice")));
        }
        if value.contains('+') {
            let message = format!("query key {key} has a raw +; SDKs write a space as %20");
            return Err(Refusal::bad(key, message));
        }
    }
    Ok(())
}

fn check_body(asked: &Asked, route: &Route) -> Result<(), Refusal> {
    let content_type = asked.header("content-type");
    match route.body {
        Body::Json if content_type != Some("application/json") => {
            let message = format!(
                "content-type must be application/json, not {}",
                content_type.unwrap_or("missing")
            );
            Err(Refusal::bad("content-type", message))
        }
        Body::None if !asked.body.is_empty() => {
            let message = format!("the body must be empty, not {} bytes", asked.body.len());
            Err(Refusal::bad("body", message))
        }
        // A POST that announces no length is answered 411 by many a proxy on the way.
        Body::None if route.method == "POST" && asked.header("content-length") != Some("0") => {
            let message = "content-length must be 0 for a POST without a body";
            Err(Refusal::bad("content-length", message))
        }
        Body::Json | Body::None => Ok(()),
    }
}
