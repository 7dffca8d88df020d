//! No bearer token, token, key or subject is in any log line, metric or answer but the one it is for.

use std::io;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::testing::MintFault;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything that is logged meanwhile.
fn captured(log: &Log, work: impl Future<Output = ()>) -> String {
    // With a single subscriber, tracing takes a log statement that another test's thread meets first for disabled.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(work));
    String::from_utf8(log.0.lock().clone()).unwrap()
}

#[test]
fn the_log_says_who_got_what_and_holds_no_secret() {
    let log = Log::default();
    let mut metrics = String::new();
    let text = captured(&log, async { metrics = ask_in_every_way().await });
    for secret in ["canary", BEARER, "token-1", "token-2", "sk-1", "c2stMQ"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
        assert!(!metrics.contains(secret), "{secret} in\n{metrics}");
    }
    let audit = text.lines().find(|line| line.contains(": handed out")).unwrap();
    for says in [
        "realtime_token_operator::audit",
        USER,
        "web-0",
        "token=shop/voice",
        "subject_hash=",
        "content_hash=",
        "expires_at=",
        "source=\"minted\"",
    ] {
        assert!(audit.contains(says), "{says} in {audit}");
    }
    // A provider's message may quote what a caller has put into the session. Into a pool goes nothing of callers.
    let mut quotes = text.lines().filter(|line| line.contains("fake provider"));
    assert_eq!(quotes.find(|line| !line.contains("mint ahead failed")), None);
    assert!(text.contains("a mint for a request failed"), "{text}");
    assert!(
        text.contains("source=\"pool\"") && text.contains("NotOverridable"),
        "{text}"
    );
}

/// Libraries of HTTP and TLS log too, down to the bytes if they are asked to.
#[test]
fn no_library_logs_what_it_carries() {
    let log = Log::default();
    let text = captured(&log, super::server::ask_over_both_versions());
    for secret in [BEARER, "token-1", "canary-subject"] {
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{secret} in\n{}", lines.join("\n"));
    }
}

async fn ask_in_every_way() -> String {
    let requests = json!({"subject": "Optional", "ready": 1, "overridable": ["expirationSeconds"]});
    let world = World::new(requests).await;
    for body in [
        json!({"subject": "canary-subject"}),
        json!({"subject": "canary\r\nsubject"}),
        json!({"canary": 1}),
        json!({"overrides": {"canary": "canary"}}),
        json!({"overrides": {"expirationSeconds": "canary"}}),
        Value::Null,
        Value::Null,
    ] {
        world.ask(body).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
    world.ask_as("canary-bearer").await;
    let path = Request::post("/canary").body(Body::empty()).unwrap();
    world.request(path).await;
    world.provider.fail_nth(1, MintFault::Rejected);
    world.ask(json!({"subject": "canary-subject"})).await;
    world.provider.fail(MintFault::Unavailable);
    world.ask(json!({"subject": "canary-subject"})).await;
    world.api.go_away();
    tokio::time::sleep(Duration::from_secs(11)).await;
    world.ask(Value::Null).await;
    world.metrics.render()
}
