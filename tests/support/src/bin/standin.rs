//! Runs the stand-in provider by hand or for `make demo`, until SIGINT or SIGTERM.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use testkit::standin::{Call, Options, Provider, Recording, StandIn};
use tokio::signal::unix::{SignalKind, signal};

/// A strict stand-in for the token endpoints of OpenAI (key sk-test-fake) and ElevenLabs (key xi-fake).
#[derive(Parser)]
struct Flags {
    /// Where to listen.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Give every token this many seconds, whatever was asked for.
    #[arg(long, value_name = "SECS")]
    life: Option<u32>,
    /// Answer this much later.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let standin = StandIn::start(Options {
        addr: Some(flags.listen),
        observer: Some(Box::new(log)),
        ..Options::default()
    })?;
    standin.set_recording(Recording::Counts);
    standin.set_latency(Duration::from_millis(flags.latency_ms));
    for provider in Provider::ALL {
        standin.set_life(provider, flags.life);
    }
    print(format_args!("listening on {}", standin.url()));

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    standin.stop();
    Ok(())
}

/// Without the query, where a careless client might have put a key, and without the token.
fn log(call: &Call) {
    let provider = match call.provider {
        Some(Provider::OpenAi) => "openai",
        Some(Provider::ElevenLabs) => "elevenlabs",
        Some(Provider::Recorded(field)) => field,
        None => "unknown",
    };
    let path = call.path.split('?').next().unwrap_or_default();
    let status = call
        .status
        .map_or_else(|| "none".to_owned(), |status| status.to_string());
    let (time, method) = (call.time, &call.method);
    print(format_args!("{time} {provider} {method} {path} -> {status}"));
}

/// Unlike `println!` it survives a reader that went away.
fn print(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
