//! `mint`: one token without a cluster, for laptops and CI, and to try out a manifest.

mod manifest;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::providers::{
    Ask, ClientConfig, ClientError, Credential, EndpointError, EndpointPolicy, MintError, Provider,
    ProviderClient,
};
use crate::token::secret::token_json;

/// No manifest, key or CA bundle is larger; what is must be another file than meant.
const LARGEST: u64 = 1024 * 1024;

/// One mint.
#[derive(Args, Clone, Debug)]
pub struct MintArgs {
    /// The manifest of one RealtimeToken, YAML or JSON; `-` reads standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: PathBuf,
    /// A file that holds the API key. Default: the environment variable of the provider's own SDK, such as
    /// OPENAI_API_KEY or ELEVENLABS_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
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

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum MintCliError {
    /// A file can't be read.
    #[error("can't read {0}: {1}")]
    Read(String, io::Error),
    /// A file is too large.
    #[error("{0} is larger than 1 MiB: it can't be what is meant")]
    TooLarge(String),
    /// The manifest is no RealtimeToken that can be minted.
    #[error("{0}: {1}")]
    Manifest(String, String),
    /// There is no key.
    #[error(
        "there is no API key: set {env} to the key of {provider}, or name a file that holds it with --api-key-file"
    )]
    NoKey {
        /// The environment variable.
        env: &'static str,
        /// The provider's name.
        provider: &'static str,
    },
    /// A value of `--allow-endpoint` is wrong.
    #[error("--allow-endpoint: {0}")]
    AllowEndpoint(EndpointError),
    /// The HTTP client can't be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The provider gave none.
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// Mints one token and returns its token.json, byte for byte as the Secret would hold it.
///
/// # Errors
/// Why there is no token.
pub async fn mint(args: MintArgs) -> Result<String, MintCliError> {
    let ask = ask(&args.filename)?;
    let provider = ask.block.provider();
    let endpoints =
        EndpointPolicy::parse(&args.allow_endpoints).map_err(MintCliError::AllowEndpoint)?;
    let ca_bundle = args.ca_bundle.as_deref().map(read).transpose()?;
    let client = ProviderClient::new(&ClientConfig {
        ca_bundle,
        endpoints,
        ..ClientConfig::default()
    })?;
    let credential = credential(provider, args.api_key_file.as_deref(), variable)?;
    let minted = client
        .mint(&ask, &credential, crate::controller::now())
        .await?;
    Ok(token_json(&minted).expose_secret().to_owned())
}

fn ask(path: &Path) -> Result<Ask, MintCliError> {
    let wrong = |problem: String| MintCliError::Manifest(name_of(path), problem);
    let text = String::from_utf8(read(path)?).map_err(|_| wrong("is not UTF-8 text".into()))?;
    let spec = manifest::parse(&text).map_err(wrong)?;
    let ask = manifest::ask(&spec).map_err(wrong)?;
    if let Some(reference) = &spec.credentials.provider_ref {
        let (provider, env) = (
            ask.block.provider().title(),
            ask.block.provider().roles().first().map(|role| role.env),
        );
        note(&format!(
            "ClusterRealtimeProvider {} can't be looked up without a cluster: minting at the default host of {provider} \
             with the key of {} or --api-key-file",
            reference.name,
            env.unwrap_or_default()
        ));
    }
    Ok(ask)
}

/// The values of the credential: the first one from the file, if there is one, the others from the environment.
fn credential(
    provider: &dyn Provider,
    file: Option<&Path>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Credential, MintCliError> {
    let mut file = file;
    let values = provider.roles().iter().map(|role| {
        let value = match file.take() {
            Some(path) => Some(String::from_utf8_lossy(&read(path)?).into_owned()),
            None => env(role.env),
        };
        let value = value
            .as_deref()
            .map(str::trim)
            .filter(|value| !value.is_empty());
        let value = value.ok_or(MintCliError::NoKey {
            env: role.env,
            provider: provider.title(),
        })?;
        Ok((role.key, SecretString::from(value)))
    });
    Ok(Credential::new(
        values.collect::<Result<Vec<_>, MintCliError>>()?,
    ))
}

/// Which variable is meant depends on the manifest, so clap can't read it.
#[allow(
    clippy::disallowed_methods,
    reason = "the edge, where the environment is read"
)]
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
    source
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
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
#[allow(clippy::print_stderr, reason = "a command line's word to its user")]
fn note(text: &str) {
    eprintln!("note: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ElevenLabs, OpenAi};

    fn openai() -> OpenAi {
        serde_json::from_value(serde_json::json!({"model": "m"})).unwrap()
    }

    fn key(provider: &dyn Provider, credential: &Credential) -> String {
        credential
            .get(&provider.roles()[0])
            .unwrap()
            .expose_secret()
            .to_owned()
    }

    #[test]
    fn the_key_comes_from_the_sdks_variable() {
        let env = |name: &str| (name == "OPENAI_API_KEY").then(|| " sk-1\n".to_owned());
        assert_eq!(
            key(&openai(), &credential(&openai(), None, env).unwrap()),
            "sk-1"
        );

        let elevenlabs: ElevenLabs =
            serde_json::from_value(serde_json::json!({"agentId": "a"})).unwrap();
        let error = credential(&elevenlabs, None, env).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no API key: set ELEVENLABS_API_KEY to the key of ElevenLabs, or name a file that holds it with \
             --api-key-file"
        );
        assert!(
            credential(&openai(), None, |_| Some(" \n".into())).is_err(),
            "an empty variable is none"
        );
    }

    #[test]
    fn a_file_comes_before_the_variable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "sk-file\n").unwrap();
        let found = credential(&openai(), Some(&file), |_| Some("sk-env".into())).unwrap();
        assert_eq!(key(&openai(), &found), "sk-file");
        let missing = credential(&openai(), Some(&dir.path().join("none")), |_| {
            Some("sk-env".into())
        })
        .unwrap_err();
        assert!(missing.to_string().contains("can't read"), "{missing}");
    }

    #[test]
    fn reading_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("big");
        std::fs::write(&file, vec![b'#'; 1024 * 1024]).unwrap();
        assert_eq!(read(&file).unwrap().len(), 1024 * 1024);
        std::fs::write(&file, vec![b'#'; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(read(&file), Err(MintCliError::TooLarge(_))));
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(MintCliError::TooLarge(_))
        ));
    }
}
