#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod admin;
mod faults;
mod played;
mod recorded;
mod refused;
mod refused_openai;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Options, StandIn};

pub(super) const OPENAI: &str = include_str!("../../../../recordings/openai.json");
pub(super) const ELEVENLABS: &str = include_str!("../../../../recordings/elevenlabs.json");
pub(super) const TANSTACK: &str = include_str!("../../../../recordings/tanstack.json");

/// A request that can be sent, or mutated and then sent.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Ask {
    pub(super) fn recorded(request: &Value) -> Self {
        let text = |field: &str| request[field].as_str().unwrap().to_owned();
        let headers = request["headers"].as_object().unwrap();
        let header = |(name, value): (&String, &Value)| (name.to_lowercase(), value.as_str().unwrap().to_owned());
        let mut headers: BTreeMap<_, _> = headers.iter().map(header).collect();
        // The recordings drop this header; a note says that the empty POSTs carried it.
        if request["method"] == "POST" && request["body"].is_null() {
            headers.insert("content-length".to_owned(), "0".to_owned());
        }
        Self {
            method: text("method"),
            path: text("path"),
            headers,
            body: request["body"].clone(),
        }
    }

    /// The recorded request of this case.
    pub(super) fn case(recording: &str, case: &str) -> Self {
        let recording: Value = serde_json::from_str(recording).unwrap();
        let mut requests = recording["requests"].as_array().unwrap().iter();
        Self::recorded(requests.find(|request| request["case"] == case).unwrap())
    }

    pub(super) fn client_secret() -> Self {
        Self::case(OPENAI, "realtime session with expires_after")
    }

    pub(super) fn signed_url() -> Self {
        Self::case(ELEVENLABS, "getSignedUrl minimal")
    }

    pub(super) fn conversation_token() -> Self {
        Self::case(ELEVENLABS, "getWebrtcToken minimal")
    }

    pub(super) fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.insert(header.to_owned(), value.to_owned());
        self
    }

    pub(super) async fn attempt(&self, standin: &StandIn) -> reqwest::Result<Reply> {
        self.attempt_at(&standin.url()).await
    }

    async fn attempt_at(&self, origin: &str) -> reqwest::Result<Reply> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let method = self.method.parse().unwrap();
        let mut request = client.request(method, format!("{origin}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match &self.body {
            Value::Null => {}
            Value::String(raw) => request = request.body(raw.clone()),
            json => request = request.body(json.to_string()),
        }
        let response = request.send().await?;
        Ok(Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    /// To where a recorded provider is played.
    pub(super) async fn send_to(&self, origin: &str) -> Reply {
        self.attempt_at(origin).await.unwrap()
    }

    pub(super) async fn send(&self, standin: &StandIn) -> Reply {
        self.attempt(standin).await.unwrap()
    }
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

pub(super) fn start() -> StandIn {
    StandIn::start(Options::default()).unwrap()
}

/// The claims of a JWT.
pub(super) fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
