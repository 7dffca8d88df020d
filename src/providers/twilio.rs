//! Twilio: AccessTokens, signed here with the secret of an API key.

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::Provider;
use crate::api::{ProviderBlock, SecretField, Twilio};
use crate::mint::sign::{Algorithm, jwt};
use crate::mint::wire::{bounded, given, secret};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Step};
use crate::token::MintError;

impl Provider for Twilio {
    fn is_bound_to_room(&self) -> bool {
        self.video.as_ref().is_some_and(|video| video.room.is_some())
    }

    fn one_reader(&self) -> Option<&'static str> {
        Some(
            "twilio.identity: all readers of this token are one identity to Twilio: a call to it rings with each of them; \
             let each user ask for a token of their own (spec.requests)",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Local
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let voice = self.voice.as_ref();
        let refused = |c: char| c.is_control() || Self::VOICE_REFUSES.contains(c);
        if voice.is_some() && self.identity.contains(refused) {
            return Err(InvalidBlock(Self::VOICE_IDENTITY.into()));
        }
        let params = voice.and_then(|voice| voice.outgoing_application_params.as_ref());
        bounded("twilio.voice.outgoingApplicationParams", params, 4096)?;
        bounded("twilio.player", self.player.as_ref(), 4096)
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let [key_secret, key_sid, account_sid] = Self::FACTS.secret_fields else {
            return Err(InvalidBlock("twilio needs three values".into()).into());
        };
        let key = sid(mint, key_sid, "SK")?;
        let account = sid(mint, account_sid, "AC")?;
        let (now, expires_at) = (mint.now.as_second(), mint.expires_at());
        // In the order of Twilio's Node SDK, whose tokens ours equal but for `jti`: the SDK's ends in the second, so two
        // tokens of one second would be the same.
        let mut header = Map::from_iter([
            ("alg".to_owned(), Algorithm::Hs256.name().into()),
            ("typ".to_owned(), "JWT".into()),
            ("cty".to_owned(), "twilio-fpa;v=1".into()),
        ]);
        if let Some(region) = &self.account.region {
            header.insert("twr".to_owned(), region.as_str().into());
        }
        let claims = given([
            ("jti", Some(format!("{key}-{}", mint.random_number()).into())),
            ("grants", Some(self.grants().into())),
            ("iat", Some(now.into())),
            ("exp", Some(expires_at.as_second().into())),
            ("iss", Some(key.into())),
            ("sub", Some(account.into())),
        ]);
        let signing = secret(mint.credential, key_secret)?.expose_secret();
        let token = jwt(Algorithm::Hs256, signing.as_bytes(), &header, &claims)?;
        let ends = Expiry::At(expires_at);
        Ok(Step::Done(Answer::new(token, ends, self.config())))
    }
}

impl Twilio {
    /// The grants in Twilio's words. What isn't set is left out.
    fn grants(&self) -> Map<String, Value> {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        let voice = self.voice.as_ref().map(|grant| {
            let outgoing = grant.outgoing_application_sid.as_deref().map(|sid| {
                let params = grant.outgoing_application_params.clone();
                given([
                    ("application_sid", Some(sid.into())),
                    ("params", params.map(Value::from)),
                ])
            });
            given([
                ("incoming", grant.incoming_allow.then(|| json!({"allow": true}))),
                ("outgoing", outgoing.map(Value::from)),
                ("push_credential_sid", text(&grant.push_credential_sid)),
                ("endpoint_id", text(&grant.endpoint_id)),
            ])
        });
        let video = self.video.as_ref();
        let video = video.map(|grant| given([("room", text(&grant.room))]));
        let chat = self.chat.as_ref().map(|grant| {
            given([
                ("service_sid", text(&grant.service_sid)),
                ("endpoint_id", text(&grant.endpoint_id)),
                ("deployment_role_sid", text(&grant.deployment_role_sid)),
                ("push_credential_sid", text(&grant.push_credential_sid)),
            ])
        });
        let sync = self.data_sync.as_ref().map(|grant| {
            given([
                ("service_sid", text(&grant.service_sid)),
                ("endpoint_id", text(&grant.endpoint_id)),
            ])
        });
        let router = self.task_router.as_ref().map(|grant| {
            given([
                ("workspace_sid", text(&grant.workspace_sid)),
                ("worker_sid", text(&grant.worker_sid)),
                ("role", text(&grant.role)),
            ])
        });
        given([
            ("identity", Some(self.identity.as_str().into())),
            ("voice", voice.map(Value::from)),
            ("video", video.map(Value::from)),
            ("chat", chat.map(Value::from)),
            ("data_sync", sync.map(Value::from)),
            ("task_router", router.map(Value::from)),
            ("player", self.player.clone().map(Value::from)),
        ])
    }
}

/// Twilio's identifiers have a prefix and 32 hexadecimal digits. A token with another is refused only when it is used.
fn sid<'m>(mint: &'m Mint<'_>, field: &SecretField, prefix: &str) -> Result<&'m str, MintError> {
    let value = secret(mint.credential, field)?.expose_secret();
    let digits = value.strip_prefix(prefix).unwrap_or_default();
    if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(value);
    }
    Err(MintError::wrong_key(format!(
        "{} in {} isn't {prefix} and 32 letters and digits; an auth token or another key won't do",
        field.key,
        mint.credential.place_of(field)
    )))
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::mint::Credential;

    fn minted(block: Value, values: [&str; 3]) -> Result<String, MintError> {
        let block: Twilio = serde_json::from_value(block).unwrap();
        let keys = Twilio::FACTS.secret_fields.iter().map(|field| field.key);
        let credential = Credential::new(keys.zip(values.map(Into::into)));
        let mint = Mint {
            expiration: SignedDuration::from_secs(3600),
            credential: &credential,
            namespace: "apps",
            subject: None,
            ask: None,
            now: Timestamp::from_second(1_795_334_400).unwrap(),
            nonce: [0; 16],
        };
        match block.start(&mint)? {
            Step::Done(answer) => Ok(answer.value.expose_secret().to_owned()),
            Step::Send(_) => panic!("signed here, nothing is sent"),
        }
    }

    /// A token that the Voice SDK could not use.
    #[test]
    fn an_identity_for_voice_has_what_a_client_may_be_called() {
        let validated = |identity: &str, grant: &str| {
            let block = json!({"identity": identity, grant: {}});
            serde_json::from_value::<Twilio>(block).unwrap().validate()
        };
        for identity in [
            "alice smith",
            "a\t",
            "a#1",
            "50%",
            "<a>",
            "a|b",
            "[a]",
            "a\\b",
            "a^b",
            "`a`",
            "{a}",
            "\"a\"",
        ] {
            let refused = validated(identity, "voice").unwrap_err();
            assert_eq!(refused.0, Twilio::VOICE_IDENTITY, "{identity}");
            assert_eq!(validated(identity, "video"), Ok(()), "{identity}");
        }
        for identity in ["alice_smith", "alice@example.com", "a-b.c+1", "zoë"] {
            assert_eq!(validated(identity, "voice"), Ok(()), "{identity}");
        }
    }

    #[test]
    fn the_region_is_in_the_header() {
        use base64::Engine as _;
        let (key, account) = (format!("SK{}", "b".repeat(32)), format!("AC{}", "a".repeat(32)));
        let block = json!({"identity": "alice", "region": "us1", "video": {"room": "r1"}});
        let token = minted(block, ["apisecret", &key, &account]).unwrap();
        let header = token.split('.').next().unwrap();
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
        assert_eq!(
            String::from_utf8(header).unwrap(),
            r#"{"alg":"HS256","typ":"JWT","cty":"twilio-fpa;v=1","twr":"us1"}"#
        );
    }

    #[test]
    fn identifiers_that_are_none_are_named_and_not_quoted() {
        let (key, account) = (format!("SK{}", "b".repeat(32)), format!("AC{}", "a".repeat(32)));
        for (values, named) in [
            (["s", "canary", account.as_str()], "TWILIO_API_KEY"),
            (["s", &account, &account], "TWILIO_API_KEY"),
            (["s", &key, "canary"], "TWILIO_ACCOUNT_SID"),
            (["", &key, &account], "TWILIO_API_SECRET"),
        ] {
            let block = json!({"identity": "alice", "video": {}});
            let error = minted(block, values).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
