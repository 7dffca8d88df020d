//! The provider's end of a session: OpenAI's Realtime WebSocket, as far as the plain consumers go.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use testkit::standin::StandIn;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::StatusCode,
    },
};

/// A server that redeems the bearer of each session at the stand-in. It answers each message with `heard …`.
pub struct Edge {
    addr: SocketAddr,
    bearers: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Edge {
    pub async fn start(standin: StandIn) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let bearers = Arc::<Mutex<Vec<String>>>::default();
        let seen = bearers.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(session(stream, standin.clone(), seen.clone()));
            }
        });
        Self { addr, bearers, server }
    }

    /// What stands where `wss://api.openai.com/v1/realtime` would.
    pub fn url(&self) -> String {
        format!("ws://{}/v1/realtime", self.addr)
    }

    /// The tokens that opened sessions.
    pub fn bearers(&self) -> Vec<String> {
        self.bearers.lock().unwrap().clone()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
async fn session(stream: TcpStream, standin: StandIn, seen: Arc<Mutex<Vec<String>>>) {
    let admit = |request: &Request, response: Response| match redeem(request, &standin) {
        Ok(bearer) => {
            seen.lock().unwrap().push(bearer);
            Ok(response)
        }
        Err(why) => {
            let mut refusal = ErrorResponse::new(Some(why));
            *refusal.status_mut() = StatusCode::UNAUTHORIZED;
            Err(refusal)
        }
    };
    let Ok(mut socket) = accept_hdr_async(stream, admit).await else {
        return;
    };
    let mut text = String::new();
    let mut answers = vec![json!({"type": "session.created"})];
    loop {
        for answer in answers.drain(..) {
            if socket.send(Message::text(answer.to_string())).await.is_err() {
                return;
            }
        }
        let Some(Ok(message)) = socket.next().await else {
            return;
        };
        let Message::Text(message) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&message).unwrap_or_default();
        answers.push(answer(&event, &mut text));
    }
}

/// The token that the request bears, if it is good for a session now.
fn redeem(request: &Request, standin: &StandIn) -> Result<String, String> {
    if request.uri().path() != "/v1/realtime" {
        return Err(format!("no {}", request.uri().path()));
    }
    if request.uri().query() != Some("model=gpt-realtime-2.1") {
        return Err(format!("no model in {:?}", request.uri().query()));
    }
    let header = request.headers().get("authorization");
    let bearer = header
        .and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or("no bearer")?;
    standin.redeem(bearer)?;
    Ok(bearer.to_owned())
}

fn answer(event: &Value, text: &mut String) -> Value {
    let content = &event["item"]["content"][0];
    match event["type"].as_str() {
        Some("conversation.item.create") if content["type"] == "input_text" => {
            *text = content["text"].as_str().unwrap_or_default().to_owned();
            json!({"type": "conversation.item.added"})
        }
        Some("response.create") if event["response"]["output_modalities"] == json!(["text"]) => {
            json!({"type": "response.output_text.done", "text": format!("heard {text}")})
        }
        _ => json!({"type": "error", "error": {"message": format!("what is {event}?")}}),
    }
}
