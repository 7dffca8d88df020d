//! CEL rules of several fields, in place of patterns: a pattern's message is the pattern, which doesn't say what to do.
//!
//! The API server and `mint` evaluate them. Regular expressions are written so that RE2 and Rust's `regex` read them
//! alike: a bracket within a class is escaped.

pub(super) const NAME: &str = "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
pub(super) const NAME_MESSAGE: &str =
    "a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit";

pub(super) const SECRET_KEY: &str = "self.matches('^[-._a-zA-Z0-9]+$')";
pub(super) const SECRET_KEY_MESSAGE: &str =
    "a key of a Secret has letters, digits, '-', '_' and '.'; this is the key's name, not its value";

pub(super) const HEADER: &str = "self.matches('^[!-~]+$')";
pub(super) const HEADER_MESSAGE: &str = "sent as a header: ASCII letters, digits and punctuation, no spaces";

pub(super) const ID_MESSAGE: &str = "an id has ASCII letters, digits and punctuation, no spaces";

const ORIGIN: &str = "self.matches('^https?://[^/?#@[:space:]]+/?$')";
const ORIGIN_MESSAGE: &str = "an endpoint is scheme, host and, if it isn't the default, port, such as https://gateway.example.com; no path, query or user";

pub(super) const SERVER: &str = "self.matches('^(wss|ws|https|http)://[^?#@[:space:]]+$')";
pub(super) const SERVER_MESSAGE: &str =
    "a server's URL is wss://, ws://, https:// or http:// with host, and port and path if need be; no query or user";

pub(super) const LABEL: &str = "self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$')";
pub(super) const LABEL_MESSAGE: &str = "one part of a host's name, not an address: letters, digits and '-'";

pub(super) const TENANT: &str = "self.matches('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$')";
pub(super) const TENANT_MESSAGE: &str = "the tenant's id, or one of its domains such as contoso.onmicrosoft.com";

const INSTANT: &str =
    "self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$')";
const INSTANT_MESSAGE: &str = "a point in time as RFC 3339, such as 2026-12-01T09:00:00Z";

/// A point in time. Not the format `date-time`: the API server takes more for one than the operator would.
pub(super) fn instant(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string", "minLength": 20, "maxLength": 25,
        "x-kubernetes-validations": [{"rule": INSTANT, "message": INSTANT_MESSAGE}],
    })
}

/// An object in the provider's own words. The API server can count its fields only; its size the operator bounds.
pub(super) fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "maxProperties": 256, "x-kubernetes-preserve-unknown-fields": true})
}

/// An origin in place of the provider's own.
pub(super) fn origin(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string", "minLength": 1, "maxLength": 256,
        "x-kubernetes-validations": [{"rule": ORIGIN, "message": ORIGIN_MESSAGE}],
    })
}
