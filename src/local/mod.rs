//! `local`: a RealtimeToken without a cluster, on a laptop or a VM. The same manifest, lifecycle, files and requests.
//!
//! `manifest` reads the RealtimeToken, `keys` the provider's key, `directory` holds the files that a pod would mount and
//! what a restart needs to know, `keeper` looks, steps, reports and performs, `screen` says what goes on, by `output`.

mod directory;
mod keeper;
mod keys;
mod manifest;
mod output;
mod screen;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::directory::Directory;
pub use self::directory::DirectoryError;
use self::keeper::{Keeper, Parts};
use self::keys::KeyFiles;
use self::manifest::Manifest;
pub use self::manifest::ManifestError;
pub use self::screen::CLEAR as CLEAR_LINE;
use self::screen::Screen;
use crate::cli::endpoints::EndpointArgs;
use crate::cli::mint::MintCliError;
use crate::cli::mint::input;
use crate::issuer::{Issuer, LocalKeys};
use crate::metrics::Metrics;
use crate::mint::{ClientConfig, ClientError, EndpointError, EndpointPolicy, Minter, ProviderClient};
use crate::requests::loopback::{Loopback, parse_address};

/// One RealtimeToken, kept in a directory.
#[derive(Args, Clone, Debug)]
pub struct LocalArgs {
    /// The manifest of a RealtimeToken, YAML or JSON. It is read again when it changes.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: PathBuf,
    /// Which RealtimeToken to keep, where the file holds several: its metadata.name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where to keep the files that a pod would mount: a directory that is new, empty, or of an earlier `local` or `mint`.
    /// Only their owner can read them.
    #[arg(long, value_name = "DIRECTORY", default_value = ".realtime-token")]
    pub directory: PathBuf,
    /// Hand out tokens on request at this loopback address, to every program of this machine. For manifests with
    /// spec.requests.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_address)]
    pub listen: Option<SocketAddr>,
    /// A folder with a file for each value of the key, named as in the key Secret: what systemd's LoadCredential makes.
    /// What isn't there comes from the environment.
    #[arg(long, env = "CREDENTIALS_DIRECTORY", value_name = "FOLDER")]
    pub credentials_dir: Option<PathBuf>,
    /// A file of lines NAME=value, for variables that the environment lacks. Default: .env, if there is one.
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    /// What is logged beside the lines about the token, as for `run`. By default each token that is handed out, and
    /// warnings.
    #[arg(long, env = "LOG", default_value = "warn,realtime_token_operator::audit=info")]
    pub log: String,
}

/// Why it ends at once.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{0}")]
    NoKey(String),
    #[error("--allow-endpoint: {0}")]
    AllowEndpoint(EndpointError),
    #[error("--ca-bundle: {0}")]
    CaBundle(MintCliError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("--directory: {0}")]
    Directory(#[from] DirectoryError),
    #[error("--listen {0}: {problem}", problem = not_listening(.1))]
    Listen(SocketAddr, io::Error),
}

impl LocalError {
    /// 2 for what the user typed, 1 for what the machine lacks.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Manifest(_) | Self::AllowEndpoint(_) => 2,
            Self::NoKey(_) | Self::CaBundle(_) | Self::Client(_) | Self::Directory(_) | Self::Listen(..) => 1,
        }
    }
}

fn not_listening(problem: &io::Error) -> String {
    match problem.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: end it, or name another port".to_owned(),
        _ => format!("{problem}; name another address"),
    }
}

/// Keeps the token until the shutdown.
pub async fn run(args: LocalArgs, shutdown: CancellationToken) -> Result<(), LocalError> {
    let endpoints = EndpointPolicy::parse(&args.endpoints.allow_endpoints).map_err(LocalError::AllowEndpoint)?;
    let ca_bundle = args.endpoints.ca_bundle.as_deref().map(input::read).transpose();
    let client = ProviderClient::new(&ClientConfig {
        ca_bundle: ca_bundle.map_err(LocalError::CaBundle)?,
        endpoints: endpoints.clone(),
        ..ClientConfig::default()
    })?;
    let options = Options {
        args,
        endpoints,
        providers: Arc::new(client),
        environment: crate::cli::mint::variable,
        screen: Screen::of_process(),
    };
    keep(options, shutdown).await
}

struct Options {
    args: LocalArgs,
    endpoints: EndpointPolicy,
    providers: Arc<dyn Minter>,
    environment: fn(&str) -> Option<String>,
    screen: Screen,
}

async fn keep(options: Options, shutdown: CancellationToken) -> Result<(), LocalError> {
    let Options {
        args,
        endpoints,
        providers,
        environment,
        screen,
    } = options;
    let manifest = Manifest::new(args.filename, args.name, args.listen.is_some(), endpoints.clone());
    let read = manifest.read()?;
    let keys = Arc::new(KeyFiles::new(args.credentials_dir, args.env_file, environment));
    keys.set_first_key(read.first_key());
    keys.read(read.secret_fields())
        .map_err(|blocked| LocalError::NoKey(blocked.message))?;
    let listener = match args.listen {
        Some(address) => {
            let failed = |problem| LocalError::Listen(address, problem);
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?; // port 0 is any that is free
            Some((listener, address))
        }
        None => None,
    };
    let directory = Directory::open(args.directory)?;
    let metrics = Arc::new(Metrics::new(false));
    let issuer = Arc::new(Issuer::local(
        Arc::clone(&keys) as Arc<dyn LocalKeys>,
        providers,
        Arc::clone(&metrics),
    ));
    let served = listener.map(|(listener, address)| {
        let loopback = Loopback::new(Arc::clone(&issuer), endpoints, metrics, shutdown.clone());
        let served = tokio::spawn(loopback.serve(listener));
        ((loopback, address), served)
    });
    let (loopback, served) = served.unzip();
    let parts = Parts {
        manifest,
        keys,
        directory,
        issuer,
        loopback,
        screen,
    };
    Keeper::new(parts, read)?.keep(&shutdown).await;
    if let Some(served) = served {
        let _ = served.await; // it ends with the shutdown; a panic was logged
    }
    Ok(())
}

#[cfg(test)]
mod tests;
