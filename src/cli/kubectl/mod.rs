//! `kubectl realtime-token`: the same binary under the name `kubectl-realtime_token`, with the user's rights.
//!
//! `report` is what is told of a RealtimeToken, `screen` shows it, `explain` says what a reason means, `edit` renews and
//! suspends, `request` asks for a token as an application would and `endpoint` is where, `check` compares versions and says
//! who watches the cluster, `complete` is for kubectl's own completion.

mod check;
pub mod complete;
mod edit;
mod endpoint;
mod explain;
mod readers;
mod report;
mod request;
mod screen;

use std::sync::Arc;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::report::Report;
use crate::api::Reason;
use crate::clock::now;
use crate::cluster::client::{self, ClientError};
use crate::cluster::inspect::Inspector;
use crate::cluster::{ClusterError, Name};
use crate::text::escaped;

/// The name of the binary by which kubectl finds it.
pub const BINARY: &str = "kubectl-realtime_token";

/// See and steer RealtimeTokens. Works with your own rights, as kubectl does.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl realtime-token",
    bin_name = "kubectl realtime-token",
    version,
    max_term_width = 110
)]
pub struct Plugin {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: Command,
}

/// Which cluster, and where in it.
#[derive(Args, Debug)]
struct ClusterArgs {
    /// The namespace. Default: that of the kubeconfig's context.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// The context of the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// What a reason means and what to do. Without one: all reasons.
    Explain {
        /// Such as CredentialNotFound; or the name of a RealtimeToken, for the reason that it has now.
        what: Option<String>,
    },
    /// Print the completions for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page of the plugin, or of one of its commands.
    Man {
        /// The command.
        command: Option<String>,
    },
}

/// What is asked of the cluster.
#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Everything about one RealtimeToken on one screen, or a line for each.
    Status {
        /// The RealtimeToken. Left out: all of the namespace.
        name: Option<String>,
        /// Of all namespaces.
        #[arg(short = 'A', long, conflicts_with = "name")]
        all_namespaces: bool,
        /// For programs.
        #[arg(short, long)]
        output: Option<Format>,
    },
    /// A line for each RealtimeToken.
    List {
        /// Of all namespaces.
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Only those that need a change, or whose token can't be used. Exits with 1 if there are any.
        #[arg(long)]
        unhealthy: bool,
        /// For programs.
        #[arg(short, long)]
        output: Option<Format>,
    },
    /// Have new tokens minted now, and wait until their Secrets hold them.
    Renew(edit::Renewal),
    /// Stop minting and handing out tokens. The Secrets stay, and their tokens run out.
    Suspend(edit::Which),
    /// Go on after `suspend`.
    Resume(edit::Which),
    /// Ask for a token as an application in the cluster would, at a Service through a port-forward, and print it.
    Request(request::Request),
    /// Compare the versions of this program, the CRDs and the operators of the cluster, and say whether they watch it.
    Check(check::Check),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(
        "there is no RealtimeToken {0}; `kubectl realtime-token list -A` shows those that there are. If it says that the \
         server has no such resource, the CRDs are missing: install the chart"
    )]
    NoToken(Name),
    #[error("{what}: {problem}")]
    Cluster { what: String, problem: ClusterError },
    #[error(
        "{0} is neither a reason nor a RealtimeToken of namespace {1}; `kubectl realtime-token explain` lists the reasons"
    )]
    NothingToExplain(String, String),
    #[error("{0} is no command of the plugin; `kubectl realtime-token --help` lists them")]
    NoCommand(String),
    #[error("name a RealtimeToken, or all of the namespace with --all")]
    NoNames,
    #[error("{}", .0.join("\n"))]
    NotRenewed(Vec<String>),
    #[error(transparent)]
    Request(#[from] request::RequestError),
    #[error("{0}")]
    Print(String),
    /// What was printed says enough.
    #[error("{0} are unhealthy")]
    Unhealthy(usize),
    #[error("not all is well: see above")]
    NotWell,
}

/// What is to be printed, and what makes the exit code 1 nevertheless.
pub struct Answer {
    /// May have colours, to be left out where there is no terminal.
    pub text: String,
    pub failure: Option<PluginError>,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, failure: None }
    }
}

/// Runs one command.
pub async fn run(plugin: Plugin) -> Result<Answer, PluginError> {
    match plugin.command {
        Command::Completion { shell } => Ok(completion(shell).into()),
        Command::Man { command } => manual(command.as_deref()).map(Answer::from),
        Command::Explain { what: None } => Ok(reasons().into()),
        Command::Explain { what: Some(what) } => match explain::reason(&what) {
            Some(reason) => Ok(explain::explanation(reason).into()),
            None => explain_token(plugin.cluster, what).await.map(Answer::from),
        },
        Command::Cluster(command) => run_in(plugin.cluster, command).await,
    }
}

/// The cluster, and the namespace.
async fn connect(args: ClusterArgs) -> Result<(Inspector, String), PluginError> {
    let count = Arc::new(|_, _, _| ());
    let (connected, default) = client::connect_as_user(args.context.as_deref(), count).await?;
    Ok((Inspector::new(connected), args.namespace.unwrap_or(default)))
}

async fn run_in(args: ClusterArgs, command: ClusterCommand) -> Result<Answer, PluginError> {
    let (cluster, namespace) = connect(args).await?;
    match command {
        ClusterCommand::Status {
            name: Some(name),
            output,
            ..
        } => {
            let report = whole(&cluster, &Name::new(namespace, name)).await?;
            let text = match output {
                None => screen::one(&report, now()),
                Some(format) => format.print(&report)?,
            };
            Ok(text.into())
        }
        ClusterCommand::Status {
            name: None,
            all_namespaces,
            output,
        } => list(&cluster, Some(namespace).filter(|_| !all_namespaces), false, output).await,
        ClusterCommand::List {
            all_namespaces,
            unhealthy,
            output,
        } => list(&cluster, Some(namespace).filter(|_| !all_namespaces), unhealthy, output).await,
        ClusterCommand::Renew(renewal) => edit::renew(&cluster, &namespace, renewal).await,
        ClusterCommand::Suspend(which) => Ok(edit::suspend(&cluster, &namespace, which, true).await?.into()),
        ClusterCommand::Resume(which) => Ok(edit::suspend(&cluster, &namespace, which, false).await?.into()),
        ClusterCommand::Request(request) => Ok(request::request(&cluster, &namespace, request).await?.into()),
        ClusterCommand::Check(wanted) => check::check(&cluster, &namespace, wanted).await,
    }
}

/// What the reason means that a RealtimeToken has now.
async fn explain_token(args: ClusterArgs, name: String) -> Result<String, PluginError> {
    let (cluster, namespace) = connect(args).await?;
    let name = Name::new(namespace, name);
    let token = cluster.token(&name).await.map_err(|problem| match problem {
        ClusterError::NotFound => PluginError::NothingToExplain(name.name.clone(), name.namespace.clone()),
        problem => missing(&name, problem),
    })?;
    let report = Report::new(&token, now());
    let meaning = explain::reason(&report.state).map(explain::explanation);
    let message = escaped(&report.message);
    Ok(format!("{message}\n\n{}", meaning.unwrap_or_default()))
}

async fn whole(cluster: &Inspector, name: &Name) -> Result<Report, PluginError> {
    let token = cluster.token(name).await.map_err(|problem| missing(name, problem))?;
    let pods = cluster.pods(&name.namespace, "").await.ok();
    let events = cluster.events(name).await.ok();
    Ok(Report::new(&token, now()).with(pods, events, &token.target_name()))
}

async fn list(
    cluster: &Inspector,
    namespace: Option<String>,
    unhealthy: bool,
    output: Option<Format>,
) -> Result<Answer, PluginError> {
    let tokens = cluster.tokens(namespace.as_deref()).await;
    let tokens = tokens.map_err(|problem| PluginError::Cluster {
        what: "listing RealtimeTokens".to_owned(),
        problem,
    })?;
    let reports = tokens.iter().map(|token| Report::new(token, now()));
    let reports: Vec<_> = reports.filter(|report| !unhealthy || report.is_unhealthy()).collect();
    let text = match output {
        Some(format) => format.print(&reports)?,
        None if reports.is_empty() && unhealthy => "No RealtimeToken is unhealthy.\n".to_owned(),
        None if reports.is_empty() => "There are no RealtimeTokens here; -A looks into all namespaces.\n".to_owned(),
        None => screen::list(&reports, namespace.is_none(), now()),
    };
    let failure = (unhealthy && !reports.is_empty()).then_some(PluginError::Unhealthy(reports.len()));
    Ok(Answer { text, failure })
}

fn missing(name: &Name, problem: ClusterError) -> PluginError {
    match problem {
        ClusterError::NotFound => PluginError::NoToken(name.clone()),
        problem => PluginError::Cluster {
            what: format!("RealtimeToken {name}"),
            problem,
        },
    }
}

fn reasons() -> String {
    let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    format!(
        "kubectl realtime-token explain REASON, of these:\n\n{}\n",
        names.join("\n")
    )
}

fn completion(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Plugin::command().bin_name(BINARY), BINARY, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn manual(of: Option<&str>) -> Result<String, PluginError> {
    let mut plugin = Plugin::command().bin_name("kubectl realtime-token");
    plugin.build();
    let name = match of {
        None => "kubectl-realtime-token".to_owned(),
        Some(command) => format!("kubectl-realtime-token-{command}"),
    };
    let command = match of {
        None => plugin,
        Some(command) => plugin
            .find_subcommand(command)
            .ok_or_else(|| PluginError::NoCommand(command.to_owned()))?
            .clone(),
    };
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).title(name).render(&mut page);
    rendered.map_err(|problem| PluginError::Print(problem.to_string()))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

impl Format {
    fn print(self, value: &impl serde::Serialize) -> Result<String, PluginError> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(value)
                .map(|text| text + "\n")
                .map_err(|e| e.to_string()),
            Self::Yaml => serde_saphyr::to_string(value).map_err(|e| e.to_string()),
        };
        text.map_err(PluginError::Print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Plugin::command().debug_assert();
    }

    #[test]
    fn completions_and_manual_name_every_command() {
        let all = manual(None).unwrap();
        for command in [
            "status", "list", "renew", "suspend", "resume", "request", "explain", "check",
        ] {
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                assert!(completion(shell).contains(command), "{shell} {command}");
            }
            assert!(all.contains(command), "{command}");
            let page = manual(Some(command)).unwrap();
            assert!(
                page.contains(&format!(".TH kubectl-realtime-token-{command} 1")),
                "{page}"
            );
            let usage = format!("kubectl realtime-token {command}").replace('-', "\\-");
            assert!(page.contains(&usage), "{page}");
        }
        assert!(matches!(manual(Some("mint")), Err(PluginError::NoCommand(_))));
    }
}
