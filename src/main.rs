//! The binary: parses the arguments, runs the subcommand, and turns its result into an exit code.

use std::alloc::System;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use futures::future::OptionFuture;
use realtime_token_operator::cluster::lease::LeaseLock;
use realtime_token_operator::config::{Cli, Command, LogFormat, RunArgs};
use realtime_token_operator::health::Health;
use realtime_token_operator::issuer::{self, Issuer};
use realtime_token_operator::leader::{Candidate, Leadership, Terms};
use realtime_token_operator::local::{LocalArgs, LocalError};
use realtime_token_operator::metrics::Metrics;
use realtime_token_operator::mint::{ClientConfig, EndpointPolicy, ProviderClient};
use realtime_token_operator::requests::certificate::{self, Certificate};
use realtime_token_operator::resolve::MetadataPolicy;
use realtime_token_operator::text::{escaped_lines, without_number};
use realtime_token_operator::{api, cli, clock, cluster, controller, local, process, requests, server, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use zeroizing_alloc::ZeroAlloc;

type Failure = Box<dyn std::error::Error>;

/// Overwrites each block of memory that is freed. Keys and tokens are copied by libraries that know nothing of secrets:
/// HTTP, JSON, base64. With this none of those copies outlives its use.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    if let Err(problem) = process::keep_memory_private() {
        let _ = writeln!(std::io::stderr(), "warning: core dumps can't be turned off: {problem}");
    }
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_stem().unwrap_or_default();
    let result = if name == cli::kubectl::BINARY {
        kubectl(cli::kubectl::Plugin::parse())
    } else if name == cli::kubectl::complete::BINARY {
        complete()
    } else {
        dispatch(Cli::parse().command)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {}", escaped_lines(&failure.to_string()));
            let of_local = failure.downcast_ref::<LocalError>();
            of_local.map_or(ExitCode::FAILURE, |failure| failure.exit_code().into())
        }
    }
}

/// One thread: the work is mostly waiting, and with two a third of the CPU goes into waking each other. One thread
/// serves several times the tokens that an API server can.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err("a crypto provider is installed already".into());
    }
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn kubectl(plugin: cli::kubectl::Plugin) -> Result<(), Failure> {
    let answer = runtime()?.block_on(cli::kubectl::run(plugin))?;
    let colours = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    match colours {
        true => print(&answer.text)?,
        false => print(&anstream::adapter::strip_str(&answer.text).to_string())?,
    }
    answer.failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn complete() -> Result<(), Failure> {
    let arguments = std::env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    print(&runtime()?.block_on(cli::kubectl::complete::complete(arguments.collect())))
}

fn dispatch(command: Command) -> Result<(), Failure> {
    let runtime = runtime()?;
    match command {
        Command::Run(args) => runtime.block_on(run(*args)),
        Command::Crd => print_crds(),
        Command::Check(args) => {
            let report = runtime.block_on(cli::check::check(args))?;
            print(&format!("{}\n", escaped_lines(&report)))
        }
        Command::Local(args) => runtime.block_on(keep_locally(args)),
        Command::Mint(args) => {
            let token = runtime.block_on(cli::mint::mint(args))?;
            token.map_or(Ok(()), |token| print(&format!("{token}\n")))
        }
    }
}

async fn keep_locally(args: LocalArgs) -> Result<(), Failure> {
    let begin = match std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
        true => local::CLEAR_LINE,
        false => "",
    };
    telemetry::start(LogFormat::Text, &args.log, begin)?;
    allow_many_files();
    let shutdown = CancellationToken::new();
    stop_on_signal(shutdown.clone());
    Ok(local::run(args, shutdown).await?)
}

fn allow_many_files() {
    if let Err(problem) = process::allow_many_files() {
        tracing::warn!("the limit on open files can't be raised: {problem}");
    }
}

fn print_crds() -> Result<(), Failure> {
    print(&api::crds_yaml()?)
}

/// A broken pipe is no failure: `| head` closes it after the lines it wants.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(problem) if problem.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {problem}").into())
        }
        _ => Ok(()),
    }
}

async fn run(args: RunArgs) -> Result<(), Failure> {
    telemetry::start(args.log_format, &args.log, "")?;
    allow_many_files();
    let ports = [args.health_listen, args.metrics_listen];
    let requests = args.requests.validate(&args.namespace, &ports)?;
    let shutdown = CancellationToken::new();
    let common = Common::of(&args, &shutdown).await?;
    start_server(&args, &common)?;
    let scope = scope(&args);
    tokio::select! {
        () = shutdown.cancelled() => {
            tracing::info!("stopped");
            return Ok(());
        }
        () = cluster::preflight::pass(&common.client, &scope, &common.health) => {}
    }
    let candidate = args.leader_elect.then(|| candidate(&args, &common));
    common.metrics.leading(candidate.is_none());
    let certificate = requests.as_ref().map(|requests| {
        Certificate::follow(certificate::Options {
            client: common.client.clone(),
            namespace: args.namespace.clone(),
            address: requests.address.clone(),
            source: requests.source.clone(),
            health: Arc::clone(&common.health),
            metrics: Arc::clone(&common.metrics),
        })
    });
    let requests = requests
        .zip(certificate.as_ref())
        .map(|(requests, certificate)| requests_options(requests.listen, certificate, &args, &common));
    let options = controller_options(certificate.as_ref(), args, common);
    let led = lead(options, certificate.as_ref(), candidate, &shutdown);
    let ((), served) = tokio::join!(led, serve_requests(requests, &shutdown));
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// What the controller and the requests' server have in common.
struct Common {
    client: kube::Client,
    issuer: Arc<Issuer>,
    endpoints: EndpointPolicy,
    metadata: MetadataPolicy,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Common {
    /// Connects. From here on a signal cancels `shutdown`.
    async fn of(args: &RunArgs, shutdown: &CancellationToken) -> Result<Self, Failure> {
        let endpoints = EndpointPolicy::parse(&args.endpoints.allow_endpoints)
            .map_err(|problem| format!("--allow-endpoint: {problem}"))?;
        let metadata = MetadataPolicy::parse(&args.allow_secret_metadata)
            .map_err(|problem| format!("--allow-secret-metadata: {problem}"))?;
        let providers = ProviderClient::new(&ClientConfig {
            ca_bundle: args.endpoints.ca_bundle.as_deref().map(read_ca_bundle).transpose()?,
            endpoints: endpoints.clone(),
            ..ClientConfig::default()
        })?;
        let (metrics, health) = (
            Arc::new(Metrics::new(!args.no_object_metrics)),
            Arc::new(Health::default()),
        );
        let counted = Arc::clone(&metrics);
        let count = move |verb, resource, code| counted.api_request(verb, resource, code);
        let cluster::client::Connected { client, address } = cluster::client::connect(Arc::new(count)).await?;
        tracing::info!("{}", started(args, &address));
        stop_on_signal(shutdown.clone());
        let issuer = Arc::new(Issuer::new(issuer::Options {
            client: client.clone(),
            providers: Arc::new(providers),
            mints_per_credential: args.mints_per_credential,
            scope: scope(args),
            operator_namespace: args.namespace.clone(),
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
        }));
        Ok(Self {
            client,
            issuer,
            endpoints,
            metadata,
            health,
            metrics,
        })
    }
}

/// Starts what the kubelet and Prometheus ask.
fn start_server(args: &RunArgs, common: &Common) -> Result<(), Failure> {
    Ok(server::start(server::Options {
        health_listen: args.health_listen,
        health: Arc::clone(&common.health),
        metrics_listen: args.metrics_listen,
        metrics: Arc::clone(&common.metrics),
        metrics_readers: args.metrics_auth.then(|| common.client.clone()),
    })?)
}

fn candidate(args: &RunArgs, common: &Common) -> Candidate {
    Candidate {
        lock: LeaseLock::new(common.client.clone(), &args.namespace, args.lease_name.clone()),
        me: identity(args.pod_name.as_deref()),
        terms: Terms::new(args.lease_duration_seconds),
        health: Arc::clone(&common.health),
        metrics: Arc::clone(&common.metrics),
    }
}

fn requests_options(
    listen: SocketAddr,
    certificate: &Certificate,
    args: &RunArgs,
    common: &Common,
) -> requests::Options {
    requests::Options {
        listen,
        client: common.client.clone(),
        issuer: Arc::clone(&common.issuer),
        endpoints: common.endpoints.clone(),
        metadata: common.metadata.clone(),
        operator_namespace: args.namespace.clone(),
        scope: scope(args),
        certificate: certificate.resolver(),
        has_certificate: certificate.loaded(),
        health: Arc::clone(&common.health),
        metrics: Arc::clone(&common.metrics),
    }
}

fn controller_options(certificate: Option<&Certificate>, args: RunArgs, common: Common) -> controller::Options {
    controller::Options {
        scope: scope(&args),
        client: common.client,
        issuer: common.issuer,
        endpoints: common.endpoints,
        metadata: common.metadata,
        operator_namespace: args.namespace,
        pod_name: args.pod_name,
        concurrency: args.concurrency,
        connection: certificate.map(Certificate::connection),
        health: common.health,
        metrics: common.metrics,
    }
}

/// Runs the controller, with leader election only while this replica leads. Its end stops the requests' server, which
/// is no longer ready and finishes what it has begun: these requests were accepted by this replica, whichever leads.
async fn lead(
    options: controller::Options,
    certificate: Option<&Certificate>,
    candidate: Option<Candidate>,
    shutdown: &CancellationToken,
) {
    let work = |leadership: Leadership| {
        let controller = controller::run(options.clone(), leadership.clone(), shutdown.clone());
        async move {
            let keep = certificate.map(|certificate| leadership.run_while_held(|| certificate.keep()));
            tokio::select! {
                () = controller => {}
                Some(()) = OptionFuture::from(keep) => {}
            }
        }
    };
    match candidate {
        Some(candidate) => candidate.lead(work, shutdown).await,
        None => work(Leadership::always()).await,
    }
    shutdown.cancel();
}

/// Serves tokens on request, if that is enabled, until the shutdown. Its end stops the controller.
async fn serve_requests(options: Option<requests::Options>, shutdown: &CancellationToken) -> Result<(), Failure> {
    let Some(options) = options else {
        return Ok(());
    };
    let listen = options.listen;
    let result = requests::run(options, shutdown.clone()).await;
    shutdown.cancel();
    Ok(result.map_err(|problem| format!("--requests-listen {listen}: {}", server::cannot_listen(&problem)))?)
}

/// What this process is and what it was told, in one line.
fn started(args: &RunArgs, address: &cluster::Address) -> String {
    let named = |names: Vec<&str>, none: &str| match names.is_empty() {
        true => none.to_owned(),
        false => names.join(", "),
    };
    let scope = scope(args);
    let namespaces = scope.namespaces.iter().map(String::as_str).collect();
    let endpoints = args
        .endpoints
        .allow_endpoints
        .iter()
        .map(String::as_str)
        .filter(|origin| !origin.is_empty());
    let election = match args.leader_elect {
        true => format!("by Lease {}/{}", args.namespace, args.lease_name),
        false => "off".to_owned(),
    };
    format!(
        "realtime-token-operator {} for the cluster {address}; namespaces: {}; ClusterRealtimeProviders: {}; endpoints \
         beside the providers' own: {}; leader election: {election}",
        env!("CARGO_PKG_VERSION"),
        named(namespaces, "all"),
        if scope.cluster_providers {
            "served"
        } else {
            "not served"
        },
        named(endpoints.collect(), "none"),
    )
}

fn scope(args: &RunArgs) -> cluster::Scope {
    let namespaces = args.watch_namespaces.iter().filter(|name| !name.is_empty());
    cluster::Scope {
        namespaces: namespaces.cloned().collect(),
        cluster_providers: !args.no_cluster_providers,
    }
}

fn read_ca_bundle(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|problem| {
        let problem = problem.to_string();
        format!(
            "--ca-bundle {}: {}; name a file of PEM certificates",
            path.display(),
            without_number(&problem)
        )
    })
}

/// The Lease's holder identity. Unique for each process, so that a restarted container doesn't take its predecessor's
/// Lease for its own.
fn identity(pod_name: Option<&str>) -> String {
    let id = std::process::id();
    let started = clock::now().as_millisecond();
    format!("{}_{id}-{started:x}", pod_name.unwrap_or("realtime-token-operator"))
}

/// Takes in SIGINT and SIGTERM from now on: the first of them begins the shutdown.
fn stop_on_signal(shutdown: CancellationToken) {
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let arrives = |signals: std::io::Result<Signal>| async move {
        match signals {
            Ok(mut signals) => signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = arrives(interrupt) => {}
            _ = arrives(terminate) => {}
        }
        tracing::info!("stopping");
        shutdown.cancel();
    });
}
