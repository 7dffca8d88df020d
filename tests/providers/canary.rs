//! Neither key nor token shows up in anything that is written down.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use jiff::Timestamp;
use realtime_token_operator::mint::{Credential, Mint, Step};
use serde_json::json;
use testkit::standin::{Fault, Provider};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::{client_with, conversation, elevenlabs, openai, start};

const KEY: &str = "sk-canary-7c1e5a";
/// Looks like nothing that a pattern could find.
const PLAIN_KEY: &str = "canaryplain";

/// What this thread logged, at every level, by every crate. The other tests have threads of their own.
#[derive(Clone)]
struct Log {
    thread: ThreadId,
    text: Arc<Mutex<Vec<u8>>>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if std::thread::current().id() == self.thread {
            self.text.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Who a token on request is for: personal data.
const SUBJECT: &str = "canary-person@example.com";

#[tokio::test]
async fn nothing_leaks() {
    let log = Log {
        thread: std::thread::current().id(),
        text: Arc::default(),
    };
    // Globally, so that what speaks through the `log` crate (reqwest) is heard too.
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .try_init()
        .unwrap();

    let standin = start();
    standin.accept_keys(Provider::OpenAi, [KEY]);
    standin.accept_keys(Provider::ElevenLabs, [KEY]);
    let client = client_with(&standin, Duration::from_millis(150));
    let mut written = String::new();
    let mut tokens = Vec::new();
    for mut ask in [
        openai(&standin, json!({"safetyIdentifier": SUBJECT})),
        elevenlabs(&standin, json!({})),
        conversation(&standin),
        elevenlabs(
            &standin,
            json!({"kind": "ConversationToken", "participantName": SUBJECT}),
        ),
    ] {
        ask.subject = Some(SUBJECT.to_owned());
        for fault in faults() {
            for key in [KEY, PLAIN_KEY] {
                let credential = Credential::new([("api-key", key.into())]);
                standin.fail_next(1, fault.clone());
                let minted = client.mint(&ask, &credential, Timestamp::now()).await;
                if let Ok(minted) = &minted {
                    tokens.push(secrecy::ExposeSecret::expose_secret(&minted.value).to_owned());
                }
                let mint = Mint {
                    expiration: ask.expiration,
                    credential: &credential,
                    namespace: &ask.namespace,
                    subject: ask.subject.as_deref(),
                    ask: None,
                    now: Timestamp::now(),
                    nonce: [0; 16],
                };
                let step = ask.block.provider().start(&mint).unwrap();
                let Step::Send(request) = step else {
                    panic!("nothing to send")
                };
                written += &format!(
                    "{minted:?}\n{credential:?}\n{ask:?}\n{request:?}\n{:?}\n",
                    request.headers
                );
                if let Err(error) = minted {
                    written += &format!("{error}\n{error:#?}\n");
                }
            }
        }
        standin.heal();
    }
    // Tokens of replies that were then refused count as well.
    tokens.extend(standin.issued());
    assert!(tokens.len() > 10, "{}", tokens.len());

    written += &String::from_utf8_lossy(&log.text.lock().unwrap());
    assert!(written.contains("the provider answered"), "the log was heard");
    assert!(written.contains("starting new connection"), "reqwest was heard");
    let mut secrets = vec![
        KEY.to_owned(),
        "canary-7c1e5a".into(),
        PLAIN_KEY.into(),
        "ek_canary".into(),
        "canary-person".into(),
    ];
    for token in &tokens {
        secrets.push(token.clone());
        // The parts that make a URL or a JWT a secret.
        secrets.extend(
            token
                .split(['=', '.', '&'])
                .filter(|part| part.len() > 30)
                .map(str::to_owned),
        );
    }
    for secret in secrets {
        if let Some(at) = written.find(&secret) {
            let from = at.saturating_sub(200);
            panic!(
                "{secret} was written down: …{}",
                &written[from..(at + 200).min(written.len())]
            );
        }
    }
}

/// Whatever can go wrong, with a reply that repeats key or token where it can, and at last nothing.
fn faults() -> Vec<Fault> {
    let status = |code: u16, body: String| Fault::Status {
        code,
        headers: Vec::new(),
        body: Some(body),
    };
    let token = "ek_canary0123456789abcdef";
    vec![
        Fault::status(401),
        Fault::status(429),
        Fault::status(500),
        status(
            400,
            format!("{{\"error\":{{\"message\":\"{KEY} {token}\",\"code\":\"{KEY}\"}}}}"),
        ),
        status(400, format!("{{\"detail\":\"{KEY}\"}}")),
        status(500, KEY.repeat(500)),
        status(
            200,
            json!({"value": token, "token": token, "signed_url": token}).to_string(),
        ),
        status(200, json!({"value": token, "expires_at": token}).to_string()),
        status(200, format!("\"{token}\"")),
        Fault::Redirect(format!("http://127.0.0.1:1/?key={KEY}")),
        Fault::Garbage,
        Fault::Empty,
        Fault::Hang,
        Fault::HangBody,
        Fault::Reset,
        Fault::Oversize(100_000),
        Fault::MissingExpiry,
        Fault::ExpiryInPast,
        Fault::ExpiryAbsurd,
        Fault::ExpiryAsFloat,
        Fault::ExpiryAsString,
        Fault::MissingToken,
        Fault::WrongHost,
        Fault::UndecodableJwt,
        Fault::Delay(Duration::ZERO),
    ]
}
