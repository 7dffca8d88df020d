//! Answers: what a verdict becomes under a fault, and how it reaches the client.

use std::convert::Infallible;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::face::{Face, Refusal, wrong_key};
use super::faults::Fault;
use super::mint::{Minted, unknown_field};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A decided answer.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    pub(super) wait: Duration,
    delivery: Delivery,
}

/// How an answer reaches the client.
enum Delivery {
    Whole,
    Half,
    Drip,
    Never,
    Reset,
}

/// The end of a connection by fault.
#[derive(Debug, thiserror::Error)]
#[error("reset by fault")]
pub(super) struct Reset;

/// Turns the verdict into an answer as the fault will have it, and returns the token if it went out.
pub(super) fn answer(
    verdict: Result<Minted, Refusal>,
    fault: Option<Fault>,
    face: Option<&Face>,
    api_key: Option<&str>,
    request_id: &str,
) -> (Answer, Option<Minted>) {
    let refused = |refusal: &Refusal| match face {
        Some(face) => Answer::json(refusal.status, &(face.envelope)(refusal, request_id)),
        None => Answer::json(refusal.status, &json!({"error": refusal.message})),
    };

    // These answer for the provider: nothing is minted.
    let instead = match &fault {
        Some(Fault::Status { code, headers, body }) => {
            let mut answer = refused(&Refusal::new(*code, fault_message(*code, api_key)));
            if let Some(body) = body {
                answer.body = body.clone().into_bytes();
            }
            answer.headers.extend(headers.clone());
            Some(answer)
        }
        Some(Fault::Hang) => Some(Answer::new(200, "").via(Delivery::Never)),
        Some(Fault::Reset) => Some(Answer::new(200, "").via(Delivery::Reset)),
        Some(Fault::Garbage) => Some(Answer::new(200, "<!doctype html><title>Sign in</title>")),
        Some(Fault::Empty) => Some(Answer::new(200, "")),
        Some(Fault::Redirect(url)) => {
            let mut answer = Answer::new(302, "");
            answer.headers.push(("location".to_owned(), url.clone()));
            Some(answer)
        }
        _ => None,
    };
    if let Some(instead) = instead {
        return (instead, None);
    }

    let (mut answer, minted) = match verdict {
        Err(refusal) => (refused(&refusal), None),
        Ok(mut minted) => {
            let mut reply = std::mem::take(&mut minted.reply);
            reply.extend([unknown_field()]);
            if let Some(Fault::Oversize(bytes)) = fault {
                reply.insert("padding".to_owned(), json!("x".repeat(bytes)));
            }
            let withheld = matches!(fault, Some(Fault::MissingToken));
            if withheld {
                reply.remove(minted.token_field);
            }
            let created = matches!(fault, Some(Fault::Status201));
            let status = if created { 201 } else { 200 };
            let answer = match minted.whole.take() {
                None => Answer::json(status, &Value::Object(reply)),
                Some((usual, mut body)) => {
                    if let Some(Fault::Oversize(bytes)) = fault {
                        // White space around JSON is none of its business.
                        body += &" ".repeat(bytes);
                    }
                    Answer::new(if created { 201 } else { usual }, body)
                }
            };
            (answer, (!withheld).then_some(minted))
        }
    };
    match fault {
        Some(Fault::Delay(delay)) => answer.wait = delay,
        Some(Fault::HangBody) => answer.delivery = Delivery::Half,
        Some(Fault::SlowDrip) => answer.delivery = Delivery::Drip,
        _ => {}
    }
    (answer, minted)
}

fn fault_message(code: u16, api_key: Option<&str>) -> String {
    let key = api_key.unwrap_or("none");
    match code {
        401 => wrong_key(key),
        _ => format!("Stand-in fault {code} for API key {key}."),
    }
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            wait: Duration::ZERO,
            delivery: Delivery::Whole,
        }
    }

    fn json(status: u16, body: &Value) -> Self {
        let mut answer = Self::new(status, body.to_string());
        let json = ("content-type".to_owned(), "application/json".to_owned());
        answer.headers.push(json);
        answer
    }

    fn via(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// The status the client will see, if it is to see any.
    pub(super) fn visible_status(&self) -> Option<u16> {
        let silent = matches!(self.delivery, Delivery::Never | Delivery::Reset);
        (!silent).then_some(self.status)
    }

    /// In front, so that a fault's own headers replace them.
    pub(super) fn add_default_headers(&mut self, now: Timestamp, request_id: String) {
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        let date = date.unwrap_or_default(); // fails only before the year 0
        let defaults = [("date", date), ("x-request-id", request_id)];
        let defaults = defaults.map(|(name, value)| (name.to_owned(), value));
        self.headers.splice(0..0, defaults);
    }

    pub(super) async fn deliver(self) -> Result<Response<Body>, Reset> {
        let length = self.body.len();
        let body = Bytes::from(self.body);
        let body = match self.delivery {
            Delivery::Whole => Full::new(body).boxed_unsync(),
            Delivery::Half => half(body),
            Delivery::Drip => drip(body),
            Delivery::Never => std::future::pending().await,
            Delivery::Reset => return Err(Reset),
        };
        let mut response = Response::new(body);
        // A test that asks for an impossible status or header sees the connection break.
        *response.status_mut() = self.status.try_into().map_err(|_| Reset)?;
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(|_| Reset)?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| Reset)?);
        }
        headers.insert(CONTENT_LENGTH, length.into());
        Ok(response)
    }
}

fn half(body: Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let sent = stream::once(async { Ok(Frame::data(half)) });
    StreamBody::new(sent.chain(stream::pending())).boxed_unsync()
}

fn drip(body: Bytes) -> Body {
    let drops = stream::unfold(body, |mut rest| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let drop = (!rest.is_empty()).then(|| rest.split_to(1))?;
        Some((Ok(Frame::data(drop)), rest))
    });
    StreamBody::new(drops).boxed_unsync()
}
