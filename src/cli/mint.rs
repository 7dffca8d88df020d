//! `mint`: one token without a cluster, for laptops and CI, and to try out a manifest.

mod manifest;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::api::RealtimeTokenSpec;
use crate::mint::{
    Ask, ClientConfig, ClientError, Credential, EndpointError, EndpointPolicy, ProviderClient, explain, placeholders,
};
use crate::providers::Provider;
use crate::token::MintError;
use crate::token::secret::token_json;

/// No manifest, key or CA bundle is larger; what is must be another file than meant.
const LARGEST: u64 = 1024 * 1024;

/// One mint.
#[derive(Args, Clone, Debug)]
pub struct MintArgs {
    /// The manifest of one RealtimeToken, YAML or JSON; `-` reads standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: PathBuf,
    /// Print what would be sent, or header and claims of a token that is signed here, and send nothing. The key isn't
    /// shown; it is needed only where it is a private key to sign with.
    #[arg(long)]
    pub explain: bool,
    /// A file that holds the API key. Default: the environment variable of the provider's own SDK, such as
    /// OPENAI_API_KEY or ELEVENLABS_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// A folder with a file for each value of the key, named as in the key Secret: what a mounted Secret looks like,
    /// and what providers need that take several values. What isn't there comes from the environment.
    #[arg(long, value_name = "FOLDER")]
    pub credentials_dir: Option<PathBuf>,
    /// An origin that `endpoint` fields may name, with its scheme: https://gateway.example.com, http://127.0.0.1:8089.
    /// Repeat it, or separate several with commas.
    #[arg(
        long = "allow-endpoint",
        env = "ALLOW_ENDPOINTS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allow_endpoints: Vec<String>,
    /// A file of PEM certificates to trust beside the system's, for a proxy or gateway with a private CA.
    #[arg(long, env = "CA_BUNDLE", value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum MintCliError {
    #[error("can't read {0}: {1}")]
    Read(String, io::Error),
    #[error("{0} is larger than 1 MiB: it can't be what is meant")]
    TooLarge(String),
    #[error("{0}: {1}")]
    Manifest(String, String),
    #[error(
        "there is no API key: set {env} to the key of {provider}, or name a file that holds it with --api-key-file"
    )]
    NoKey { env: &'static str, provider: &'static str },
    #[error(
        "{provider} needs {key}: set {env}, or put a file {key} that holds it into the folder of --credentials-dir"
    )]
    NoValue {
        key: String,
        env: &'static str,
        provider: &'static str,
    },
    #[error("--allow-endpoint: {0}")]
    AllowEndpoint(EndpointError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// Mints one token and returns its token.json, byte for byte as the Secret would hold it; or explains what it would send.
pub async fn mint(args: MintArgs) -> Result<String, MintCliError> {
    let (spec, ask) = ask(&args.filename)?;
    let provider = ask.block.provider();
    let endpoints = EndpointPolicy::parse(&args.allow_endpoints).map_err(MintCliError::AllowEndpoint)?;
    let files = Files {
        first: args.api_key_file.as_deref(),
        folder: args.credentials_dir.as_deref(),
        first_key: key_name(&spec),
    };
    let now = crate::clock::now();
    if args.explain {
        let explanation = match explain(&ask, &placeholders(provider), &endpoints, now) {
            // Nothing but a private key signs as one.
            Err(MintError::Rejected { credential: true, .. }) => {
                let credential = files.credential(provider, variable)?;
                explain(&ask, &credential, &endpoints, now)?
            }
            explained => explained?,
        };
        return Ok(explanation.trim_end().to_owned());
    }
    let ca_bundle = args.ca_bundle.as_deref().map(read).transpose()?;
    let client = ProviderClient::new(&ClientConfig {
        ca_bundle,
        endpoints,
        ..ClientConfig::default()
    })?;
    let credential = files.credential(provider, variable)?;
    let minted = client.mint(&ask, &credential, now).await?;
    Ok(token_json(&minted).expose_secret().to_owned())
}

fn ask(path: &Path) -> Result<(RealtimeTokenSpec, Ask), MintCliError> {
    let wrong = |problem: String| MintCliError::Manifest(name_of(path), problem);
    let text = String::from_utf8(read(path)?).map_err(|_| wrong("is not UTF-8 text".into()))?;
    let spec = manifest::parse(&text).map_err(wrong)?;
    let ask = manifest::ask(&spec).map_err(wrong)?;
    if let Some(reference) = &spec.credentials.provider_ref {
        let provider = ask.block.provider();
        let env: Vec<_> = provider.secret_fields().iter().map(|field| field.env).collect();
        note(&format!(
            "ClusterRealtimeProvider {} can't be looked up without a cluster: taking the default host of {}, and the \
             key from {} or a file",
            reference.name,
            provider.title(),
            env.join(", "),
        ));
    }
    if let Some(identity) = &spec.credentials.workload_identity {
        let provider = ask.block.provider();
        let env: Vec<_> = provider.secret_fields().iter().map(|field| field.env).collect();
        note(&format!(
            "no token of ServiceAccount {} can be exchanged without a cluster: taking an API key from {} or a file",
            identity.service_account_name,
            env.join(", "),
        ));
    }
    Ok((spec, ask))
}

/// The name that the manifest gives to the first key.
fn key_name(spec: &RealtimeTokenSpec) -> Option<&str> {
    spec.credentials.secret_ref.as_ref()?.key.as_deref()
}

/// Where values of the key lie in files.
#[derive(Default)]
struct Files<'a> {
    /// The file of the first value.
    first: Option<&'a Path>,
    /// A folder of files named by their keys.
    folder: Option<&'a Path>,
    /// What the first value's key is called, if not as usual.
    first_key: Option<&'a str>,
}

impl Files<'_> {
    /// The values of the credential: from files, else from the environment.
    fn credential(
        &self,
        provider: &dyn Provider,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Credential, MintCliError> {
        let several = provider.secret_fields().len() > 1;
        let values = provider.secret_fields().iter().enumerate().map(|(nth, field)| {
            let key = self.first_key.filter(|_| nth == 0).unwrap_or(field.key);
            let value = match self.file(nth, key)? {
                Some(file) => Some(String::from_utf8_lossy(&file).into_owned()),
                None => env(field.env),
            };
            let value = value.as_deref().map(str::trim).filter(|value| !value.is_empty());
            let (env, title) = (field.env, provider.title());
            let value = value.ok_or_else(|| match several {
                true => MintCliError::NoValue {
                    key: key.to_owned(),
                    env,
                    provider: title,
                },
                false => MintCliError::NoKey { env, provider: title },
            })?;
            Ok((field.key, SecretString::from(value)))
        });
        Ok(Credential::new(values.collect::<Result<Vec<_>, MintCliError>>()?))
    }

    fn file(&self, nth: usize, key: &str) -> Result<Option<Vec<u8>>, MintCliError> {
        if let Some(first) = self.first.filter(|_| nth == 0) {
            return read(first).map(Some);
        }
        let Some(folder) = self.folder else {
            return Ok(None);
        };
        match read(&folder.join(key)) {
            // Without the folder itself nothing that is meant can be there.
            Err(MintCliError::Read(_, problem)) if problem.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}

/// Which variable is meant depends on the manifest, so clap can't read it.
#[allow(clippy::disallowed_methods, reason = "the edge, where the environment is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a file, or standard input for `-`.
fn read(path: &Path) -> Result<Vec<u8>, MintCliError> {
    let failed = |error| MintCliError::Read(name_of(path), error);
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(File::open(path).map_err(failed)?),
    };
    source.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(MintCliError::TooLarge(name_of(path)));
    }
    Ok(bytes)
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".into()
    } else {
        path.display().to_string()
    }
}

/// Standard output belongs to token.json.
#[allow(clippy::print_stderr, reason = "a command line talks to its user")]
fn note(text: &str) {
    eprintln!("note: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ElevenLabs, LiveKit, OpenAi};

    fn openai() -> OpenAi {
        serde_json::from_value(serde_json::json!({"model": "m"})).unwrap()
    }

    fn value(provider: &dyn Provider, nth: usize, credential: &Credential) -> String {
        let value = credential.get(&provider.secret_fields()[nth]).unwrap();
        value.expose_secret().to_owned()
    }

    #[test]
    fn the_key_comes_from_the_sdks_variable() {
        let none = Files::default();
        let env = |name: &str| (name == "OPENAI_API_KEY").then(|| " sk-1\n".to_owned());
        let found = none.credential(&openai(), env).unwrap();
        assert_eq!(value(&openai(), 0, &found), "sk-1");

        let elevenlabs: ElevenLabs = serde_json::from_value(serde_json::json!({"agentId": "a"})).unwrap();
        let error = none.credential(&elevenlabs, env).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no API key: set ELEVENLABS_API_KEY to the key of ElevenLabs, or name a file that holds it with \
             --api-key-file"
        );
        assert!(
            none.credential(&openai(), |_| Some(" \n".into())).is_err(),
            "an empty variable is none"
        );
    }

    #[test]
    fn a_file_comes_before_the_variable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "sk-file\n").unwrap();
        let first = |path| Files {
            first: Some(path),
            ..Files::default()
        };
        let env = |_: &str| Some("sk-env".into());
        let found = first(&file).credential(&openai(), env).unwrap();
        assert_eq!(value(&openai(), 0, &found), "sk-file");
        let none = dir.path().join("none");
        let missing = first(&none).credential(&openai(), env).unwrap_err();
        assert!(missing.to_string().contains("can't read"), "{missing}");
    }

    #[test]
    fn several_values_come_from_a_folder_and_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let livekit = LiveKit::default();
        let folder = |first_key| Files {
            folder: Some(dir.path()),
            first_key,
            first: None,
        };
        let error = folder(None).credential(&livekit, |_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LiveKit needs LIVEKIT_API_SECRET: set LIVEKIT_API_SECRET, or put a file LIVEKIT_API_SECRET that \
             holds it into the folder of --credentials-dir"
        );
        std::fs::write(dir.path().join("LIVEKIT_API_SECRET"), "word\n").unwrap();
        std::fs::write(dir.path().join("other"), "another\n").unwrap();
        let env = |name: &str| (name == "LIVEKIT_API_KEY").then(|| "id".to_owned());
        let found = folder(None).credential(&livekit, env).unwrap();
        assert_eq!(value(&livekit, 0, &found), "word");
        assert_eq!(value(&livekit, 1, &found), "id");
        let renamed = folder(Some("other")).credential(&livekit, env).unwrap();
        assert_eq!(value(&livekit, 0, &renamed), "another", "secretRef.key");

        let nowhere = dir.path().join("none");
        let files = Files {
            folder: Some(&nowhere),
            ..Files::default()
        };
        let error = files.credential(&livekit, env).unwrap_err();
        assert!(error.to_string().contains("can't read"), "{error}");
    }

    #[test]
    fn reading_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("big");
        std::fs::write(&file, vec![b'#'; 1024 * 1024]).unwrap();
        assert_eq!(read(&file).unwrap().len(), 1024 * 1024);
        std::fs::write(&file, vec![b'#'; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(read(&file), Err(MintCliError::TooLarge(_))));
        assert!(matches!(read(Path::new("/dev/zero")), Err(MintCliError::TooLarge(_))));
    }
}
