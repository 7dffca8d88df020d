//! `mint`: one token without a cluster, for laptops and CI, and to try out a manifest.
//!
//! `manifest` reads and checks it, `key` finds the key, `warning` says what a cluster would say of the token, `output`
//! writes the files that a pod would mount, `subject` has who it is for.

pub(crate) mod input;
mod key;
pub(crate) mod manifest;
pub(crate) mod output;
mod subject;
mod warning;

use std::io;
use std::path::PathBuf;

use clap::Args;
use secrecy::ExposeSecret;

use self::input::{name_of, read};
use self::key::Files;
pub(crate) use self::key::{key_name, variable};
use self::output::OutputError;
use super::endpoints::EndpointArgs;
use crate::api::RealtimeToken;
use crate::mint::{
    Ask, ClientConfig, ClientError, EndpointError, EndpointPolicy, ProviderClient, explain, placeholders,
};
use crate::text::escaped_lines;
use crate::token::MintError;
use crate::token::secret::{data, token_json};

/// One mint.
#[derive(Args, Clone, Debug)]
pub struct MintArgs {
    /// The manifest of a RealtimeToken, YAML or JSON; `-` reads standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: PathBuf,
    /// Which RealtimeToken to mint, where the file holds several: its metadata.name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Who the token is for, as the caller of a request names the subject: 1 to 128 letters, digits and punctuation, such as a
    /// hash of a user's id. It goes where the provider has a place for it.
    #[arg(long, value_name = "TEXT", value_parser = subject::parse)]
    pub subject: Option<String>,
    /// Write the files that a pod would mount into this folder, which must be new, empty or written by an earlier
    /// `mint`, and print nothing. Only their owner can read them; a mint replaces all of them at once.
    #[arg(long, value_name = "FOLDER", conflicts_with = "explain")]
    pub output_dir: Option<PathBuf>,
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
    #[command(flatten)]
    pub endpoints: EndpointArgs,
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
    #[error("{0}")]
    Template(String),
    #[error("--output-dir: {0}")]
    Output(#[from] OutputError),
}

/// Mints one token and returns its token.json, byte for byte as the Secret would hold it; or explains what it would
/// send. Nothing is left to print where files are written.
pub async fn mint(args: MintArgs) -> Result<Option<String>, MintCliError> {
    let (token, ask) = read_manifest(&args)?;
    let provider = ask.block.provider();
    let endpoints = EndpointPolicy::parse(&args.endpoints.allow_endpoints).map_err(MintCliError::AllowEndpoint)?;
    let files = Files {
        first: args.api_key_file.as_deref(),
        folder: args.credentials_dir.as_deref(),
        first_key: key_name(&token.spec),
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
        warning::of_ask(&token, &ask).iter().for_each(|text| warn(text));
        return Ok(Some(escaped_lines(explanation.trim_end()).into_owned()));
    }
    let ca_bundle = args.endpoints.ca_bundle.as_deref().map(read).transpose()?;
    let client = ProviderClient::new(&ClientConfig {
        ca_bundle,
        endpoints,
        ..ClientConfig::default()
    })?;
    let credential = files.credential(provider, variable)?;
    // A folder that can't be written to should not cost a token.
    let output = args.output_dir.map(|path| output::Folder::open(path, output::MINT));
    let output = output.transpose()?;
    let minted = client.mint(&ask, &credential, now).await?;
    warning::of_token(&token, &ask, &minted)
        .iter()
        .for_each(|text| warn(text));
    let Some(output) = output else {
        return Ok(Some(token_json(&minted).expose_secret().to_owned()));
    };
    let data = data(&minted, &token.spec.target).map_err(|problem| MintCliError::Template(problem.to_string()))?;
    output.write(
        data.iter().map(|(name, content)| (name.as_str(), content.0.as_slice())),
        now,
    )?;
    Ok(None)
}

fn read_manifest(args: &MintArgs) -> Result<(RealtimeToken, Ask), MintCliError> {
    let wrong = |problem: String| MintCliError::Manifest(name_of(&args.filename), problem);
    let text = String::from_utf8(read(&args.filename)?).map_err(|_| wrong("is not UTF-8 text".into()))?;
    let token = manifest::parse(&text, args.name.as_deref()).map_err(wrong)?;
    let (subject, note) = subject::of(&token.spec, args.subject.as_deref());
    if let Some(note) = note {
        say(&format!("note: {note}"));
    }
    let ask = manifest::ask(&token, subject).map_err(wrong)?;
    let provider = ask.block.provider();
    let env: Vec<_> = provider.secret_fields().iter().map(|field| field.env).collect();
    let key = format!("taking the key from {} or a file", env.join(", "));
    let credentials = &token.spec.credentials;
    if let Some(reference) = &credentials.provider_ref {
        say(&format!(
            "note: ClusterRealtimeProvider {} can't be looked up without a cluster: taking the default host of {}, and \
             {key}",
            reference.name,
            provider.title(),
        ));
    }
    if let Some(identity) = &credentials.workload_identity {
        say(&format!(
            "note: no token of ServiceAccount {} can be exchanged without a cluster: {key}",
            identity.service_account_name,
        ));
    }
    Ok((token, ask))
}

fn warn(text: &str) {
    say(&format!("warning: {text}"));
}

/// Standard output belongs to token.json.
#[allow(clippy::print_stderr, reason = "a command line talks to its user")]
fn say(line: &str) {
    eprintln!("{}", escaped_lines(line));
}
