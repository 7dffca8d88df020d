//! Exchanging the token of a ServiceAccount for an access token, with which a provider is then asked in place of a key.
//!
//! Each cloud is one small file: the requests, how to read their replies, and what to check when they are refused. They
//! go through the client and the endpoint policy of every other request.

mod azure;
mod cache;
mod google;
mod openai;
mod refusal;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Map;
use tokio::time::Instant;

pub(crate) use self::cache::AccessTokens;
use super::client::no_origin;
use super::refusal::Responder;
use super::reply::Reply;
use super::wire::{no_expiry, reply_object, stated_life, token};
use super::{Answer, Class, Expiry, ProviderClient, Request, Step, To, UnusableReply};
use crate::api::{Exchange, Lifetime};
use crate::token::MintError;

/// Google's two: one token for another, then a service account's.
const MOST_REQUESTS: usize = 2;
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The token of a ServiceAccount. `Debug` leaves the token out, as everywhere.
#[derive(Clone, Debug)]
pub struct SubjectToken {
    pub value: SecretString,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    pub audience: String,
}

/// An access token, with which a provider is asked in place of a key.
#[derive(Clone, Debug)]
pub struct AccessToken {
    pub value: SecretString,
    /// From when on another is asked for, by our clock: well before its end, so that it outlives a mint.
    pub refresh_at: Timestamp,
}

impl AccessToken {
    /// A token that lives from `sent` until `end`.
    pub(crate) fn new(value: SecretString, sent: Timestamp, end: Timestamp) -> Self {
        /// Longer than a mint can take.
        const MARGIN: SignedDuration = SignedDuration::from_mins(5);
        let life = end.duration_since(sent).max(SignedDuration::ZERO);
        let refresh_at = end.checked_sub(MARGIN.min(life / 2)).unwrap_or(end);
        Self { value, refresh_at }
    }

    fn is(&self, value: &SecretString) -> bool {
        self.value.expose_secret() == value.expose_secret()
    }
}

/// What each cloud's file says of its exchange.
trait Wire: Send + Sync {
    /// The first request.
    fn start(&self, subject: &SubjectToken) -> Request;

    /// Reads the n-th 2xx reply, counted from 0: the access token, or the next request.
    fn read(&self, nth: usize, body: &[u8]) -> Result<Step, UnusableReply>;

    /// What to check when the n-th request is refused: a whole sentence.
    fn hint(&self, nth: usize, subject: &SubjectToken) -> String;
}

fn wire(exchange: &Exchange) -> &dyn Wire {
    match exchange {
        Exchange::OpenAi(openai) => openai,
        Exchange::Azure(azure) => azure,
        Exchange::Google(google) => google,
    }
}

impl ProviderClient {
    /// Exchanges once. `now` is our clock as the request is sent.
    pub(super) async fn exchange_token(
        &self,
        exchange: &Exchange,
        subject: &SubjectToken,
        now: Timestamp,
    ) -> Result<AccessToken, MintError> {
        let began = Instant::now();
        let wire = wire(exchange);
        let mut request = wire.start(subject);
        for nth in 0..MOST_REQUESTS {
            let To::Service {
                title,
                origin,
                built_in,
            } = &request.to
            else {
                return Err(no_origin());
            };
            let (built_in, url) = (*built_in, self.endpoints().check_service(origin, *built_in)?);
            let name = if built_in {
                (*title).to_owned()
            } else {
                format!("The endpoint {origin}")
            };
            let instant = Instant::now();
            let sent = now + instant.duration_since(began);
            let reply = self
                .send(&url, request, Responder { name, built_in }, (sent, instant))
                .await?;
            match read(wire, nth, subject, &reply)? {
                Step::Done(answer) => return access_token(&reply, answer, sent),
                Step::Send(next) => request = next,
            }
        }
        Err(no_origin())
    }
}

fn read(wire: &dyn Wire, nth: usize, subject: &SubjectToken, reply: &Reply) -> Result<Step, MintError> {
    if Class::usual(reply.status.as_u16()) != Class::Granted {
        return Err(refusal::refusal(wire, nth, subject, reply));
    }
    wire.read(nth, &reply.body)
        .map_err(|unusable| refused_reply(reply, &unusable))
}

fn access_token(reply: &Reply, answer: Answer, sent: Timestamp) -> Result<AccessToken, MintError> {
    let end = reply.clocks.end(answer.expiry, Lifetime::Stated, SignedDuration::ZERO);
    let end = end.map_err(|unusable| refused_reply(reply, &unusable))?;
    Ok(AccessToken::new(answer.value, sent, end.ours))
}

fn refused_reply(reply: &Reply, unusable: &UnusableReply) -> MintError {
    let (name, status) = (&reply.responder.name, reply.status.as_u16());
    MintError::Rejected {
        credential: false,
        message: format!(
            "{name} answered {status} to the exchange of a ServiceAccount's token, but {unusable}. If it stays so, \
             something on the way answers in its place, or its API has changed."
        ),
    }
}

/// The access token of a reply in OAuth's form (RFC 6749, RFC 8693).
fn oauth_token(body: &[u8]) -> Result<Step, UnusableReply> {
    let mut reply = reply_object(body)?;
    let value = token(&mut reply, "access_token")?;
    let life = stated_life(&reply, "expires_in")?.ok_or_else(|| no_expiry("expires_in"))?;
    Ok(Step::Done(Answer::new(value, Expiry::After(life), Map::new())))
}

/// The origin of the spec, or else the cloud's own.
fn to(title: &'static str, custom: Option<&String>, own: &'static str) -> To {
    To::Service {
        title,
        origin: custom.cloned().unwrap_or_else(|| own.to_owned()),
        built_in: custom.is_none(),
    }
}
