//! The chosen provider block.

use std::fmt;

use serde::Serialize;

use super::Provider;
use crate::api::*;

/// No account of that provider, or one where there should be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountMismatch {
    /// The ClusterRealtimeProvider is one of another provider.
    Other,
    /// The block has an account side of its own.
    Own,
}

macro_rules! blocks {
    ($($field:ident $name:literal: $Block:ident $block:literal, $Account:ident $account:literal;)*) => {
        /// The provider blocks of the API.
        #[derive(Clone, Serialize)]
        #[serde(untagged)]
        pub enum Block {
            $($Block(Box<$Block>),)*
        }

        impl Block {
            /// The one block that is set; `None` if none or several are.
            pub(crate) fn only(blocks: &Blocks) -> Option<Self> {
                let mut set = [$(blocks.$field.clone().map(Self::$Block)),*].into_iter().flatten();
                set.next().filter(|_| set.next().is_none())
            }

            /// The first block that is set, valid or not.
            pub(crate) fn first(blocks: &Blocks) -> Option<&dyn Provider> {
                None$(.or(blocks.$field.as_deref().map(|block| block as &dyn Provider)))*
            }

            /// What never changes about each provider, in the order of the list.
            pub const fn every_facts() -> &'static [&'static Facts] {
                &[$(<$Block as ProviderBlock>::FACTS),*]
            }

            pub fn provider(&self) -> &dyn Provider {
                match self {
                    $(Self::$Block(block) => block.as_ref(),)*
                }
            }

            pub(crate) const fn field(&self) -> &'static str {
                match self {
                    $(Self::$Block(_) => $name,)*
                }
            }

            /// Puts the subject of a request into the block's field for the end user, if there is one.
            pub fn name_subject(&mut self, subject: &str) -> Result<(), String> {
                match self {
                    $(Self::$Block(block) => block.name_subject(subject),)*
                }
            }

            /// Whether the block has an account side of its own.
            pub(crate) fn has_account(&self) -> bool {
                match self {
                    $(Self::$Block(block) => block.account != $Account::default(),)*
                }
            }

            /// The fields beside the account side.
            pub(crate) fn tenant_fields(&self) -> serde_json::Map<String, serde_json::Value> {
                // Maps with string keys, numbers and strings: serde_json can't fail on them.
                let fields = |value| match value {
                    Ok(serde_json::Value::Object(fields)) => fields,
                    _ => serde_json::Map::new(),
                };
                match self {
                    $(Self::$Block(block) => {
                        let account = fields(serde_json::to_value(&block.account));
                        let mut all = fields(serde_json::to_value(block));
                        all.retain(|name, _| !account.contains_key(name));
                        all
                    })*
                }
            }

            /// Takes the account side from a ClusterRealtimeProvider.
            pub(crate) fn adopt(&mut self, accounts: &Accounts) -> Result<(), AccountMismatch> {
                let own = self.has_account();
                match self {
                    $(Self::$Block(block) => {
                        let account = accounts.$field.as_ref().ok_or(AccountMismatch::Other)?;
                        block.account = account.as_ref().clone();
                    })*
                }
                if own { Err(AccountMismatch::Own) } else { Ok(()) }
            }

            /// The values that the account of a ClusterRealtimeProvider needs from its key Secret.
            #[allow(clippy::needless_update, reason = "some blocks are nothing but their account")]
            pub(crate) fn account_secret_fields(accounts: &Accounts) -> &'static [SecretField] {
                $(if let Some(account) = &accounts.$field {
                    let account = account.as_ref().clone();
                    return $Block { account, ..$Block::default() }.secret_fields();
                })*
                &[]
            }
        }
    };
}
every_provider!(blocks);

impl Block {
    /// Whether one of the fields is set that say who the token is for.
    pub(crate) fn names_identity(&self) -> bool {
        let fields = self.tenant_fields();
        let uses = self.provider().facts().fields.iter().copied().flatten();
        let mut paths = uses.filter(|(_, is)| *is == FieldUse::Identity).map(|(path, _)| *path);
        paths.any(|path| {
            let mut steps = path.split('.');
            let first = steps.next().and_then(|name| fields.get(name));
            let value = first.and_then(|first| steps.try_fold(first, |value, step| value.get(step)));
            value.is_some_and(|value| !value.is_null())
        })
    }

    /// Whether several users may have the token, as far as the provider's documentation and the block say.
    pub(crate) fn may_be_shared(&self) -> bool {
        let provider = self.provider();
        let is_limited = provider.single_use().is_some() || provider.one_reader().is_some() || self.names_identity();
        provider.facts().documents_reuse && !is_limited
    }
}

/// Without its values: one of them may be the subject of a request.
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Block").field(&self.field()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exactly_one() {
        let of =
            |value: serde_json::Value| Block::only(&serde_json::from_value(value).unwrap()).map(|block| block.field());
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({"openai": {"model": "m"}})), Some("openai"));
        assert_eq!(
            of(json!({"openai": {"model": "m"}, "elevenlabs": {"agentId": "a"}})),
            None
        );
    }

    #[test]
    fn tokens_for_one_session_or_one_identity_are_not_shared() {
        for (spec, shared) in [
            (json!({"openai": {"model": "m"}}), false),
            (json!({"openai": {"model": "m", "reuse": "Multiple"}}), true),
            (
                json!({"openai": {"model": "m", "reuse": "Multiple", "safetyIdentifier": "a"}}),
                false,
            ),
            (json!({"elevenlabs": {"agentId": "a"}}), true),
            (
                json!({"elevenlabs": {"agentId": "a", "kind": "ConversationToken"}}),
                false,
            ),
            (json!({"elevenlabs": {"kind": "TtsWebsocket"}}), false),
            (json!({"assemblyai": {}}), false),
            (json!({"assemblyai": {"kind": "Product", "product": "p"}}), true),
            (json!({"azureOpenAI": {"deployment": "d"}}), false),
            (json!({"xai": {}}), false),
            (json!({"gemini": {}}), true),
            (json!({"gemini": {"uses": 1}}), false),
            (json!({"soniox": {"singleUse": true}}), false),
            (json!({"speechmatics": {}}), true),
            (json!({"speechmatics": {"kind": "Batch", "clientRef": "a"}}), false),
            (json!({"livekit": {"video": {"agent": true}}}), true),
            (json!({"livekit": {"identity": "a"}}), false),
            (json!({"twilio": {"identity": "a", "video": {}}}), false),
            (json!({"agora": {"rtc": {"channel": "c"}}}), true),
            (json!({"agora": {"rtc": {"channel": "c", "uid": 7}}}), false),
            (json!({"agora": {"rtm": {"userId": "a"}}}), false),
            (json!({"daily": {"roomName": "r"}}), true),
            (json!({"daily": {"roomName": "r", "userId": "a"}}), false),
            (json!({"jwt": {"params": {"identity": "a"}}}), false),
            (json!({"jwt": {"params": {"room": "r"}}}), true),
        ] {
            let block = Block::only(&serde_json::from_value(spec.clone()).unwrap()).unwrap();
            assert_eq!(block.may_be_shared(), shared, "{spec}");
        }
    }
}
