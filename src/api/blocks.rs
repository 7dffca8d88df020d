//! The list of providers, and the field that each adds to both kinds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;

/// Every provider, one line each: the field of both kinds (in Rust and in YAML), the block of a RealtimeToken and what it mints
/// (for the table in `docs/providers.md`), the account of a ClusterRealtimeProvider. All that goes through every provider is built from this list.
macro_rules! every_provider {
    ($build:ident) => {
        $build! {
            openai "openai": OpenAi "OpenAI Realtime client secrets.", OpenAiAccount "An OpenAI account.";
            elevenlabs "elevenlabs": ElevenLabs "ElevenLabs: an agent's signed URL or conversation token, or a single-use token for speech.", ElevenLabsAccount "An ElevenLabs account.";
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
        /// The provider blocks of a RealtimeToken, of which exactly one is set. Boxed, so that a
        /// spec doesn't take the memory of every provider.
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

        /// The facts of each block, by its field.
        pub(crate) fn facts_by_field() -> Vec<(&'static str, &'static Facts)> {
            vec![$(($name, <$Block as ProviderBlock>::FACTS)),*]
        }

        /// What each block asks of the `spec` of a RealtimeToken.
        #[must_use]
        pub fn block_rules() -> Vec<BlockRules> {
            vec![$(BlockRules::of_block::<$Block, $Account>($name)),*]
        }

        /// What each block asks of the `spec.requests` of a RealtimeToken.
        #[must_use]
        pub fn request_rules() -> Vec<BlockRules> {
            vec![$(BlockRules::of_requests::<$Block, $Account>($name)),*]
        }

        /// What each account asks of the `spec` of a ClusterRealtimeProvider.
        #[must_use]
        pub fn account_rules() -> Vec<BlockRules> {
            vec![$(BlockRules::of_account::<$Block>($name)),*]
        }
    };
}
every_provider!(kinds);
