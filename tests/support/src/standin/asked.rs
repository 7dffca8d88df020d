//! A request as it came in.

use hyper::body::Bytes;
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

/// A whole request, its parts as text.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    query: Option<String>,
    /// Names in lower case, repeated ones in order.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn new(parts: Parts, body: Bytes) -> Self {
        let headers = parts.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: headers.collect(),
            body,
        }
    }

    pub(super) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The query's keys with their values as sent, in order.
    pub(super) fn raw_query(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        pairs
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The decoded value of a query key.
    pub(super) fn query(&self, key: &str) -> Option<String> {
        let (_, value) = self.raw_query().find(|(name, _)| *name == key)?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    }
}

/// The first value of a header, by its lower-case name.
pub(super) fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let (_, value) = headers.iter().find(|(known, _)| known == name)?;
    Some(value)
}
