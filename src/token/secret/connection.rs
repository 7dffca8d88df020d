//! Where tokens on request are asked for: the keys of the Secret that don't come from a token.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::ResourceExt;

use crate::api::{CONNECTION_KEYS, RealtimeToken};

/// The server of tokens on request, as a client reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Scheme, host and, if need be, port, such as `https://realtime-token-operator.operator.svc`.
    pub url: String,
    /// The CA certificates to trust, in PEM; `None` if clients trust the certificate's issuer already.
    pub ca_bundle: Option<String>,
}

impl Connection {
    /// The whole URL to POST to.
    pub(crate) fn request_url(&self, namespace: &str, name: &str) -> String {
        let origin = self.url.trim_end_matches('/');
        format!("{origin}/v1alpha1/namespaces/{namespace}/realtimetokens/{name}/token")
    }
}

/// What is known of the server of tokens on request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum RequestsEndpoint {
    /// This installation hands out no tokens on request.
    #[default]
    NotEnabled,
    /// The serving certificate has not been read or made yet.
    Unknown,
    Known(Connection),
}

impl RequestsEndpoint {
    /// Where tokens of this RealtimeToken are asked for.
    pub(crate) fn request_url(&self, token: &RealtimeToken) -> Option<String> {
        match self {
            Self::Known(connection) => {
                let namespace = token.namespace().unwrap_or_default();
                Some(connection.request_url(&namespace, &token.name_any()))
            }
            Self::NotEnabled | Self::Unknown => None,
        }
    }

    /// The keys that the Secret of this RealtimeToken has for its readers to ask with.
    pub(crate) fn keys(&self, token: &RealtimeToken) -> BTreeMap<String, ByteString> {
        let Self::Known(connection) = self else {
            return BTreeMap::new();
        };
        if token.spec.requests.is_none() {
            return BTreeMap::new();
        }
        let values = [self.request_url(token), connection.ca_bundle.clone()];
        let keys = CONNECTION_KEYS.into_iter().zip(values);
        keys.filter_map(|(key, value)| Some((key.to_owned(), ByteString(value?.into_bytes()))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::fixtures::realtime_token;

    fn keys(url: &str, ca_bundle: Option<&str>, serves: bool) -> Vec<(String, String)> {
        let mut token = realtime_token();
        token.spec.requests = serves.then(|| serde_json::from_value(serde_json::json!({})).unwrap());
        let (url, ca_bundle) = (url.to_owned(), ca_bundle.map(str::to_owned));
        let endpoint = RequestsEndpoint::Known(Connection { url, ca_bundle });
        let keys = endpoint.keys(&token).into_iter();
        keys.map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
            .collect()
    }

    #[test]
    fn the_whole_url_and_the_bundle() {
        let url = "https://op.ns.svc/v1alpha1/namespaces/apps/realtimetokens/voice/token";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let both = [pair("request-ca.crt", "PEM"), pair("request-url", url)];
        assert_eq!(keys("https://op.ns.svc", Some("PEM"), true), both);
        assert_eq!(keys("https://op.ns.svc/", None, true), [pair("request-url", url)]);
        assert_eq!(keys("https://op.ns.svc", Some("PEM"), false), []);
    }
}
