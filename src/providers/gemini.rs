//! Gemini: Live tokens of the Gemini Developer API.
//!
//! Always `v1alpha`, the only version that documents them; Google's own SDK posts elsewhere by default. The reply
//! states no end: it is what was asked for. Google's defaults (one use, no new session after 60 seconds) don't suit a
//! Secret, so both are always sent. TanStack AI publishes the end of the messages as `expiresAt`; ours is the last
//! moment to start a session.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::Provider;
use crate::api::{Gemini, ProviderBlock, RawObject};
use crate::clock::whole_second;
use crate::mint::wire::{SESSION, bounded, given, reply_object, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

impl Provider for Gemini {
    /// The model, if the token is locked to it: with a field mask only what is in the mask is.
    fn bound_model(&self) -> Option<&str> {
        let mask = self.field_mask.as_deref();
        let locked = mask.is_none_or(|mask| mask.iter().any(|field| field == "model"));
        self.model.as_deref().filter(|_| locked)
    }

    /// Google locks what is set, and the rest with it; if nothing is, nothing.
    fn leaves_all_open(&self) -> bool {
        self.model.is_none() && self.setup.is_none()
    }

    /// The model as it was asked for, locked or not.
    fn config(&self) -> Map<String, Value> {
        given([("model", self.model.as_deref().map(Value::from))])
    }

    fn single_use(&self) -> Option<&'static str> {
        (self.uses.unwrap_or_default() > 0).then_some(
            "such a token starts only so many sessions as gemini.uses says, and the readers of the Secret share them. \
             Remove gemini.uses, or let each session ask for a token of its own (spec.requests)",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0])
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let Some(setup) = &self.setup else {
            return Ok(());
        };
        let fields = setup.read();
        if fields.contains_key("model") {
            let message = "gemini.setup.model: is filled in from gemini.model; remove it here";
            return Err(InvalidBlock(message.into()));
        }
        // In either spelling of protobuf's JSON.
        let resumes = ["sessionResumption", "session_resumption"]
            .iter()
            .any(|field| fields.get(*field).is_some_and(|value| !value.is_null()));
        if resumes && self.uses == Some(1) {
            let message = "gemini.uses: with 1 a session can't be resumed, which gemini.setup.sessionResumption is \
                           for: Google counts the new connection as a second use. Remove one of the two";
            return Err(InvalidBlock(message.into()));
        }
        bounded("gemini.setup", Some(setup), SESSION)
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let life = mint
            .expiration
            .saturating_add(SignedDuration::from_secs(ProviderBlock::further_seconds(self)));
        if life.as_secs() > Gemini::FURTHEST {
            return Err(InvalidBlock(Gemini::TOO_FAR.into()).into());
        }
        let last_start = last_start(mint);
        let mut body = json!({
            "uses": self.uses.unwrap_or_default(),
            "expireTime": ahead(last_start, ProviderBlock::further_seconds(self)).to_string(),
            "newSessionExpireTime": last_start.to_string(),
        });
        if self.model.is_some() || self.setup.is_some() {
            let model = self.model.iter();
            let model = model.map(|it| ("model".to_owned(), format!("models/{it}").into()));
            let setup = self.setup.iter().flat_map(RawObject::read);
            body["bidiGenerateContentSetup"] = model.chain(setup).collect::<Map<_, _>>().into();
        }
        if let Some(fields) = &self.field_mask {
            body["fieldMask"] = fields.join(",").into();
        }
        // A header, never `?key=`, which lands in logs.
        let request = Request::post_json("/v1alpha/auth_tokens", &body);
        let request = request.key(mint, &Self::FACTS.secret_fields[0], "x-goog-api-key", "")?;
        Ok(Step::Send(request))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let name = token(&mut reply_object(body)?, "name")?;
        // Never later than `expireTime`, which lies further ahead.
        let expiry = Expiry::At(last_start(mint));
        Ok(Step::Done(Answer::new(name, expiry, self.config())))
    }
}

/// `newSessionExpireTime`, in whole seconds, of which none is too many.
fn last_start(mint: &Mint<'_>) -> Timestamp {
    let now = whole_second(mint.now);
    ahead(now, mint.expiration.as_secs())
}

fn ahead(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::fixture::answer;
    use super::*;

    fn block(block: Value) -> Gemini {
        serde_json::from_value(block).unwrap()
    }

    /// Google's default is one use, and none after a minute.
    #[test]
    fn a_limited_token_is_said_not_to_suit_a_secret() {
        assert_eq!(block(json!({})).single_use(), None);
        assert_eq!(block(json!({"uses": 0})).single_use(), None);
        for uses in [1, 5] {
            let message = block(json!({"uses": uses})).single_use();
            assert!(message.is_some_and(|message| message.contains("gemini.uses")));
        }
    }

    #[test]
    fn the_end_is_the_last_start_of_a_session_not_the_last_message() {
        let answer = answer(&block(json!({})), 600, br#"{"name":"auth_tokens/1"}"#).unwrap();
        let expected = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(600);
        assert_eq!(answer.expiry, Expiry::At(expected));
    }

    #[test]
    fn one_use_and_resumption_exclude_each_other() {
        let with = |uses: Value, setup: Value| block(json!({"uses": uses, "setup": setup})).validate();
        for setup in [
            json!({"sessionResumption": {}}),
            json!({"session_resumption": {"transparent": true}}),
        ] {
            let refused = with(json!(1), setup.clone()).unwrap_err().0;
            assert!(refused.starts_with("gemini.uses: with 1"), "{refused}");
            for uses in [json!(0), json!(2), json!(null)] {
                assert_eq!(with(uses, setup.clone()), Ok(()));
            }
        }
        assert_eq!(with(json!(1), json!({"sessionResumption": null})), Ok(()));
        assert_eq!(with(json!(1), json!({})), Ok(()));
    }

    #[test]
    fn a_setup_is_bounded_and_has_no_model_of_its_own() {
        assert_eq!(block(json!({"setup": {"generationConfig": {}}})).validate(), Ok(()));
        let refused = |setup: Value| block(json!({"setup": setup})).validate().unwrap_err().0;
        assert!(refused(json!({"model": "m"})).contains("filled in from gemini.model"));
        assert!(refused(json!({"a": "x".repeat(49152)})).contains("gemini.setup: takes"));
    }
}
