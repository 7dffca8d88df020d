//! A request as an adapter builds it: relative to an origin.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::wire::{credential_header, secret};
use super::{Mint, UnusableReply};
use crate::api::SecretField;
use crate::token::MintError;

/// What JavaScript's `encodeURIComponent` escapes, as the SDKs do: a space is `%20`, never `+`.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What `application/x-www-form-urlencoded` leaves alone, but for the space.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b' ');

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum To {
    #[default]
    Endpoint,
    /// To another service, such as the one that hands out access tokens.
    Service {
        /// Its name in messages.
        title: &'static str,
        origin: String,
        /// Whether that origin is fixed by the provider; any other must be on the list of allowed endpoints.
        built_in: bool,
    },
}

#[derive(Clone, Default, PartialEq, Eq)]
pub enum Body {
    /// None, and no length either.
    #[default]
    None,
    /// Empty, with `Content-Length: 0`.
    Empty,
    /// JSON or a form.
    Bytes(Vec<u8>),
}

/// A request relative to an origin. `Debug` prints the method only: headers and forms carry keys, and any part of it may
/// carry the subject of a request.
pub struct Request {
    pub to: To,
    pub method: Method,
    /// Path and query, percent-encoded as the official SDK does.
    pub path: String,
    /// Headers; values that carry the key are marked sensitive.
    pub headers: HeaderMap,
    pub body: Body,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Request {
    fn new(method: Method, path: impl Into<String>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            to: To::Endpoint,
            method,
            path: path.into(),
            headers,
            body: Body::None,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post_json(path: impl Into<String>, body: &Value) -> Self {
        let mut request = Self::new(Method::POST, path).header("content-type", "application/json");
        request.body = Body::Bytes(body.to_string().into_bytes());
        request
    }

    pub(crate) fn post_form(path: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let encode = |text| utf8_percent_encode(text, FORM).to_string().replace(' ', "+");
        let pairs = fields
            .iter()
            .map(|(key, value)| format!("{}={}", encode(key), encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let mut request = Self::new(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        request.body = Body::Bytes(body.into_bytes());
        request
    }

    /// `POST` of nothing, with `Content-Length: 0` and no content type.
    pub(crate) fn post_empty(path: impl Into<String>) -> Self {
        let mut request = Self::new(Method::POST, path);
        request.body = Body::Empty;
        request
    }

    /// Adds the query, in this order, leaving out what is `None`.
    pub(crate) fn query(mut self, pairs: &[(&str, Option<&str>)]) -> Self {
        let given = pairs
            .iter()
            .filter_map(|(key, value)| value.map(|value| format!("{key}={}", component(value))));
        let query = given.collect::<Vec<_>>().join("&");
        if !query.is_empty() {
            self.path = format!("{}?{query}", self.path);
        }
        self
    }

    /// A header whose value is fixed by the adapter.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// A value of the key Secret as a header behind a scheme such as `"Token "`, or bare.
    pub(crate) fn key(
        mut self,
        mint: &Mint<'_>,
        field: &SecretField,
        name: &'static str,
        scheme: &str,
    ) -> Result<Self, MintError> {
        let value = credential_header(mint.credential, field, scheme)?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// A value of the key Secret as a bare header, or the access token in its place as `Authorization: Bearer`.
    pub(crate) fn key_or_bearer(
        self,
        mint: &Mint<'_>,
        field: &SecretField,
        name: &'static str,
    ) -> Result<Self, MintError> {
        if mint.credential.is_access_token() {
            self.bearer(mint, field)
        } else {
            self.key(mint, field, name, "")
        }
    }

    /// A value of the key Secret as `Authorization: Bearer`.
    pub(crate) fn bearer(self, mint: &Mint<'_>, field: &SecretField) -> Result<Self, MintError> {
        self.key(mint, field, AUTHORIZATION.as_str(), "Bearer ")
    }

    /// A token from a reply as `Authorization: Bearer`.
    pub(crate) fn bearer_token(mut self, token: &str) -> Result<Self, UnusableReply> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| UnusableReply("its token can't be sent as a header".into()))?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(self)
    }

    /// Two values of the key Secret as `Authorization: Basic`. The first can't hold a colon, where the pair is split.
    pub(crate) fn basic(
        mut self,
        mint: &Mint<'_>,
        user: &SecretField,
        password: &SecretField,
    ) -> Result<Self, MintError> {
        let (name, password) = (
            secret(mint.credential, user)?.expose_secret(),
            secret(mint.credential, password)?.expose_secret(),
        );
        if name.contains(':') {
            let (key, place) = (user.key, mint.credential.place_of(user));
            return Err(MintError::wrong_key(format!(
                "{key} in {place} holds a colon, which `Authorization: Basic` can't carry"
            )));
        }
        let value = format!("Basic {}", BASE64.encode(format!("{name}:{password}")));
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| MintError::wrong_key("the credential can't be sent as a header"))?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(self)
    }

    /// Sends it to another service than the block's endpoint.
    pub(crate) fn to(mut self, to: To) -> Self {
        self.to = to;
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::None | Body::Empty => &[],
            Body::Bytes(bytes) => bytes,
        }
    }
}

/// One segment of a path, or a value of a query.
pub(crate) fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}
