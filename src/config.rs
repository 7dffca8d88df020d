//! The command line and the environment, parsed and validated by clap. Nothing else reads settings.

mod requests;

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::requests::{Requests, RequestsArgs};
use crate::cli::check::CheckArgs;
use crate::cli::endpoints::EndpointArgs;
use crate::cli::mint::MintArgs;
use crate::local::LocalArgs;
use crate::resolve::MetadataPolicy;

/// cert-manager for realtime AI tokens: mints the ephemeral tokens of OpenAI Realtime, ElevenLabs and others into
/// Kubernetes Secrets and renews them before they become useless.
#[derive(Debug, Parser)]
#[command(name = "realtime-token-operator", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller, in a pod or against the cluster of $KUBECONFIG.
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinitions, for `kubectl apply --server-side -f -`.
    Crd,
    /// Say whether the operator works in this cluster: its kinds are served, it is ready, a replica leads, tokens
    /// are handed out on request.
    Check(CheckArgs),
    /// Mint one token without a cluster and print its token.json.
    ///
    /// Reads a RealtimeToken manifest and asks its provider with the same code as the controller. The key comes from
    /// the environment variables of the provider's own SDK (OPENAI_API_KEY, ELEVENLABS_API_KEY) or from files.
    /// The manifest is held against the CRD of this version, CEL rules included, and refused in the API server's words.
    ///
    /// Exit codes: 0 if there is a token, or an explanation; 1 if there is none, with the reason on standard error; 2 for
    /// arguments that can't be understood. Warnings and notes go to standard error and change no exit code.
    Mint(MintArgs),
    /// Keep one RealtimeToken fresh without a cluster, in a directory, until Ctrl-C.
    ///
    /// The same manifest, the same renewal in time and the same files as in a pod that mounts the Secret. The key comes
    /// from the environment variables of the provider's own SDK (OPENAI_API_KEY, ELEVENLABS_API_KEY), from .env or from
    /// files. A restart mints nothing while the token is good.
    ///
    /// Exit codes: 0 after Ctrl-C or SIGTERM; 1 if it can't begin; 2 for a manifest or arguments that are wrong.
    Local(LocalArgs),
}

/// The controller's settings.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The operator's own namespace, where the keys of ClusterRealtimeProviders live.
    #[arg(long, env = "POD_NAMESPACE", default_value = "realtime-token-operator")]
    pub namespace: String,
    /// A namespace to look after; repeat it, or separate several with commas. Without it the operator looks after all,
    /// and needs the rights for that.
    #[arg(
        long,
        env = "WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE",
        value_parser = namespace_name
    )]
    pub watch_namespaces: Vec<String>,
    /// Serve no ClusterRealtimeProviders: with --watch-namespaces no right is needed beyond those namespaces then.
    #[arg(long, env = "NO_CLUSTER_PROVIDERS")]
    pub no_cluster_providers: bool,
    /// Work only while holding a Lease in the operator's own namespace, so that several replicas can run.
    #[arg(long, env = "LEADER_ELECT")]
    pub leader_elect: bool,
    /// The name of the Lease.
    #[arg(long, env = "LEASE_NAME", default_value = "realtime-token-operator")]
    pub lease_name: String,
    /// For how long the Lease holds without being renewed. A leader that couldn't renew it for 13/15 of this pauses.
    #[arg(long, env = "LEASE_DURATION_SECONDS", default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(3..=3600))]
    pub lease_duration_seconds: u16,
    /// The operator's pod, named in Events and as the holder of the Lease.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// Where /livez and /readyz are served, for the kubelet.
    #[arg(long, env = "HEALTH_LISTEN", default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,
    /// Where /metrics is served, for Prometheus.
    #[arg(long, env = "METRICS_LISTEN", default_value = "0.0.0.0:8080")]
    pub metrics_listen: SocketAddr,
    /// Serve /metrics over HTTPS, and only to those whom RBAC allows to `get` the nonResourceURL /metrics.
    #[arg(long, env = "METRICS_AUTH")]
    pub metrics_auth: bool,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    /// A label or annotation that RealtimeTokens may give their Secrets: a key such as example.com/team, or each key of a
    /// domain, example.com/*. Repeat it, or separate several with commas. Other controllers trust Secrets by these:
    /// list none by which one here chooses what to read.
    #[arg(
        long = "allow-secret-metadata",
        env = "ALLOW_SECRET_METADATA",
        value_delimiter = ',',
        default_values = MetadataPolicy::COMMON,
        value_name = "KEY"
    )]
    pub allow_secret_metadata: Vec<String>,
    /// Tokens on request.
    #[command(flatten)]
    pub requests: RequestsArgs,
    /// How many RealtimeTokens are worked on at a time.
    #[arg(long, env = "CONCURRENCY", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// How many mints one credential may have in flight.
    #[arg(long, env = "MINTS_PER_CREDENTIAL", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub mints_per_credential: u16,
    /// Leave out the metrics that have a series for each RealtimeToken.
    #[arg(long, env = "NO_OBJECT_METRICS")]
    pub no_object_metrics: bool,
    /// The format of the logs.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: a level, or levels by module such as info,realtime_token_operator::leader=debug.
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
}

/// Accepts a DNS label, as Kubernetes does for namespaces: the watch of any other name would wait for ever. The empty
/// text is accepted too: it is what an empty WATCH_NAMESPACES yields.
fn namespace_name(text: &str) -> Result<String, String> {
    (is_label(text) || text.is_empty())
        .then(|| text.to_owned())
        .ok_or_else(|| {
            "a namespace's name has 1 to 63 small letters, digits and '-', and neither begins nor ends with '-'"
                .to_owned()
        })
}

/// Whether this is a DNS label as Kubernetes' names have them.
fn is_label(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.chars().all(|c| alphanumeric(c) || c == '-')
        && text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
}

/// The format of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object per line.
    Json,
}
