//! Logs to stderr, as text or JSON.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::LogFormat;

/// Starts logging. `filter` is a level, or levels by module such as `info,realtime_token_operator::leader=debug`.
///
/// # Errors
/// The filter can't be read.
pub fn start(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter: Targets = filter
        .parse()
        .map_err(|problem| format!("--log {filter:?}: {problem}"))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(harmless))
        .with(lines)
        .init();
    Ok(())
}

/// The API client logs whole bodies that it can't parse, and key Secrets are bodies too. No filter lifts this. The
/// controller's spans would say in each line what our own lines say already, and cost more than the rest of logging.
fn harmless(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let body = target.starts_with("kube_client") && *metadata.level() > Level::ERROR;
    let span = target.starts_with("kube_runtime") && metadata.is_span();
    !body && !span
}
