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
    let filter = levels(filter)?;
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

/// `info`, or `info,a::module=debug`. Empty parts say nothing, as when the rest of `LOG=info,$MORE` is empty; to the
/// parser they would be an order for errors only.
fn levels(filter: &str) -> Result<Targets, String> {
    let parts: Vec<&str> = filter
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let odd = |problem: &str| format!("--log {filter:?}: {problem}");
    if parts.is_empty() {
        return Err(odd("a level is missing, such as info"));
    }
    if filter.contains('[') {
        return Err(odd("spans and their fields can't be chosen, only modules"));
    }
    let levels = parts.join(",").parse::<Targets>();
    levels.map_err(|problem| odd(&problem.to_string()))
}

/// The API client logs whole bodies that it can't parse, and key Secrets are bodies too. No filter lifts this. The
/// controller's spans would say in each line what our own lines say already, and cost more than the rest of logging.
fn harmless(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let body = target.starts_with("kube_client") && *metadata.level() > Level::ERROR;
    let span = target.starts_with("kube_runtime") && metadata.is_span();
    !body && !span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_people_write_them() {
        let enabled = |filter: &str, target: &str, level: Level| levels(filter).unwrap().would_enable(target, &level);
        assert!(enabled("info", "realtime_token_operator", Level::INFO));
        assert!(!enabled("info", "realtime_token_operator", Level::DEBUG));
        for filter in ["info,", ",info", "info, hyper=off", "hyper=off,,INFO"] {
            assert!(enabled(filter, "realtime_token_operator", Level::INFO), "{filter}");
        }
        assert!(!enabled("info, hyper=off", "hyper::proto", Level::ERROR));
        let module = "info,realtime_token_operator::leader=debug";
        assert!(enabled(module, "realtime_token_operator::leader", Level::DEBUG));
        assert!(!enabled(module, "realtime_token_operator::server", Level::DEBUG));
        for (odd, says) in [
            ("", "a level is missing"),
            (",", "a level is missing"),
            ("hyper=loud", "expected one of"),
            ("[mint]=debug", "spans"),
        ] {
            let said = levels(odd).unwrap_err();
            assert!(said.contains(says) && said.contains(odd), "{said}");
        }
    }
}
