//! The list of providers, and what each adds to both kinds: a field, and rules on the rest of the spec.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::*;

/// Every provider, one line each: the field of both kinds (in Rust and in YAML), the block of a RealtimeToken and what it mints
/// (for the table in `docs/providers.md`), the account of a ClusterRealtimeProvider. All that goes through every provider is built from this list.
macro_rules! every_provider {
    ($build:ident) => {
        $build! {
            openai "openai": OpenAi "OpenAI Realtime client secrets.", OpenAiAccount "An OpenAI account.";
            elevenlabs "elevenlabs": ElevenLabs "ElevenLabs agents: signed URL or conversation token.", ElevenLabsAccount "An ElevenLabs account.";
            deepgram "deepgram": Deepgram "Deepgram temporary tokens.", DeepgramAccount "A Deepgram account.";
            xai "xai": Xai "xAI Grok voice client secrets.", XaiAccount "An xAI account.";
            gemini "gemini": Gemini "Gemini Live tokens.", GeminiAccount "A Gemini Developer API account.";
            mistral "mistral": Mistral "Mistral realtime transcription client secrets.", MistralAccount "A Mistral account.";
            cartesia "cartesia": Cartesia "Cartesia access tokens.", CartesiaAccount "A Cartesia account.";
            speechmatics "speechmatics": Speechmatics "Speechmatics temporary keys.", SpeechmaticsAccount "A Speechmatics account.";
            soniox "soniox": Soniox "Soniox temporary API keys.", SonioxAccount "A Soniox account.";
            hume "hume": Hume "Hume access tokens.", HumeAccount "A Hume account.";
            azure_openai "azureOpenAI": AzureOpenAi "Azure OpenAI Realtime client secrets.", AzureOpenAiAccount "An Azure OpenAI resource.";
            assemblyai "assemblyai": AssemblyAi "AssemblyAI temporary tokens.", AssemblyAiAccount "An AssemblyAI account.";
            azure_speech "azureSpeech": AzureSpeech "Azure Speech tokens.", AzureSpeechAccount "An Azure Speech resource.";
            livekit "livekit": LiveKit "LiveKit access tokens, signed in the operator.", LiveKitAccount "A LiveKit project.";
            twilio "twilio": Twilio "Twilio AccessTokens, signed in the operator.", TwilioAccount "A Twilio account.";
            daily "daily": Daily "Daily meeting tokens.", DailyAccount "A Daily domain.";
            ice_servers "iceServers": IceServers "Credentials for TURN servers: Cloudflare, Twilio, coturn.", IceServersAccount "A TURN service.";
            agora "agora": Agora "Agora AccessToken2, built in the operator.", AgoraAccount "An Agora project.";
            http "http": Http "Any other provider, asked over HTTP.", HttpAccount "A provider that is asked over HTTP, described here.";
            jwt "jwt": Jwt "Any other provider's JWTs, signed in the operator.", JwtAccount "Tokens that are signed in the operator, described here.";
        }
    };
}
pub(crate) use every_provider;

macro_rules! kinds {
    ($($field:ident $name:literal: $Block:ident $block:literal, $Account:ident $account:literal;)*) => {
        /// The provider blocks of a RealtimeToken, of which exactly one is set. Boxed: ten thousand tokens in memory
        /// shouldn't each have room for every provider.
        #[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
        pub struct Blocks {
            $(
                // Described by its type: a comment here would take that one's place in `kubectl explain`.
                #[allow(missing_docs, reason = "on the type")]
                #[serde(rename = $name, default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<Box<$Block>>,
            )*
        }

        /// The accounts of a ClusterRealtimeProvider, of which exactly one is set.
        #[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
        pub struct Accounts {
            $(
                #[doc = $account]
                #[serde(rename = $name, default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<Box<$Account>>,
            )*
        }

        /// The fields of the provider blocks.
        pub const PROVIDER_FIELDS: &[&str] = &[$($name),*];

        /// What each of them mints, in a line.
        pub const PROVIDER_SUMMARIES: &[&str] = &[$($block),*];

        /// The rules of `spec` that are about provider blocks.
        fn block_rules() -> Vec<ValidationRule> {
            let mut rules = vec![one_block()];
            $(rules.extend(rules_of::<$Block, $Account>($name));)*
            rules
        }

        /// The rules of a ClusterRealtimeProvider's `spec` about its accounts.
        fn account_rules() -> Vec<ValidationRule> {
            let own = [$(<$Block as SpecRules>::ACCOUNT_RULES),*];
            std::iter::once(one_block()).chain(rules(own.concat())).collect()
        }
    };
}
every_provider!(kinds);

/// What a block adds to the rules of `spec`. Rules on the block alone stand on its type.
pub trait SpecRules {
    /// How `expirationSeconds` is to be read.
    const LIFETIME: Lifetime;
    /// More rules on `spec`, each with its message.
    const RULES: &'static [(&'static str, &'static str)] = &[];
    /// Rules on the `spec` of a ClusterRealtimeProvider, each with its message.
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[];
}

/// How a provider settles the life of a token, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// `expirationSeconds` chooses it.
    Chosen {
        /// What lives so long, such as "OpenAI client secrets".
        of: &'static str,
        /// The shortest life.
        min: i64,
        /// The longest life.
        max: i64,
    },
    /// `expirationSeconds` is refused.
    Fixed {
        /// Who fixes it, such as "ElevenLabs".
        by: &'static str,
    },
    /// Some kinds of the provider are one thing and some the other: it says so in [`SpecRules::RULES`].
    Varies,
}

/// What the user reads who set no provider block, or several.
#[must_use]
pub fn one_block_message() -> String {
    format!(
        "set exactly one provider block: {}",
        listed(PROVIDER_FIELDS, "or")
    )
}

/// The rules of a RealtimeToken's spec about its provider blocks.
pub(super) fn of_token() -> Vec<ValidationRule> {
    block_rules()
}

/// The rules of a ClusterRealtimeProvider's spec about its accounts.
pub(super) fn of_provider() -> Vec<ValidationRule> {
    account_rules()
}

fn one_block() -> ValidationRule {
    let set: Vec<_> = PROVIDER_FIELDS
        .iter()
        .map(|field| format!("has(self.{field})"))
        .collect();
    rule(
        format!("[{}].exists_one(x, x)", set.join(", ")),
        one_block_message(),
    )
}

fn rules_of<B: SpecRules, A: JsonSchema>(field: &str) -> Vec<ValidationRule> {
    let lifetime = match B::LIFETIME {
        Lifetime::Chosen { of, min, max } => Some(rule(
            format!(
                "!has(self.{field}) || !has(self.expirationSeconds) || (self.expirationSeconds >= {min} && \
                 self.expirationSeconds <= {max})"
            ),
            format!("expirationSeconds: {of} live {min} to {max} seconds"),
        )),
        Lifetime::Fixed { by } => Some(rule(
            format!("!has(self.{field}) || !has(self.expirationSeconds)"),
            format!("expirationSeconds: {by} fixes the lifetime of its tokens; remove the field"),
        )),
        Lifetime::Varies => None,
    };
    lifetime
        .into_iter()
        .chain(rules(B::RULES.to_vec()))
        .chain(account_rule::<A>(field))
        .collect()
}

/// With a ClusterRealtimeProvider the account side is the platform team's.
fn account_rule<A: JsonSchema>(field: &str) -> Option<ValidationRule> {
    let schema = A::json_schema(&mut SchemaGenerator::default());
    let properties = schema.get("properties")?.as_object()?;
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    let set: Vec<_> = names
        .iter()
        .map(|name| format!("has(self.{field}.{name})"))
        .collect();
    let come = if names.len() == 1 { "comes" } else { "come" };
    let them = if names.len() == 1 { "it" } else { "them" };
    Some(rule(
        format!(
            "!has(self.credentials.providerRef) || !has(self.{field}) || !({})",
            set.join(" || ")
        ),
        format!(
            "{field}.{} {come} from the ClusterRealtimeProvider when credentials.providerRef is set; remove {them}",
            listed(&names, "and")
        ),
    ))
}

fn rules(texts: Vec<(&str, &str)>) -> impl Iterator<Item = ValidationRule> {
    texts
        .into_iter()
        .map(|(text, message)| rule(text.to_owned(), message.to_owned()))
}

fn rule(rule: String, message: String) -> ValidationRule {
    ValidationRule {
        rule,
        message: Some(message),
        ..ValidationRule::default()
    }
}

/// `a, b and c`.
fn listed(words: &[&str], last: &str) -> String {
    match words {
        [rest @ .., end] if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => words.concat(),
    }
}
