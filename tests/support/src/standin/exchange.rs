//! The token exchanges of OpenAI, Microsoft Entra and Google, at an origin of their own: a ServiceAccount's token against
//! an access token. Strict as they are: the JWT's signature, issuer, subject, audience and life are checked against the
//! API server's own keys, and every field of the request against the documentation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::asked::Asked;
use super::server::Desk;
use super::{Provider, lock};

/// The access token of Entra that `tests/conformance/azureOpenAI.yaml` has its provider take.
const ENTRA_TOKEN: &str = "entra-token";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Whom the exchanges trust, and what they have issued.
#[derive(Default)]
pub(super) struct Exchange {
    pub(super) issuer: String,
    pub(super) jwks: Value,
    pub(super) subjects: HashSet<String>,
    /// The access tokens of OpenAI and Google.
    pub(super) issued: Vec<String>,
    /// The ServiceAccounts' tokens that were presented.
    pub(super) presented: Vec<String>,
    /// How many exchanges each subject was granted.
    pub(super) granted: HashMap<String, usize>,
}

/// Serves the exchanges.
pub(super) async fn accept(listener: TcpListener, desk: Arc<Mutex<Desk>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(request, Arc::clone(&desk)));
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(request: Request<Incoming>, desk: Arc<Mutex<Desk>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, body) = lock(&desk).exchange(&Asked::new(parts, body));
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

impl Desk {
    fn exchange(&mut self, asked: &Asked) -> (u16, Value) {
        let now = self.now();
        let issued = self.exchange.issued.len();
        let answer = match self.exchange.answer(asked, now) {
            Ok(reply) => (200, reply),
            Err((status, why)) => (status, json!({"error": "invalid_grant", "error_description": why})),
        };
        // OpenAI's API takes what its exchange has issued.
        let new = self.exchange.issued[issued..].iter().cloned();
        self.keys.entry(Provider::OpenAi).or_default().extend(new);
        answer
    }
}

type Refused = (u16, String);

impl Exchange {
    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Result<Value, Refused> {
        if asked.method != "POST" {
            return Err((405, format!("{} is a POST", asked.path)));
        }
        if let Some(account) = asked.path.strip_prefix("/v1/projects/-/serviceAccounts/") {
            return self.impersonate(asked, account, now);
        }
        let life = 3600;
        if asked.path == "/oauth/token" {
            let fields = json_fields(asked)?;
            let known = [
                "grant_type",
                "subject_token_type",
                "identity_provider_id",
                "service_account_id",
            ];
            hold_against(
                &fields,
                &known,
                "subject_token",
                &[("grant_type", TOKEN_EXCHANGE), ("subject_token_type", JWT)],
            )?;
            self.admit(&fields["subject_token"], "https://api.openai.com/v1", now)?;
            return Ok(json!({
                "access_token": self.issue("oai"), "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer", "expires_in": life,
            }));
        }
        let fields = form_fields(asked)?;
        if asked.path == "/v1/token" {
            let known = [
                "grant_type",
                "audience",
                "scope",
                "requested_token_type",
                "subject_token_type",
            ];
            let fixed = [
                ("grant_type", TOKEN_EXCHANGE),
                ("subject_token_type", JWT),
                ("scope", GOOGLE_SCOPE),
            ];
            hold_against(&fields, &known, "subject_token", &fixed)?;
            let provider = fields["audience"].strip_prefix("//").unwrap_or_default();
            self.admit(&fields["subject_token"], &format!("https://{provider}"), now)?;
            return Ok(json!({"access_token": self.issue("ya29."), "token_type": "Bearer", "expires_in": life}));
        }
        if asked.path.ends_with("/oauth2/v2.0/token") {
            let known = ["client_id", "scope", "client_assertion_type", "grant_type"];
            let fixed = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", ASSERTION),
            ];
            hold_against(&fields, &known, "client_assertion", &fixed)?;
            self.admit(&fields["client_assertion"], "api://AzureADTokenExchange", now)?;
            return Ok(json!({"access_token": ENTRA_TOKEN, "token_type": "Bearer", "expires_in": life}));
        }
        Err((404, format!("there is no {}", asked.path)))
    }

    fn impersonate(&mut self, asked: &Asked, account: &str, now: Timestamp) -> Result<Value, Refused> {
        let bearer = asked
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        if !bearer.is_some_and(|token| self.issued.iter().any(|known| known == token)) {
            return Err((401, "the access token is not one of the exchange".to_owned()));
        }
        if !account.ends_with(":generateAccessToken") {
            return Err((404, format!("there is no {account}")));
        }
        let body: Value = serde_json::from_slice(&asked.body).map_err(|problem| (400, problem.to_string()))?;
        let seconds = body["lifetime"]
            .as_str()
            .and_then(|life| life.strip_suffix('s')?.parse().ok());
        let seconds = seconds.ok_or((400, "lifetime is a duration in seconds".to_owned()))?;
        let end = now + SignedDuration::from_secs(seconds);
        Ok(json!({"accessToken": self.issue("ya29."), "expireTime": end.to_string()}))
    }

    fn issue(&mut self, prefix: &str) -> String {
        let token = format!("{prefix}standin-access-{}", self.issued.len() + 1);
        self.issued.push(token.clone());
        token
    }

    fn admit(&mut self, token: &str, audience: &str, now: Timestamp) -> Result<(), Refused> {
        self.presented.push(token.to_owned());
        let refuse = |why: &str| Err((401, why.to_owned()));
        let claims = self.verified(token).ok_or((401, "the signature is wrong".to_owned()))?;
        let seconds = |claim: &str| claims[claim].as_i64().unwrap_or_default();
        let subject = claims["sub"].as_str().unwrap_or_default().to_owned();
        if claims["iss"] != self.issuer {
            refuse("another issuer")
        } else if claims["aud"] != json!([audience]) {
            refuse("another audience")
        } else if seconds("exp") <= now.as_second() || seconds("iat") > now.as_second() + 5 {
            refuse("not of this time")
        } else if !self.subjects.contains(&subject) {
            refuse("the subject is not trusted")
        } else {
            *self.granted.entry(subject).or_default() += 1;
            Ok(())
        }
    }

    /// The claims, if one of the API server's keys has signed them.
    fn verified(&self, token: &str) -> Option<Value> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        let mut keys = self.jwks["keys"].as_array()?.iter();
        let key = keys.find(|key| key["kid"] == header["kid"] && key["alg"] == header["alg"])?;
        let coordinate = |name: &str| decode(key[name].as_str()?);
        let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(signed.as_bytes(), &decode(signature)?).ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }
}

type Fields = BTreeMap<String, String>;

fn json_fields(asked: &Asked) -> Result<Fields, Refused> {
    if asked.header("content-type") != Some("application/json") {
        return Err((400, "the body is application/json".to_owned()));
    }
    serde_json::from_slice(&asked.body).map_err(|problem| (400, format!("the body is an object of texts: {problem}")))
}

fn form_fields(asked: &Asked) -> Result<Fields, Refused> {
    if asked.header("content-type") != Some("application/x-www-form-urlencoded") {
        return Err((400, "the body is a form".to_owned()));
    }
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let decoded = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    Ok(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
}

/// Every field is there, no other is, and the fixed ones have their values.
fn hold_against(fields: &Fields, known: &[&str], token: &str, fixed: &[(&str, &str)]) -> Result<(), Refused> {
    let all: HashSet<&str> = known.iter().copied().chain([token]).collect();
    let sent: HashSet<&str> = fields.keys().map(String::as_str).collect();
    if let Some(field) = all.symmetric_difference(&sent).next() {
        return Err((400, format!("{field} is missing or unknown")));
    }
    match fixed.iter().find(|(field, value)| fields[*field] != *value) {
        Some((field, value)) => Err((400, format!("{field} must be {value}"))),
        None => Ok(()),
    }
}
