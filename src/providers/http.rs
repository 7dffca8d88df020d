//! A provider that has no block of its own, asked over HTTP: one request and one reply, both as the block describes.
//!
//! Its endpoint is always one of the spec, so keys go only where `--allow-endpoint` lets them, and messages repeat only
//! the status of its errors.

mod check;
mod reply;

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::ACCEPT;
use http::{HeaderName, HeaderValue};

use super::Provider;
use crate::api::{Http, HttpAuthKind, HttpFormat, HttpMethod, HttpRequest, HttpReuse, ProviderBlock, SecretField};
use crate::mint::placeholder::{KEY_ID, LARGEST, SUBJECT, Text, Values, filled, param};
use crate::mint::request::component;
use crate::mint::wire::credential_header;
use crate::mint::{Class, Endpoint, InvalidBlock, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

const KEY: SecretField = SecretField::api_key("API_KEY");
const USERNAME: SecretField = SecretField {
    key: "username",
    env: "USERNAME",
};
const PASSWORD: SecretField = SecretField {
    key: "password",
    env: "PASSWORD",
};
const WITH_ID: &[SecretField] = &[KEY, KEY_ID];
const BASIC: &[SecretField] = &[USERNAME, PASSWORD];

impl Http {
    fn request(&self) -> Result<&HttpRequest, InvalidBlock> {
        let request = self.account.request.as_ref();
        request.ok_or_else(|| InvalidBlock("http.request: set it".into()))
    }

    fn build(&self, mint: &Mint<'_>) -> Result<Request, MintError> {
        let template = self.request()?;
        let values = Values {
            mint,
            params: &self.params,
            key: &KEY,
        };
        let path = path(template, &values)?;
        let mut request = match (template.method, &template.json, &template.form) {
            (HttpMethod::GET, ..) => Request::get(path),
            (HttpMethod::POST, Some(json), _) => {
                let json = filled(&json.read(), "http.request.json", &values)?;
                let request = Request::post_json(path, &json.into());
                bounded("http.request.json", request.bytes().len())?;
                request
            }
            (HttpMethod::POST, None, Some(form)) => {
                let fields = texts(form, "http.request.form", &values)?;
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                let request = Request::post_form(path, &fields);
                bounded("http.request.form", request.bytes().len())?;
                request
            }
            (HttpMethod::POST, None, None) => Request::post_empty(path),
        };
        let response = self.account.response.as_ref();
        if response.is_some_and(|response| response.format == HttpFormat::Text) {
            let text = HeaderValue::from_static("text/plain");
            request.headers.insert(ACCEPT, text);
        }
        for (name, text) in &template.headers {
            let (name, value) = header(name, text, &values)?;
            request.headers.insert(name, value);
        }
        let auth = &template.auth;
        match auth.kind {
            HttpAuthKind::Basic => request.basic(mint, &USERNAME, &PASSWORD),
            HttpAuthKind::Header => {
                let value = credential_header(mint.credential, &KEY, &auth.prefix)?;
                request
                    .headers
                    .insert(check::header_name(&auth.header, "http.request.auth.header")?, value);
                Ok(request)
            }
        }
    }
}

/// Path and query. A value of a placeholder stays within its segment.
fn path(template: &HttpRequest, values: &Values<'_>) -> Result<String, MintError> {
    let place = "http.request.path";
    let refuse = |problem: &str| Err(InvalidBlock(format!("{place}: {problem}")).into());
    let mut path = Text::parse(&template.path, place)?.fill(values, component)?;
    let segments: Vec<_> = path.split('/').collect();
    match segments.as_slice() {
        ["", inner @ .., _] if !inner.contains(&"") => {}
        _ => return refuse("begins with one / and has no empty segment; the host is the endpoint's"),
    }
    // What a URL parser would take for a way up, or leave out.
    if let Some(dots) = segments.into_iter().find(|segment| matches!(*segment, "." | "..")) {
        return refuse(&format!("a segment comes out as {dots:?}, which would leave the path"));
    }
    let query = texts(&template.query, "http.request.query", values)?;
    let pairs: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{}={}", component(name), component(value)))
        .collect();
    if !pairs.is_empty() {
        path = format!("{path}?{}", pairs.join("&"));
    }
    bounded(place, path.len())?;
    Ok(path)
}

fn texts(
    templates: &BTreeMap<String, String>,
    place: &str,
    values: &Values<'_>,
) -> Result<Vec<(String, String)>, MintError> {
    let pairs = templates.iter().map(|(name, text)| {
        let text = Text::parse(text, &format!("{place}.{name}"))?;
        Ok((name.clone(), text.fill(values, str::to_owned)?))
    });
    pairs.collect()
}

fn header(name: &str, text: &str, values: &Values<'_>) -> Result<(HeaderName, HeaderValue), MintError> {
    let place = format!("http.request.headers.{name}");
    let text = Text::parse(text, &place)?;
    let filled = text.fill(values, str::to_owned)?;
    let sendable = filled.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    let value = HeaderValue::from_str(&filled).ok().filter(|_| sendable);
    let mut value = value.ok_or_else(|| {
        InvalidBlock(format!(
            "{place}: comes out with a line break or another character that no header can carry"
        ))
    })?;
    value.set_sensitive(["credential", "keyId", SUBJECT].into_iter().any(|name| text.uses(name)));
    Ok((check::header_name(name, &place)?, value))
}

fn bounded(place: &str, size: usize) -> Result<(), InvalidBlock> {
    if size > LARGEST {
        return Err(InvalidBlock(format!(
            "{place}: {size} bytes once filled in, and at most {LARGEST} are allowed"
        )));
    }
    Ok(())
}

impl Provider for Http {
    fn published(&self) -> Cow<'static, str> {
        self.account.name.clone().map_or(Self::FACTS.name.into(), Cow::Owned)
    }

    fn secret_fields(&self) -> &'static [SecretField] {
        let Some(request) = &self.account.request else {
            return Self::FACTS.secret_fields;
        };
        if request.auth.kind == HttpAuthKind::Basic {
            return BASIC;
        }
        let texts = check::texts(request).unwrap_or_default();
        let uses_id = texts.iter().any(|text| text.uses("keyId"));
        if uses_id { WITH_ID } else { Self::FACTS.secret_fields }
    }

    fn no_access_token(&self) -> Option<&'static str> {
        (self.secret_fields() != Self::FACTS.secret_fields).then_some(
            "http.request: with credentials.workloadIdentity there is one value, the access token, as \
             {{ credential }}; remove {{ keyId }} and auth.kind Basic",
        )
    }

    fn bound_model(&self) -> Option<&str> {
        param(&self.params, "model")
    }

    fn is_bound_to_room(&self) -> bool {
        param(&self.params, "room").is_some()
    }

    fn single_use(&self) -> Option<&'static str> {
        (self.account.reuse == Some(HttpReuse::Single)).then_some(
            "http.reuse says that a token starts one session: the first reader of the Secret uses it up, and the next \
             one comes with the renewal. Let each session ask for a token of its own (spec.requests)",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Custom(self.account.endpoint.as_deref().unwrap_or_default())
    }

    fn describes_reply(&self) -> bool {
        true
    }

    fn class(&self, status: u16) -> Class {
        let Some(response) = &self.account.response else {
            return Class::usual(status);
        };
        if response.throttled.contains(&status) {
            return Class::Throttled;
        }
        if response.unavailable.contains(&status) {
            return Class::Unavailable;
        }
        match Class::usual(status) {
            Class::Granted if !response.success.is_empty() && !response.success.contains(&status) => Class::Rejected,
            usual => usual,
        }
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        check::block(self, None)
    }

    fn uses_subject(&self) -> bool {
        let texts = self.account.request.as_ref().map(check::texts);
        let texts = texts.and_then(Result::ok).unwrap_or_default();
        texts.iter().any(|text| text.uses(SUBJECT))
    }

    fn validate_for(&self, subject: &str) -> Result<(), InvalidBlock> {
        check::block(self, Some(subject))
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        self.build(mint).map(Step::Send)
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        reply::read(self, mint, body).map(Step::Done)
    }
}

#[cfg(test)]
mod tests;
