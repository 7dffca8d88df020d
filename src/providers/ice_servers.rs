//! ICE servers: TURN credentials of Cloudflare and Twilio, and for a coturn of one's own (draft-uberti-behave-turn-rest).
//!
//! The token is a list. In it `urls` is always a list too, and nothing stands that a browser doesn't know.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Provider;
use crate::api::{IceServers, IceServersKind, ProviderBlock, SecretField};
use crate::mint::request::component;
use crate::mint::wire::{given, no_expiry, reply_object, seconds_text, secret};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

const CLOUDFLARE: &[SecretField] = IceServers::FACTS.secret_fields;
const TWILIO: &[SecretField] = &[
    SecretField::named("TWILIO_AUTH_TOKEN"),
    SecretField::named("TWILIO_ACCOUNT_SID"),
];
/// Named as in coturn's own configuration.
const COTURN: &[SecretField] = &[SecretField {
    key: "static-auth-secret",
    env: "STATIC_AUTH_SECRET",
}];

impl Provider for IceServers {
    fn title(&self) -> &'static str {
        match self.kind() {
            IceServersKind::Cloudflare => "Cloudflare TURN",
            IceServersKind::Twilio => "Twilio Network Traversal",
            IceServersKind::Coturn => "coturn",
        }
    }

    fn secret_fields(&self) -> &'static [SecretField] {
        match self.kind() {
            IceServersKind::Cloudflare => CLOUDFLARE,
            IceServersKind::Twilio => TWILIO,
            IceServersKind::Coturn => COTURN,
        }
    }

    fn endpoint(&self) -> Endpoint<'_> {
        match self.kind() {
            IceServersKind::Cloudflare => Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0]),
            IceServersKind::Twilio => Endpoint::or(&self.account.endpoint, Self::FACTS.origins[1]),
            IceServersKind::Coturn => Endpoint::Local,
        }
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let refuse = |message: &str| Err(InvalidBlock(message.into()));
        match (self.kind(), &self.account.urls) {
            (IceServersKind::Coturn, None) => refuse("iceServers.urls: kind Coturn needs its servers' URLs"),
            (_, Some(urls)) if !urls.iter().all(|url| is_ice_url(url)) => refuse(IceServers::URL),
            (_, Some(urls)) if !urls.iter().any(|url| is_turn(url)) => refuse(IceServers::NO_TURN),
            _ => Ok(()),
        }
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let seconds = mint.expiration.as_secs();
        match self.kind() {
            IceServersKind::Cloudflare => {
                let id = secret(mint.credential, &CLOUDFLARE[1])?.expose_secret();
                let path = format!("/v1/turn/keys/{}/credentials/generate-ice-servers", component(id));
                // https://developers.cloudflare.com/realtime/turn/replacing-existing: tags users.
                let body = given([
                    ("ttl", Some(seconds.into())),
                    ("customIdentifier", mint.subject.map(Value::from)),
                ]);
                let request = Request::post_json(path, &body.into());
                Ok(Step::Send(request.bearer(mint, &CLOUDFLARE[0])?))
            }
            IceServersKind::Twilio => {
                let account = secret(mint.credential, &TWILIO[1])?.expose_secret();
                let path = format!("/2010-04-01/Accounts/{}/Tokens.json", component(account));
                let request = Request::post_form(path, &[("Ttl", &seconds.to_string())]);
                Ok(Step::Send(request.basic(mint, &TWILIO[1], &TWILIO[0])?))
            }
            IceServersKind::Coturn => self.sign(mint).map(Step::Done),
        }
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let (list, expiry) = match self.kind() {
            // The reply says nothing of the life.
            IceServersKind::Cloudflare => ("iceServers", Expiry::After(mint.expiration)),
            IceServersKind::Twilio | IceServersKind::Coturn => {
                let ttl = reply.get("ttl").and_then(seconds_text);
                let ttl = ttl.ok_or_else(|| no_expiry("ttl"))?;
                ("ice_servers", Expiry::After(ttl))
            }
        };
        let servers: Vec<Server> = reply
            .remove(list)
            .and_then(|list| serde_json::from_value(list).ok())
            .ok_or_else(|| UnusableReply(format!("it holds no list of servers in `{list}`")))?;
        check(&servers).map_err(|problem| UnusableReply(format!("{problem} in `{list}`")))?;
        Ok(Step::Done(answer(&servers, expiry)))
    }
}

impl IceServers {
    fn kind(&self) -> IceServersKind {
        self.account.kind.unwrap_or_default()
    }

    /// The user's name carries the end, and the password is its signature.
    fn sign(&self, mint: &Mint<'_>) -> Result<Answer, MintError> {
        let expires_at = mint.expires_at();
        let user = self.user.as_deref().unwrap_or("realtime-token");
        let username = format!("{}:{user}", expires_at.as_second());
        let shared = secret(mint.credential, &COTURN[0])?.expose_secret();
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, shared.as_bytes());
        let credential = BASE64.encode(sign(&key, username.as_bytes()));
        let urls = self.account.urls.iter().flatten();
        let (turn, stun): (Vec<String>, Vec<String>) = urls.cloned().partition(|url| is_turn(url));
        let open = (!stun.is_empty()).then_some(Server {
            urls: stun,
            username: None,
            credential: None,
        });
        let closed = Server {
            urls: turn,
            username: Some(username),
            credential: Some(credential),
        };
        let servers: Vec<Server> = open.into_iter().chain([closed]).collect();
        Ok(answer(&servers, Expiry::At(expires_at)))
    }
}

/// One entry of the list, as a browser's `RTCPeerConnection` takes it.
#[derive(Deserialize, Serialize)]
struct Server {
    #[serde(deserialize_with = "one_or_many")]
    urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

/// Refuses a list that a browser refuses, or that opens no TURN server.
fn check(servers: &[Server]) -> Result<(), &'static str> {
    let blank = |value: &Option<String>| value.as_ref().is_some_and(|text| text.trim().is_empty());
    if !servers.iter().any(|server| server.urls.iter().any(|url| is_turn(url))) {
        return Err("there is no turn: or turns: URL");
    }
    for server in servers {
        if server.urls.is_empty() || !server.urls.iter().all(|url| is_ice_url(url)) {
            return Err("a server has no URLs, or one that isn't stun:, stuns:, turn: or turns: and a host");
        }
        let turn = server.urls.iter().any(|url| is_turn(url));
        if blank(&server.username) || turn && server.username.is_none() {
            return Err("a server has an empty username or none");
        }
        if blank(&server.credential) || turn && server.credential.is_none() {
            return Err("a server has an empty credential or none");
        }
    }
    Ok(())
}

fn is_turn(url: &str) -> bool {
    url.starts_with("turn:") || url.starts_with("turns:")
}

/// Whether a browser takes it (RFC 7064, RFC 7065): scheme, host, perhaps a port and a transport. As the CRD's rule.
fn is_ice_url(url: &str) -> bool {
    let (url, query) = url
        .split_once('?')
        .map_or((url, None), |(url, query)| (url, Some(query)));
    let Some(("stun" | "stuns" | "turn" | "turns", server)) = url.split_once(':') else {
        return false;
    };
    let named = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let numbered = |address: &str| address.chars().all(|c| c.is_ascii_hexdigit() || ":.".contains(c));
    let (host_is_good, host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (numbered(address), address, port),
        None => {
            let (host, port) = server.split_at(server.find(':').unwrap_or(server.len()));
            (named(host), host, port)
        }
    };
    let digits = port.strip_prefix(':');
    let port_is_good = port.is_empty()
        || digits.is_some_and(|port| (1..=5).contains(&port.len()) && port.bytes().all(|digit| digit.is_ascii_digit()));
    let transport_is_good = query.is_none_or(|query| {
        let transport = query.strip_prefix("transport=").unwrap_or_default();
        !transport.is_empty() && transport.bytes().all(|letter| letter.is_ascii_lowercase())
    });
    host_is_good && !host.is_empty() && port_is_good && transport_is_good
}

/// Twilio writes a text where others write a list.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Urls {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Urls::deserialize(from)? {
        Urls::One(url) => vec![url],
        Urls::Many(urls) => urls,
    })
}

fn answer(servers: &[Server], expiry: Expiry) -> Answer {
    let with = servers.iter().find(|server| server.credential.is_some());
    // Texts and lists of texts: serde_json can't fail on them.
    let list = serde_json::to_value(servers).unwrap_or(Value::Null);
    let mut answer = Answer::new(list.to_string(), expiry, Map::new());
    if let Some(server) = with {
        let values = [("username", &server.username), ("credential", &server.credential)];
        for (name, value) in values {
            let value = value.clone().map(SecretString::from);
            answer.outputs.extend(value.map(|it| (name.into(), it)));
        }
    }
    answer
}

#[cfg(test)]
mod tests;
