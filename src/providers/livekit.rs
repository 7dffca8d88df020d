//! LiveKit: access tokens, signed here with the API secret.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::Provider;
use crate::api::{LiveKit, ProviderBlock, RawObject};
use crate::mint::sign::{Algorithm, jwt};
use crate::mint::wire::{bounded, given, secret};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Step};
use crate::token::MintError;

impl Provider for LiveKit {
    fn is_bound_to_room(&self) -> bool {
        self.room().is_some_and(|room| !room.is_empty())
    }

    fn one_reader(&self) -> Option<&'static str> {
        self.identity.as_ref().map(|_| {
            "livekit.identity: two participants with one identity push each other out of a room, so this token suits \
             one reader; let each participant ask for a token of its own (spec.requests)"
        })
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Local
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        self.check_types()?;
        let video = self.video.as_ref().map(RawObject::read).unwrap_or_default();
        let joins = video.get("roomJoin") == Some(&Value::Bool(true));
        if joins && self.identity.is_none() {
            return Err(InvalidBlock("livekit.identity: who joins a room has one".into()));
        }
        if joins && !self.is_bound_to_room() {
            return Err(InvalidBlock(
                "livekit.video.room: without it the token opens every room; name the room".into(),
            ));
        }
        if let Some(unknown) = video.keys().find(|grant| !VIDEO.contains(&grant.as_str())) {
            let known = VIDEO.join(", ");
            let message = format!("livekit.video: LiveKit knows no grant {unknown:?}; it knows {known}");
            return Err(InvalidBlock(message));
        }
        let egress = self.room_config.as_ref().and_then(|it| it.get("egress"));
        if let Some(field) = egress.as_ref().and_then(storage_credential) {
            return Err(InvalidBlock(format!(
                "livekit.roomConfig.egress: {field} would be readable by every holder of the token; start the egress from your server"
            )));
        }
        for (field, object) in [
            ("livekit.video", &self.video),
            ("livekit.sip", &self.sip),
            ("livekit.inference", &self.inference),
            ("livekit.agent", &self.agent),
            ("livekit.observability", &self.observability),
            ("livekit.roomConfig", &self.room_config),
        ] {
            bounded(field, object.as_ref(), 16 * 1024)?;
        }
        Ok(())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let [key_secret, key_id] = Self::FACTS.secret_fields else {
            return Err(InvalidBlock("livekit needs two values".into()).into());
        };
        let issuer = secret(mint.credential, key_id)?.expose_secret();
        let expires_at = mint.expires_at();
        // In the order of LiveKit's Node SDK, whose tokens ours equal but for `jti`, which the SDK leaves out and LiveKit
        // doesn't read: without it two tokens of one second would be the same.
        let claims = given([
            ("metadata", self.metadata.clone().map(Value::from)),
            ("attributes", self.attributes.clone().map(|it| json!(it))),
            ("name", self.name.clone().map(Value::from)),
            ("video", self.video.clone().map(Value::from)),
            ("sip", self.sip.clone().map(Value::from)),
            ("inference", self.inference.clone().map(Value::from)),
            ("agent", self.agent.clone().map(Value::from)),
            ("observability", self.observability.clone().map(Value::from)),
            ("agentEndpoint", self.agent_endpoint.as_ref().map(|it| json!(it))),
            ("agentThread", self.agent_thread.as_ref().map(|it| json!(it))),
            ("kind", self.kind.clone().map(Value::from)),
            ("sha256", self.sha256.clone().map(Value::from)),
            ("roomPreset", self.room_preset.clone().map(Value::from)),
            ("roomConfig", self.room_config.clone().map(Value::from)),
            ("iss", Some(issuer.into())),
            ("exp", Some(expires_at.as_second().into())),
            ("nbf", Some(mint.now.as_second().into())),
            ("sub", self.identity.clone().map(Value::from)),
            ("jti", Some(mint.uuid().into())),
        ]);
        let header = given([("alg", Some(Algorithm::Hs256.name().into()))]);
        let key = secret(mint.credential, key_secret)?.expose_secret();
        let token = jwt(Algorithm::Hs256, key.as_bytes(), &header, &claims)?;
        let mut answer = Answer::new(token, Expiry::At(expires_at), self.config());
        if let Some(url) = &self.account.url {
            answer.outputs.insert("url".into(), url.clone().into());
        }
        Ok(Step::Done(answer))
    }
}

impl LiveKit {
    /// A quoted "true" would be no grant, or an error at LiveKit when the token is used.
    fn check_types(&self) -> Result<(), InvalidBlock> {
        for (place, grants) in [
            ("video", &self.video),
            ("sip", &self.sip),
            ("inference", &self.inference),
            ("agent", &self.agent),
            ("observability", &self.observability),
        ] {
            for (grant, value) in &grants.as_ref().map(RawObject::read).unwrap_or_default() {
                // Named as unknown below.
                if place == "video" && !VIDEO.contains(&grant.as_str()) {
                    continue;
                }
                let (fits, what) = match grant.as_str() {
                    "room" | "destinationRoom" if place == "video" => (value.is_string(), "must be text"),
                    "canPublishSources" if place == "video" => (
                        is_list_of(value, SOURCES),
                        "must be a list of camera, microphone, screen_share and screen_share_audio",
                    ),
                    _ => (value.is_boolean(), "must be true or false, without quotes"),
                };
                if !fits {
                    return Err(InvalidBlock(format!("livekit.{place}.{grant}: {what}")));
                }
            }
        }
        Ok(())
    }

    fn room(&self) -> Option<String> {
        Some(self.video.as_ref()?.get("room")?.as_str()?.to_owned())
    }
}

/// What LiveKit's SDK can write into the video grant. A misspelt one would be no grant at all.
const VIDEO: &[&str] = &[
    "roomCreate",
    "roomList",
    "roomRecord",
    "roomAdmin",
    "roomJoin",
    "room",
    "canPublish",
    "canSubscribe",
    "canPublishData",
    "canPublishSources",
    "canUpdateOwnMetadata",
    "ingressAdmin",
    "hidden",
    "recorder",
    "agent",
    "canSubscribeMetrics",
    "canManageAgentSession",
    "destinationRoom",
];

/// What LiveKit lets a participant publish.
const SOURCES: &[&str] = &["camera", "microphone", "screen_share", "screen_share_audio"];

fn is_list_of(value: &Value, words: &[&str]) -> bool {
    let items = value.as_array();
    items.is_some_and(|items| items.iter().all(|item| words.iter().any(|word| item == word)))
}

/// The first field anywhere below that holds a secret of a cloud's storage, in either spelling of protobuf's JSON.
fn storage_credential(value: &Value) -> Option<&str> {
    const FIELDS: &[&str] = &[
        "accessKey",
        "access_key",
        "secret",
        "sessionToken",
        "session_token",
        "credentials",
        "accountKey",
        "account_key",
    ];
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            if FIELDS.contains(&name.as_str()) {
                Some(name.as_str())
            } else {
                storage_credential(value)
            }
        }),
        Value::Array(items) => items.iter().find_map(storage_credential),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
