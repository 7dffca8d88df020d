//! Logs to stderr, as text or JSON.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::LogFormat;

/// Starts logging. `filter` is in the syntax of `RUST_LOG`.
///
/// # Errors
/// The filter can't be read.
pub fn start(format: LogFormat, filter: &str) -> Result<(), String> {
    // kube_client logs whole bodies when one can't be parsed; key Secrets are bodies too. Nothing can lift this.
    let filter = EnvFilter::try_new(filter)
        .map_err(|problem| format!("--log {filter:?}: {problem}"))?
        .add_directive(
            "kube_client=error"
                .parse()
                .map_err(|problem| format!("{problem}"))?,
        );
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
