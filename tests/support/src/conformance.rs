//! What is tested of every provider in the same way: one file of data each, `tests/conformance/<field>.yaml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::standin::{Call, Provider, StandIn};

/// The file of one provider. Each part fills a column of the matrix.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conformance {
    /// The field of the spec, from the file's name.
    #[serde(skip)]
    pub field: String,
    /// A spec that works, `credentials` left out: for the tests on the real API server.
    pub example: Value,
    /// What the provider's key Secret holds, by key.
    pub secret: Value,
    /// Requests, or signed tokens, that must come out of a spec.
    #[serde(default)]
    pub requests: Vec<Request>,
    /// Whether the `jti` of a token that is signed here is random, unlike the SDK's.
    #[serde(default)]
    pub random_jti: bool,
    /// Where the subject of a request goes. Left out: the provider has no place for it.
    #[serde(default)]
    pub subject: Option<Subject>,
    /// What a caller of a request may set, and where it arrives. Between them and `not_overridden` no field is left out.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// Fields that no caller can set, whatever the spec lists, each with the reason: `expirationSeconds`, or the block.
    #[serde(default)]
    pub not_overridden: BTreeMap<String, String>,
    /// Replies, and what is read of them.
    #[serde(default)]
    pub replies: Vec<Reply>,
    /// Errors, and what becomes of them.
    #[serde(default)]
    pub errors: Vec<Refusal>,
    /// CEL rules, both ways.
    #[serde(default)]
    pub rules: Rules,
    /// Columns of the matrix that can't apply, each with the reason.
    #[serde(default)]
    pub without: BTreeMap<String, String>,
    /// How the stand-in plays the provider; left out where nothing is sent.
    #[serde(default)]
    pub standin: Option<Play>,
}

/// The provider's field for the end user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its places, over all specs of the file: `path`, `query NAME`, `header NAME`, `body POINTER`, `form NAME`, and of a
    /// token that is signed here `claims POINTER`, `token POINTER` of one that is JSON, `output KEY` and Agora's `packed SERVICE NAME`.
    pub places: Vec<String>,
    /// How many characters it takes.
    pub longest: usize,
}

/// Fields that a caller sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The spec, where it differs from the example.
    #[serde(default)]
    pub spec: Option<Value>,
    /// The overrides, as a caller sends them.
    pub set: Value,
    /// All that differs from what is sent or signed without them, by place as in [`Subject::places`], or `origin`,
    /// `method`, `jose POINTER` and `config POINTER` of token.json. The segments of a path are a list. Null: no longer
    /// there.
    pub arrives: BTreeMap<String, Value>,
}

/// A request as recorded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What it is about, where the recording's name doesn't say.
    #[serde(default)]
    pub case: Option<String>,
    /// The case in the recording: `requests[].case` or `vectors[].case`. Left out: `expect` alone says what to send.
    #[serde(default)]
    pub recorded: Option<String>,
    /// The spec, `credentials` left out.
    #[serde(default)]
    pub spec: Value,
    /// In place of `spec`: the one of the RealtimeToken in `examples/providers/<example>.yaml`.
    #[serde(default)]
    pub example: Option<String>,
    /// The subject that the caller of a request names.
    #[serde(default)]
    pub subject: Option<String>,
    /// The key Secret, where it differs from the file's.
    #[serde(default)]
    pub secret: Option<Value>,
    /// What differs from the recording on purpose, or all there is: `origin`, `method`, `path`, `headers`, `body`
    /// (JSON) or `body_raw`, `claims`.
    #[serde(default)]
    pub expect: Value,
    /// The reply to the first request, where this is the second.
    #[serde(default)]
    pub after: Option<Value>,
    /// Our clock, in seconds of the epoch. Default: the vector's, else 1795334400.
    #[serde(default)]
    pub now: Option<i64>,
}

/// A 2xx reply to the example.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// What it is about.
    pub case: String,
    /// The spec, where it differs from the example.
    #[serde(default)]
    pub spec: Option<Value>,
    /// In place of `spec`: the one of the RealtimeToken in `examples/providers/<example>.yaml`.
    #[serde(default)]
    pub example: Option<String>,
    /// Which reply it is, counted from 0.
    #[serde(default)]
    pub nth: usize,
    /// The status, by default 200.
    #[serde(default)]
    pub status: Option<u16>,
    /// The body: text as it is, anything else as JSON.
    pub body: Value,
    /// The token expected.
    #[serde(default)]
    pub token: Option<String>,
    /// The end expected, in seconds after the request was sent (at 1795334400).
    #[serde(default)]
    pub lives: Option<i64>,
    /// A part of the message of a reply that must be refused.
    #[serde(default)]
    pub refused: Option<String>,
}

/// An error of the provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The spec, where it differs from the example.
    #[serde(default)]
    pub spec: Option<Value>,
    /// To which request, counted from 0.
    #[serde(default)]
    pub nth: usize,
    /// The status.
    pub status: u16,
    /// The body, as in [`Reply::body`].
    #[serde(default)]
    pub body: Value,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `rejected`, `key`, `quota`, `throttled` or `unavailable`.
    pub class: String,
    /// Parts of the message.
    #[serde(default)]
    pub says: Vec<String>,
    /// How long the provider wants to be left alone, in seconds.
    #[serde(default)]
    pub retry_after: Option<i64>,
}

/// Changes to the smallest spec that uses the provider.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Specs that pass, `credentials` left out or `providerRef`.
    #[serde(default)]
    pub accept: Vec<Value>,
    /// Specs that are refused.
    #[serde(default)]
    pub refuse: Vec<Refused>,
    /// Accounts of a ClusterRealtimeProvider that are refused.
    #[serde(default)]
    pub refuse_account: Vec<Refused>,
}

/// A spec that the API server refuses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The spec, `credentials` left out unless they matter.
    pub spec: Value,
    /// The field that the API server names, such as `spec` or `spec.deepgram.endpoint`.
    pub at: String,
    /// The message.
    pub says: String,
}

/// How the stand-in plays a provider, beside its recording.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Play {
    /// The header that carries the key.
    pub header: String,
    /// Where the example names the provider's origin: a JSON pointer. Default: `endpoint` of the block.
    #[serde(default)]
    pub origin: Option<String>,
    /// What stands before the key, such as `"Token "`.
    #[serde(default)]
    pub scheme: String,
    /// The key it accepts, as it is sent.
    pub key: String,
    /// A request that comes first where no key is sent but an access token.
    #[serde(default)]
    pub sign_in: Option<SignIn>,
    /// Where a request says how long, or until when: a JSON pointer into the body, `form:NAME` or `query:NAME`. Left
    /// out: `life`.
    #[serde(default)]
    pub ttl: Option<String>,
    /// The life where the request can't say.
    #[serde(default)]
    pub life: Option<i64>,
    /// Pointers of the body that no request may leave out.
    #[serde(default)]
    pub required: Vec<String>,
    /// Paths that the recording lacks, with what each may hold: same shape as a recorded request. For its method and
    /// path, `ttl` and `reply` of one stand in place of those of the file, and `required` beside it.
    #[serde(default)]
    pub also: Vec<Value>,
    /// Paths of the recording that SDKs send to by mistake: there is nothing.
    #[serde(default)]
    pub wrong_paths: Vec<String>,
    /// How a token begins.
    #[serde(default)]
    pub prefix: String,
    /// The success status, by default 200.
    #[serde(default)]
    pub status: Option<u16>,
    /// The reply. A text that is exactly `{{token}}`, `{{jwt}}`, `{{ttl}}`, `{{ttl_text}}`, `{{exp}}`, `{{exp_ms}}` or
    /// `{{exp_rfc3339}}` becomes that value; a reply that is one text is sent as plain text.
    pub reply: Value,
}

/// How an access token is had from the same stand-in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The request, same shape as a recorded one; its form must come as it is here.
    pub request: Value,
    /// The reply.
    pub reply: Value,
    /// The header that then carries the access token.
    pub header: String,
    /// Header and access token as they are sent.
    pub value: String,
}

/// Providers with a face of their own in the stand-in, in place of [`Conformance::standin`].
const FACES: [(&str, Provider); 2] = [("openai", Provider::OpenAi), ("elevenlabs", Provider::ElevenLabs)];

impl Conformance {
    /// Whether the provider is asked for the token of the example, and not just the key.
    pub fn is_asked(&self) -> bool {
        self.standin.is_some() || self.face().is_some()
    }

    /// The example with its key Secret by name, asking the stand-in.
    pub fn spec_at(&self, standin: &StandIn, secret: &str) -> Value {
        let mut spec = self.example.clone();
        spec["credentials"] = json!({"secretRef": {"name": secret}});
        if self.is_asked() {
            let origin = standin.origin(&self.field).into();
            let named = self.standin.as_ref().and_then(|play| play.origin.as_deref());
            match named.and_then(|pointer| spec.pointer_mut(pointer)) {
                Some(named) => *named = origin,
                None => spec[&self.field]["endpoint"] = origin,
            }
        }
        spec
    }

    /// The calls that the stand-in got as this provider, with the key of the file where other tests use others.
    pub fn calls(&self, standin: &StandIn) -> Vec<Call> {
        let mut calls = standin.calls();
        let key = self.secret["api-key"].as_str();
        calls.retain(|call| match (call.provider, self.face()) {
            (Some(Provider::Recorded(field)), None) => field == self.field,
            (provider, Some(face)) => provider == Some(face) && call.api_key.as_deref() == key,
            _ => false,
        });
        calls
    }

    fn face(&self) -> Option<Provider> {
        let mut faces = FACES.into_iter();
        faces.find_map(|(field, face)| (field == self.field).then_some(face))
    }
}

/// Every file, by field.
pub fn all() -> anyhow::Result<Vec<Conformance>> {
    let folder = folder();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("{}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

/// The recording of a provider.
pub fn recording(field: &str) -> anyhow::Result<Value> {
    let path = folder().with_file_name("recordings").join(format!("{field}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn read(path: &Path) -> anyhow::Result<Conformance> {
    let text = std::fs::read_to_string(path)?;
    let mut file: Conformance = serde_saphyr::from_str(&text).with_context(|| format!("{}", path.display()))?;
    for request in &mut file.requests {
        if let Some(name) = &request.example {
            request.spec = spec_of(name)?;
        }
    }
    for reply in &mut file.replies {
        if let Some(name) = &reply.example {
            reply.spec = Some(spec_of(name)?);
        }
    }
    file.field = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(file)
}

fn spec_of(name: &str) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(example(name)).with_context(|| name.to_owned())?;
    let manifest: Value = serde_saphyr::from_str(&text).with_context(|| name.to_owned())?;
    Ok(manifest["spec"].clone())
}

/// A manifest in `examples/providers`.
pub fn example(name: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers");
    examples.join(format!("{name}.yaml"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance")
}
