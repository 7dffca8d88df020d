//! Logs to stderr, as text or JSON.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::LogFormat;
use crate::text::escaped;

/// Starts logging. `filter` is a level, or levels by module such as `info,realtime_token_operator::leader=debug`. The
/// error says what is wrong with the filter. `begin` comes before each record, such as what clears a line of a terminal.
pub fn start(format: LogFormat, filter: &str, begin: &'static str) -> Result<(), String> {
    let filter = levels(filter)?;
    let layer = fmt::layer().with_writer(move || Lines(std::io::stderr(), begin));
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(may_be_logged))
        .with(layer)
        .init();
    Ok(())
}

/// Writes each record as one line that says what it says and does nothing to a terminal: fields may hold text of specs.
struct Lines<W>(W, &'static str);

impl<W: Write> Write for Lines<W> {
    /// Takes a record, which the layer hands over as a whole.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(format!("{}{}\n", self.1, escaped(line)).as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Parses `info`, or `info,a::module=debug`. Empty parts are dropped, as in `LOG=info,$MORE` with an empty `MORE`: the
/// parser of tracing-subscriber would take one for the level `error`.
fn levels(filter: &str) -> Result<Targets, String> {
    let parts: Vec<&str> = filter
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let invalid = |problem: &str| format!("--log {filter:?}: {problem}");
    if parts.is_empty() {
        return Err(invalid("a level is missing, such as info"));
    }
    if filter.contains('[') {
        return Err(invalid("spans and their fields can't be chosen, only modules"));
    }
    let levels = parts.join(",").parse::<Targets>();
    levels.map_err(|problem| invalid(&problem.to_string()))
}

/// Drops, whatever `--log` says, what libraries say in our place. kube's client logs the whole body of a response that it
/// can't parse, and that may be the Secret with an API key; and it logs failed requests, as kube's watcher does, with all
/// the fields of their errors, which the operator says in a sentence. kube's controller adds spans to each line that
/// repeat our fields and cost more than the rest of logging.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let watcher = target == "kube_runtime::watcher" && *metadata.level() <= Level::WARN;
    let span = target.starts_with("kube_runtime") && metadata.is_span();
    !target.starts_with("kube_client") && !watcher && !span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_visible_text() {
        let mut written = Vec::new();
        let record = b"INFO token=shop/voice \x1b[2J says: a\nERROR forged\n";
        assert_eq!(Lines(&mut written, "").write(record).unwrap(), record.len());
        let expected = "INFO token=shop/voice \\u001b[2J says: a\\nERROR forged\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn levels_are_parsed_and_empty_parts_dropped() {
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
        for (invalid, says) in [
            ("", "a level is missing"),
            (",", "a level is missing"),
            ("hyper=loud", "expected one of"),
            ("[mint]=debug", "spans"),
        ] {
            let error = levels(invalid).unwrap_err();
            assert!(error.contains(says) && error.contains(invalid), "{error}");
        }
    }
}
