//! The provider adapters and their client, against a strict stand-in and against what the official SDKs send.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod canary;
mod cli;
mod clock;
mod conformance;
mod endpoints;
mod errors;
mod faults;
mod recordings;
mod sign_in;
mod tanstack;
mod tls;
mod verified;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use realtime_token_operator::mint::{Ask, ClientConfig, Credential, EndpointPolicy, ProviderClient};
use realtime_token_operator::providers::Block;
use realtime_token_operator::token::{MintError, Minted};
use serde_json::{Value, json};
use testkit::standin::{Options, StandIn};

const OPENAI_KEY: &str = "sk-test-fake";
const ELEVENLABS_KEY: &str = "xi-fake";

fn start() -> StandIn {
    StandIn::start(Options::default()).unwrap()
}

/// A client that may call the stand-in.
fn client(standin: &StandIn) -> ProviderClient {
    client_with(standin, Duration::from_secs(20))
}

fn client_with(standin: &StandIn, timeout: Duration) -> ProviderClient {
    let endpoints = EndpointPolicy::parse([standin.url()]).unwrap();
    ProviderClient::new(&ClientConfig {
        timeout,
        endpoints,
        ..ClientConfig::default()
    })
    .unwrap()
}

fn openai(standin: &StandIn, fields: Value) -> Ask {
    let block = with(json!({"model": "gpt-realtime-2.1", "endpoint": standin.url()}), fields);
    Ask {
        block: Block::OpenAi(serde_json::from_value(block).unwrap()),
        expiration: SignedDuration::from_secs(1800),
        namespace: "apps".to_owned(),
        subject: None,
        of_caller: false,
    }
}

fn elevenlabs(standin: &StandIn, fields: Value) -> Ask {
    let block = with(json!({"agentId": "agent_1", "endpoint": standin.url()}), fields);
    Ask {
        block: Block::ElevenLabs(serde_json::from_value(block).unwrap()),
        expiration: SignedDuration::from_secs(900),
        namespace: "apps".to_owned(),
        subject: None,
        of_caller: false,
    }
}

fn conversation(standin: &StandIn) -> Ask {
    elevenlabs(standin, json!({"kind": "ConversationToken"}))
}

fn with(mut object: Value, fields: Value) -> Value {
    object
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    object
}

/// The credential that the stand-in accepts.
fn credential(ask: &Ask) -> Credential {
    let provider = ask.block.provider();
    let key = if provider.name() == "openai" {
        OPENAI_KEY
    } else {
        ELEVENLABS_KEY
    };
    Credential::new([(provider.secret_fields()[0].key, key.into())])
}

async fn mint(standin: &StandIn, ask: &Ask) -> Result<Minted, MintError> {
    client(standin).mint(ask, &credential(ask), Timestamp::now()).await
}

fn class(error: &MintError) -> &'static str {
    match error {
        MintError::Rejected { .. } => "rejected",
        MintError::NoCredential { .. } => "no credential",
        MintError::Throttled { .. } => "throttled",
        MintError::QuotaExhausted { .. } => "quota",
        MintError::Unavailable { .. } => "unavailable",
        MintError::Internal { .. } => "internal",
    }
}
