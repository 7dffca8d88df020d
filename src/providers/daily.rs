//! Daily: meeting tokens, from the REST API or, where the domain's id is known, signed here with the API key.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::Provider;
use crate::api::{Daily, DailyRecording, ProviderBlock};
use crate::mint::sign::{Algorithm, jwt};
use crate::mint::wire::{bounded, given, reply_object, secret, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply, claims as claims_of};
use crate::token::MintError;

impl Provider for Daily {
    fn is_bound_to_room(&self) -> bool {
        true
    }

    fn endpoint(&self) -> Endpoint<'_> {
        if self.account.domain_id.is_some() {
            return Endpoint::Local;
        }
        Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0])
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        self.not_before()?;
        bounded("daily.permissions", self.permissions.as_ref(), 4096)
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let not_before = self.not_before()?;
        if not_before.is_some_and(|instant| instant >= mint.expires_at()) {
            let message = "daily.notBefore: a token that is minted now ends before then; raise expirationSeconds, or suspend \
                           the RealtimeToken until nearer the time";
            return Err(InvalidBlock(message.into()).into());
        }
        match &self.account.domain_id {
            Some(domain) => self.sign(mint, domain, not_before).map(Step::Done),
            None => {
                let body = json!({"properties": self.properties(mint, not_before)});
                let request = Request::post_json("/v1/meeting-tokens", &body);
                Ok(Step::Send(request.bearer(mint, &Self::FACTS.secret_fields[0])?))
            }
        }
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let value = token(&mut reply, "token")?;
        // The end that we set; the token itself may name an earlier one.
        let set = mint.expires_at();
        let ends = claims_of::expiry(&value).map_or(set, |exp| exp.min(set));
        let ends = Expiry::At(ends);
        Ok(Step::Done(Answer::new(value, ends, self.config())))
    }
}

impl Daily {
    fn not_before(&self) -> Result<Option<Timestamp>, InvalidBlock> {
        let parsed = self.not_before.as_deref().map(str::parse).transpose();
        parsed.map_err(|_| InvalidBlock("daily.notBefore: no point in time as RFC 3339".into()))
    }

    /// The properties of a token beside its room and its end: the name in a request, the name in a token that is
    /// signed here, and the value.
    fn options(&self) -> [(&'static str, &'static str, Option<Value>); 10] {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        let recording = self.enable_recording.map(|recording| {
            Value::from(match recording {
                DailyRecording::Cloud => "cloud",
                DailyRecording::CloudAudioOnly => "cloud-audio-only",
                DailyRecording::Local => "local",
                DailyRecording::RawTracks => "raw-tracks",
            })
        });
        let after = self.eject_after_elapsed_seconds;
        [
            ("user_name", "u", text(&self.user_name)),
            ("user_id", "ud", text(&self.user_id)),
            ("is_owner", "o", self.is_owner.map(Value::from)),
            ("eject_at_token_exp", "ejt", self.eject_at_token_exp.map(Value::from)),
            ("eject_after_elapsed", "eje", after.map(Value::from)),
            ("enable_screenshare", "ss", self.enable_screenshare.map(Value::from)),
            ("start_video_off", "vo", self.start_video_off.map(Value::from)),
            ("start_audio_off", "ao", self.start_audio_off.map(Value::from)),
            (
                "start_cloud_recording",
                "sr",
                self.start_cloud_recording.map(Value::from),
            ),
            ("enable_recording", "er", recording),
        ]
    }

    /// Always with a room and an end: Daily's default is every room, for ever.
    fn properties(&self, mint: &Mint<'_>, not_before: Option<Timestamp>) -> Map<String, Value> {
        let fixed = [
            ("room_name", Some(self.room_name.as_str().into())),
            ("exp", Some(mint.expires_at().as_second().into())),
            ("nbf", not_before.map(|instant| instant.as_second().into())),
        ];
        let options = self.options().map(|(name, _, value)| (name, value));
        let permissions = ("permissions", self.permissions.clone().map(Value::from));
        given(fixed.into_iter().chain(options).chain([permissions]))
    }

    fn sign(&self, mint: &Mint<'_>, domain: &str, not_before: Option<Timestamp>) -> Result<Answer, MintError> {
        let (now, expires_at) = (mint.now.as_second(), mint.expires_at());
        let header = given([
            ("alg", Some(Algorithm::Hs256.name().into())),
            ("typ", Some("JWT".into())),
        ]);
        let fixed = [
            ("r", Some(self.room_name.as_str().into())),
            ("d", Some(domain.into())),
            ("iat", Some(now.into())),
            (
                "nbf",
                Some(not_before.map_or(now, |instant| instant.as_second().max(now)).into()),
            ),
            ("exp", Some(expires_at.as_second().into())),
        ];
        let options = self.options().map(|(_, name, value)| (name, value));
        let permissions = ("p", self.permissions.clone().map(Value::from));
        let claims = given(fixed.into_iter().chain(options).chain([permissions]));
        let key = secret(mint.credential, &Self::FACTS.secret_fields[0])?.expose_secret();
        let token = jwt(Algorithm::Hs256, key.as_bytes(), &header, &claims)?;
        Ok(Answer::new(token, Expiry::At(expires_at), self.config()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::mint::Credential;

    /// Of a token that lives from the epoch on for ten minutes.
    fn sent(not_before: &str) -> Result<Value, MintError> {
        let block = json!({"roomName": "r", "notBefore": not_before});
        let block: Daily = serde_json::from_value(block).unwrap();
        let credential = Credential::new([("api-key", "k".into())]);
        let request = fixture::request(&block, 600, &credential)?;
        Ok(serde_json::from_slice(request.bytes()).unwrap())
    }

    #[test]
    fn nobody_joins_before_the_time_that_is_set() {
        for (text, seconds) in [
            ("1970-01-01T00:09:59Z", 599),
            ("1970-01-01T01:05:00+01:00", 300),
            ("1969-12-31T23:00:00Z", -3600),
        ] {
            assert_eq!(sent(text).unwrap()["properties"]["nbf"], seconds, "{text}");
        }
        let never = sent("1970-01-01T00:10:00Z").unwrap_err().to_string();
        assert!(
            never.contains("daily.notBefore") && never.contains("ends before then"),
            "{never}"
        );
        for text in ["2026-13-01T00:00:00Z", "2026-11-22T08:00:00"] {
            let error = sent(text).unwrap_err().to_string();
            assert!(error.contains("no point in time"), "{error}");
        }
    }
}
