//! Where a key may be sent.
//!
//! Deny by default: the author of a RealtimeToken could otherwise send any Secret of the namespace to a host of their
//! own. The providers' own hosts are fixed in the adapters; any other origin must be on the platform team's list.

use std::collections::BTreeSet;

use reqwest::Url;

/// The origin that a provider block calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A host of the provider's own.
    BuiltIn(&'static str),
    /// A host of the provider's own under a name of the customer's, such as `https://NAME.openai.azure.com`.
    Tenant(String),
    /// An origin from the spec.
    Custom(&'a str),
    /// None: the token is signed here.
    Local,
}

impl<'a> Endpoint<'a> {
    /// The origin of the spec, if it names one, else the provider's own.
    pub(crate) fn or(custom: &'a Option<String>, own: &'static str) -> Self {
        custom.as_deref().map_or(Self::BuiltIn(own), Self::Custom)
    }

    /// The origin in the one spelling that all others come to; `None` if there is none to call.
    pub(crate) fn origin(&self) -> Option<String> {
        let text: &str = match self {
            Self::BuiltIn(text) => text,
            Self::Custom(text) => text,
            Self::Tenant(text) => text,
            Self::Local => return None,
        };
        let origin = origin(text).map(|url| url.origin().ascii_serialization());
        Some(origin.unwrap_or_else(|_| text.to_owned()))
    }
}

/// The origins beside the providers' own hosts that keys may be sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPolicy {
    allowed: BTreeSet<String>,
}

impl EndpointPolicy {
    /// The policy of the values of `--allow-endpoint`.
    pub fn parse<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Result<Self, EndpointError> {
        let origins = values
            .into_iter()
            .map(|value| origin(value.as_ref()).map(|url| key(&url)));
        Ok(Self {
            allowed: origins.collect::<Result<_, _>>()?,
        })
    }

    /// The origin to call, if there is one and keys may be sent there.
    pub(crate) fn check(&self, endpoint: &Endpoint<'_>) -> Result<Option<Url>, EndpointError> {
        match endpoint {
            Endpoint::Local => Ok(None),
            Endpoint::BuiltIn(own) => origin(own).map(Some),
            Endpoint::Tenant(own) => origin(own).map(Some),
            Endpoint::Custom(custom) => self.check_service(custom, false).map(Some),
        }
    }

    /// The origin of another service than the endpoint, such as one that hands out access tokens.
    pub(crate) fn check_service(&self, text: &str, built_in: bool) -> Result<Url, EndpointError> {
        let url = origin(text)?;
        if built_in || self.lists(&url) {
            Ok(url)
        } else {
            Err(EndpointError::NotAllowed(key(&url)))
        }
    }

    /// Whether the list names this origin.
    pub(crate) fn lists(&self, origin: &Url) -> bool {
        self.allowed.contains(&key(origin))
    }

    /// The hosts that the list names, which may have private addresses.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = String> {
        self.allowed.iter().filter_map(|listed| {
            let url = Url::parse(listed).ok()?;
            url.host_str().map(str::to_owned)
        })
    }

    /// Whether the list names an origin that is called in the clear.
    pub(crate) fn lists_plain_http(&self) -> bool {
        self.allowed.iter().any(|origin| origin.starts_with("http:"))
    }
}

/// An endpoint that keys may not be sent to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error(
        "the endpoint {0:?} {1}: write scheme, host and, if it isn't the default, port, such as \
         https://gateway.example.com or http://127.0.0.1:8080"
    )]
    NotAnOrigin(String, &'static str),
    #[error(
        "the endpoint {0} is not allowed: --allow-endpoint has to name it; the operator's is set by the platform team"
    )]
    NotAllowed(String),
}

/// Parses an origin strictly. What `Url` would correct silently (tabs, backslashes, `user@`) is refused: an entry of an
/// allowlist must mean what its reader sees.
pub(crate) fn origin(text: &str) -> Result<Url, EndpointError> {
    let refuse = |why| Err(EndpointError::NotAnOrigin(text.chars().take(256).collect(), why));
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return refuse("holds white space or a backslash");
    }
    if text.contains('*') {
        return refuse("holds a wildcard, but every endpoint is listed by itself");
    }
    if text.contains('@') {
        return refuse("holds a user");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("has no scheme");
    };
    // `https:one.example#://another.example` is the first with a fragment, and looks like the second.
    if !["https", "http"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) {
        return refuse("has a scheme other than https and http");
    }
    if rest.trim_end_matches('/').contains(['/', '?', '#']) || rest.ends_with("//") {
        return refuse("has a path or a query");
    }
    match Url::parse(text) {
        Ok(url) if url.host_str().is_none_or(str::is_empty) => refuse("has no host"),
        Ok(url) => Ok(url),
        Err(_) => refuse("is not a URL"),
    }
}

/// The one spelling of an origin: host in lower case, no default port.
fn key(origin: &Url) -> String {
    origin.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(values: &[&str]) -> EndpointPolicy {
        EndpointPolicy::parse(values).unwrap()
    }

    #[test]
    fn built_in_hosts_need_no_entry() {
        let url = EndpointPolicy::default()
            .check(&Endpoint::BuiltIn("https://api.openai.com"))
            .unwrap();
        assert_eq!(url.unwrap().as_str(), "https://api.openai.com/");
    }

    #[test]
    fn a_custom_endpoint_must_be_listed_even_if_it_names_a_built_in_host() {
        let error = EndpointPolicy::default()
            .check(&Endpoint::Custom("https://api.openai.com"))
            .unwrap_err();
        assert_eq!(error, EndpointError::NotAllowed("https://api.openai.com".into()));
        assert!(error.to_string().contains("--allow-endpoint"), "{error}");
    }

    #[test]
    fn an_origin_counts_in_one_spelling() {
        for text in [
            "https://Gateway.example",
            "HTTPS://gateway.example:443",
            "https://gateway.example/",
        ] {
            let origin = Endpoint::Custom(text).origin();
            assert_eq!(origin.as_deref(), Some("https://gateway.example"), "{text}");
        }
        let azure = Endpoint::Tenant("https://Voice.openai.azure.com".to_owned());
        assert_eq!(azure.origin().as_deref(), Some("https://voice.openai.azure.com"));
        assert_eq!(Endpoint::Local.origin(), None);
    }

    #[test]
    fn spellings_of_one_origin_are_one() {
        for (listed, asked) in [
            ("https://gateway.example.com", "https://gateway.example.com"),
            ("https://gateway.example.com", "https://GATEWAY.example.COM"),
            ("HTTPS://Gateway.Example.com", "https://gateway.example.com"),
            ("https://gateway.example.com:443", "https://gateway.example.com"),
            ("https://gateway.example.com", "https://gateway.example.com:443"),
            ("https://gateway.example.com/", "https://gateway.example.com"),
            ("http://gateway.example.com:80", "http://gateway.example.com"),
            ("http://[::1]:8080", "http://[0:0::1]:8080"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert!(
                policy(&[listed]).check(&Endpoint::Custom(asked)).is_ok(),
                "{listed} should allow {asked}"
            );
        }
    }

    #[test]
    fn neighbours_of_a_listed_origin_are_refused() {
        let policy = policy(&["https://gateway.example.com", "http://127.0.0.1:8080"]);
        for asked in [
            "http://gateway.example.com",
            "https://gateway.example.com:8443",
            "https://evil.gateway.example.com",
            "https://gateway.example.com.evil.net",
            "https://gateway.example.com.",
            "https://example.com",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "https://127.0.0.1:8080",
            "http://localhost:8080",
        ] {
            let refused = policy.check(&Endpoint::Custom(asked));
            assert!(
                matches!(refused, Err(EndpointError::NotAllowed(_))),
                "{asked}: {refused:?}"
            );
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_its_reason() {
        for (text, why) in [
            ("gateway.example.com", "no scheme"),
            ("", "no scheme"),
            ("https://", "not a URL"),
            ("https:///x", "path"),
            ("https://host/v1", "path"),
            ("https://host//", "path"),
            ("https:evil.example://host", "scheme other than"),
            ("https://host?", "query"),
            ("https://host/?a=b", "path or a query"),
            ("https://host#f", "query"),
            ("https://user@host", "user"),
            ("https://user:pass@host", "user"),
            ("https://@host", "user"),
            ("https://host\\@evil.net", "backslash"),
            ("https://ho\tst", "white space"),
            (" https://host", "white space"),
            ("https://*.example.com", "wildcard"),
            ("ftp://host", "scheme other than"),
            ("file:///etc/passwd", "scheme other than"),
            ("https://host:99999", "not a URL"),
            ("https:one.example#://another.example", "scheme other than"),
            ("https:one.example?://another.example", "scheme other than"),
        ] {
            let error = EndpointPolicy::parse([text]).unwrap_err();
            assert!(matches!(error, EndpointError::NotAnOrigin(..)), "{text:?}: {error}");
            assert!(error.to_string().contains(why), "{text:?}: {error}");
            assert!(error.to_string().contains("such as https://"), "{text:?}: {error}");
        }
    }

    #[test]
    fn numbers_that_are_addresses_are_compared_as_addresses() {
        let policy = policy(&["http://127.0.0.1:8080"]);
        assert!(policy.check(&Endpoint::Custom("http://2130706433:8080")).is_ok());
        assert!(policy.check(&Endpoint::Custom("http://0x7f000002:8080")).is_err());
    }

    #[test]
    fn the_list_says_which_hosts_it_names_and_whether_in_the_clear() {
        let listed = policy(&["https://gateway.example.com:8443", "https://other.example.com"]);
        let hosts: std::collections::BTreeSet<_> = listed.hosts().collect();
        assert_eq!(
            hosts.into_iter().collect::<Vec<_>>(),
            ["gateway.example.com", "other.example.com"]
        );
        assert!(!listed.lists_plain_http() && policy(&["http://127.0.0.1:8080"]).lists_plain_http());
    }
}
