//! A provider played from data: its recording says what a request may be, its conformance file how to answer.
//!
//! Strict: a path, query key, header or field of the body that no recorded request has is a 400 that names it, and so
//! is one of another type, and one that must be there (as all recorded requests have it) and isn't.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::asked::Asked;
use super::face::{Refusal, wrong_key};
use super::faults::Fault;
use super::known::{headers, query, same_shape};
use super::mint::{Minted, Minting};
use crate::conformance::{self, Play, SignIn};

/// A provider with its recorded requests.
pub(super) struct Recorded {
    pub(super) field: &'static str,
    pub(super) play: Play,
    requests: Vec<Value>,
}

/// Every provider that is played so.
pub(super) fn all() -> anyhow::Result<Vec<Recorded>> {
    let files = conformance::all()?.into_iter();
    let played = files.filter_map(|file| Some((file.field, file.standin?)));
    played
        .map(|(field, play)| {
            let mut requests = play.also.clone();
            if let Ok(recording) = conformance::recording(&field) {
                requests.extend(recording["requests"].as_array().cloned().unwrap_or_default());
            }
            requests.retain(|known| !play.wrong_paths.iter().any(|wrong| wrong == path(known)));
            anyhow::ensure!(
                !requests.is_empty(),
                "{field}: neither recorded requests nor standin.also"
            );
            // A handful of names, for as long as the tests run.
            let field: &'static str = field.leak();
            Ok(Recorded { field, play, requests })
        })
        .collect()
}

impl Recorded {
    /// The key that a call presents.
    pub(super) fn api_key<'a>(&self, asked: &'a Asked) -> Option<&'a str> {
        let key = asked
            .header(&self.play.header)
            .and_then(|value| value.strip_prefix(self.play.scheme.as_str()));
        key.or_else(|| asked.header(&self.play.sign_in.as_ref()?.header))
    }

    /// Holds a call against the recorded ones and mints if it keeps to them.
    pub(super) fn answer(
        &self,
        asked: &Asked,
        accepted: &HashSet<String>,
        minting: &Minting,
    ) -> Result<Minted, Refusal> {
        if let Some(first) = &self.play.sign_in
            && path(&first.request) == asked.path
        {
            return signed_in(asked, first, minting);
        }
        let known: Vec<&Value> = self
            .requests
            .iter()
            .filter(|known| known["method"] == asked.method && path(known) == asked.path)
            .collect();
        if known.is_empty() {
            let (method, path) = (&asked.method, &asked.path);
            return Err(Refusal::new(404, format!("there is no {method} {path}")));
        }
        let both =
            self.play.sign_in.as_ref().is_some_and(|first| {
                asked.header(&first.header).is_some() && asked.header(&self.play.header).is_some()
            });
        if both {
            let header = &self.play.header;
            let message = format!("{header} beside an access token: send one of them");
            return Err(Refusal::bad(header.clone(), message));
        }
        match self.api_key(asked) {
            None => {
                let (header, scheme) = (&self.play.header, &self.play.scheme);
                let message = format!("no API key: send the header `{header}: {scheme}<API key>`");
                return Err(Refusal::new(401, message));
            }
            Some(key) if self.signed_in(key) => {}
            Some(key) if !accepted.contains(key) => return Err(Refusal::new(401, wrong_key(key))),
            Some(_) => {}
        }
        headers(asked, &known)?;
        query(asked, &known)?;
        let body = self.body(asked, &known)?;
        self.mint(asked, &body, minting)
    }

    /// Whether it is the access token, with its scheme.
    fn signed_in(&self, key: &str) -> bool {
        let first = self.play.sign_in.as_ref();
        first.is_some_and(|first| first.value == key)
    }

    fn body(&self, asked: &Asked, known: &[&Value]) -> Result<Value, Refusal> {
        let raw: Vec<&str> = known.iter().filter_map(|known| known["body_raw"].as_str()).collect();
        let json: Vec<&Value> = known
            .iter()
            .map(|known| &known["body"])
            .filter(|body| body.is_object())
            .collect();
        if asked.body.is_empty() {
            if known
                .iter()
                .all(|known| known["body"].is_object() || known["body_raw"].is_string())
            {
                return Err(Refusal::bad("body", "the body is missing"));
            }
            if asked.method == "POST" && asked.header("content-length") != Some("0") {
                let message = "content-length must be 0 for a POST without a body";
                return Err(Refusal::bad("content-length", message));
            }
            return Ok(Value::Null);
        }
        if !raw.is_empty() {
            let form = |text: &str| -> Vec<(String, String)> {
                let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                let decode = |text: &str| {
                    percent_decode_str(&text.replace('+', " "))
                        .decode_utf8_lossy()
                        .into_owned()
                };
                pairs.map(|(key, value)| (decode(key), decode(value))).collect()
            };
            let fields: Vec<_> = raw.iter().flat_map(|raw| form(raw)).map(|(key, _)| key).collect();
            let sent = form(&String::from_utf8_lossy(&asked.body));
            if let Some((key, _)) = sent.iter().find(|(key, _)| !fields.contains(key)) {
                return Err(Refusal::bad(key.clone(), format!("unknown form field {key}")));
            }
            let sent: Value = sent
                .into_iter()
                .map(|(key, value)| (key, Value::from(value)))
                .collect::<serde_json::Map<_, _>>()
                .into();
            return self.with_required(sent, asked);
        }
        if json.is_empty() {
            let message = format!("the body must be empty, not {} bytes", asked.body.len());
            return Err(Refusal::bad("body", message));
        }
        let body: Value = serde_json::from_slice(&asked.body)
            .map_err(|error| Refusal::bad("body", format!("the body is not JSON: {error}")))?;
        same_shape(&body, &json, "")?;
        self.with_required(body, asked)
    }

    /// What a path of `also` says of itself.
    fn own(&self, asked: &Asked, key: &str) -> Option<&Value> {
        let also = self.play.also.iter();
        let mut same = also.filter(|known| known["method"] == asked.method && path(known) == asked.path);
        same.find_map(|known| known.get(key))
    }

    fn with_required(&self, body: Value, asked: &Asked) -> Result<Value, Refusal> {
        let own = self.own(asked, "required").and_then(Value::as_array);
        let required = self.play.required.iter().map(String::as_str);
        let mut required = required.chain(own.into_iter().flatten().filter_map(Value::as_str));
        match required.find(|pointer| body.pointer(pointer).is_none()) {
            Some(pointer) => Err(Refusal::bad(pointer, format!("missing {pointer}"))),
            None => Ok(body),
        }
    }

    fn mint(&self, asked: &Asked, body: &Value, minting: &Minting) -> Result<Minted, Refusal> {
        let own_ttl = self.own(asked, "ttl").and_then(Value::as_str);
        let ttl = own_ttl.or(self.play.ttl.as_deref());
        let template = self.own(asked, "reply").unwrap_or(&self.play.reply);
        let asked_for = match ttl {
            None => None,
            Some(place) => {
                let text = match place.split_once(':') {
                    Some(("query", key)) => asked.query(key),
                    Some(("form", key)) => body[key].as_str().map(str::to_owned),
                    _ => body.pointer(place).map(|value| match value {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    }),
                };
                let seconds = text.and_then(|text| {
                    let end = || text.parse().map(Timestamp::as_second).ok();
                    text.parse::<i64>().ok().or_else(end)
                });
                // An end instead of a life (Daily, Gemini).
                seconds.map(|it| {
                    if it > 1_000_000_000 {
                        it - minting.now.as_second()
                    } else {
                        it
                    }
                })
            }
        };
        let life = asked_for.or(self.play.life);
        let life = life.ok_or_else(|| {
            let place = ttl.unwrap_or_default().to_owned();
            Refusal::bad(
                place.clone(),
                format!("no life in {place}: without it the real one would last for ever or too short"),
            )
        })?;
        let expires_at = minting.expires_at(life);
        let ttl = expires_at
            .duration_since(minting.now)
            .max(SignedDuration::ZERO)
            .as_secs();
        let seconds = minting.stated(expires_at);
        let token = match template.to_string().contains("{{jwt}}") {
            true => {
                let mut claims = json!({"iss": self.field, "jti": minting.random("jti")});
                if let Some(seconds) = &seconds {
                    claims["exp"] = seconds.clone();
                }
                minting.jwt(&claims)
            }
            false => format!("{}standin-{}-{}", self.play.prefix, self.field, minting.random("token")),
        };
        // An end in other words than seconds of the epoch is bent as those are.
        let stated = |usual: Value, bent: i64| match minting.fault {
            Some(Fault::MissingExpiry) => None,
            Some(Fault::ExpiryInPast) => Some(json!(-60)),
            Some(Fault::ExpiryAbsurd) => Some(json!(bent)),
            Some(Fault::ExpiryAsFloat) => Some(usual.as_f64().map_or(usual, |it| json!(it))),
            Some(Fault::ExpiryAsString) => Some(json!(usual.to_string().trim_matches('"'))),
            _ => Some(usual),
        };
        let past = minting.now - SignedDuration::from_mins(1);
        let withheld = matches!(minting.fault, Some(Fault::MissingToken));
        let fill = |text: &str| -> Option<Value> {
            match text {
                "{{token}}" | "{{jwt}}" => (!withheld).then(|| token.clone().into()),
                "{{ttl}}" => stated(ttl.into(), ttl * 1_000_000),
                "{{ttl_text}}" => stated(ttl.to_string().into(), ttl * 1_000_000),
                "{{exp}}" => seconds.clone(),
                "{{exp_ms}}" => stated(expires_at.as_millisecond().into(), expires_at.as_millisecond() * 1000),
                "{{exp_rfc3339}}" if matches!(minting.fault, Some(Fault::ExpiryInPast)) => {
                    Some(past.to_string().into())
                }
                "{{exp_rfc3339}}" => stated(expires_at.to_string().into(), expires_at.as_millisecond()),
                text if text.contains("{{token}}") && withheld => None,
                text => Some(text.replace("{{token}}", &token).into()),
            }
        };
        let reply = filled(template, &fill).unwrap_or_default();
        let body = match &reply {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            reply => reply.to_string(),
        };
        Ok(Minted {
            token,
            token_field: "",
            expires_at,
            single_use: false,
            reply: serde_json::Map::new(),
            whole: Some((self.play.status.unwrap_or(200), body)),
        })
    }
}

/// The access token for a call that comes as recorded, form and all.
fn signed_in(asked: &Asked, first: &SignIn, minting: &Minting) -> Result<Minted, Refusal> {
    let known = [&first.request];
    headers(asked, &known)?;
    query(asked, &known)?;
    let expected = first.request["body_raw"].as_str().unwrap_or_default();
    if asked.method != first.request["method"] || asked.body != expected {
        let message = format!("sign in with the form {expected}");
        return Err(Refusal::new(401, message));
    }
    Ok(Minted {
        token: first.value.clone(),
        token_field: "",
        expires_at: minting.expires_at(3600),
        single_use: false,
        reply: serde_json::Map::new(),
        whole: Some((200, first.reply.to_string())),
    })
}

fn path(known: &Value) -> &str {
    let path = known["path"].as_str().unwrap_or_default();
    path.split('?').next().unwrap_or_default()
}

/// The template with its placeholders filled; what a fault leaves out is left out.
fn filled(template: &Value, fill: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
    Some(match template {
        Value::String(text) => return fill(text),
        Value::Array(items) => items.iter().filter_map(|item| filled(item, fill)).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), filled(value, fill)?)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    })
}
