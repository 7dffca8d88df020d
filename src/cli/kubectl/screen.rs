//! A report for people: one screen for one RealtimeToken, one line for each of many.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use jiff::{SignedDuration, Timestamp};

use super::readers::{Reader, Way};
use super::report::{Health, Report};
use crate::text::escaped;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
/// The readers that are named.
const READERS: usize = 10;

impl Health {
    const fn style(self) -> Style {
        let color = match self {
            Self::Good => AnsiColor::Green,
            Self::Notable | Self::Waiting => AnsiColor::Yellow,
            Self::Bad => AnsiColor::Red,
        };
        color.on_default()
    }
}

/// A table as kubectl prints it: no lines, two spaces between columns.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    if !header.is_empty() {
        table.set_header(header);
    }
    // Any user who may create Events chooses what they say.
    table.add_rows(
        rows.into_iter()
            .map(|row| row.into_iter().map(|cell| escaped(&cell).into_owned())),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2)).set_cell_alignment(CellAlignment::Left);
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// One line for each, with the namespace where several may be meant.
pub(super) fn list(reports: &[Report], with_namespace: bool, now: Timestamp) -> String {
    let mut header = vec!["NAME", "STATUS", "PROVIDER", "RENEWAL", "ENDS", "MESSAGE"];
    if with_namespace {
        header.insert(0, "NAMESPACE");
    }
    let rows = reports.iter().map(|report| {
        let mut row = vec![
            report.name.clone(),
            report.state.clone(),
            report.provider.clone().unwrap_or_else(|| "-".to_owned()),
            report
                .renewal_time
                .map_or_else(|| "-".to_owned(), |at| distance(at, now)),
            report
                .usable_until
                .map_or_else(|| "-".to_owned(), |at| distance(at, now)),
            if report.health == Health::Good {
                String::new()
            } else {
                report.message.clone()
            },
        ];
        if with_namespace {
            row.insert(0, report.namespace.clone());
        }
        row
    });
    table(&header, rows)
}

pub(super) fn one(report: &Report, now: Timestamp) -> String {
    let mut text = String::new();
    let state = report.health.style();
    let provider = report.provider.as_deref().unwrap_or("no provider known yet");
    // Writing into a String never fails.
    let _ = writeln!(
        text,
        "{BOLD}{}/{}{BOLD:#}  {provider}  {state}{}{state:#}",
        report.namespace, report.name, report.state
    );
    let _ = writeln!(text, "{}", escaped(&report.message));
    if report.health != Health::Good {
        let _ = writeln!(
            text,
            "{DIM}More: kubectl realtime-token explain {}{DIM:#}",
            report.state
        );
    }
    let facts = [
        ("Secret", report.secret.clone()),
        ("Revision", report.revision.map(|revision| revision.to_string())),
        ("Usable until", report.usable_until.map(|at| moment(at, now))),
        ("Next renewal", report.renewal_time.map(|at| moment(at, now))),
        ("Next attempt", report.next_attempt_time.map(|at| moment(at, now))),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| Some(vec![name.to_owned(), value?]));
    let _ = write!(text, "\n{}", table(&[], facts));
    let conditions = report.conditions.iter().map(|condition| {
        let since = distance(condition.since, now);
        vec![
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone(),
            since,
        ]
    });
    let _ = write!(
        text,
        "\n{}",
        table(&["CONDITION", "STATUS", "REASON", "SINCE"], conditions)
    );
    let _ = write!(text, "\n{}", read_by(report.readers.as_deref()));
    match &report.events {
        None => text.push_str("\nEvents: you may not list them\n"),
        Some(events) if events.is_empty() => text.push_str("\nEvents: none lately\n"),
        Some(events) => {
            let rows = events.iter().map(|event| {
                let at = event.at.map_or_else(|| "-".to_owned(), |at| distance(at, now));
                vec![at, event.type_.clone(), event.reason.clone(), event.message.clone()]
            });
            let _ = write!(text, "\n{}", table(&["EVENT", "TYPE", "REASON", "MESSAGE"], rows));
        }
    }
    text
}

fn read_by(readers: Option<&[Reader]>) -> String {
    let readers = match readers {
        None => return "Read by: you may not list pods\n".to_owned(),
        Some([]) => return "Read by: no pod\n".to_owned(),
        Some(readers) => readers,
    };
    let rows = readers.iter().take(READERS).map(|reader| {
        let note = match reader.by {
            Way::Volume => "mounted",
            Way::SubPath => "mounted with subPath: keeps the token it started with, mount the whole Secret instead",
            Way::Environment => "environment variable: keeps the token it started with, mount the Secret instead",
        };
        vec![reader.pod.clone(), reader.phase.clone(), note.to_owned()]
    });
    let mut text = table(&["READ BY", "PHASE", "HOW"], rows);
    if readers.len() > READERS {
        let _ = writeln!(text, "and {} more", readers.len() - READERS);
    }
    text
}

fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{at} ({})", distance(at, now))
}

/// As kubectl writes ages, with the direction.
fn distance(at: Timestamp, now: Timestamp) -> String {
    let length = at.duration_since(now);
    let age = age(length.abs());
    if length.is_negative() {
        format!("{age} ago")
    } else {
        format!("in {age}")
    }
}

fn age(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_796_000_000 + second).unwrap()
    }

    #[test]
    fn distances_have_a_direction_and_one_unit() {
        for (second, expected) in [
            (0, "in 0s"),
            (119, "in 119s"),
            (120, "in 2m"),
            (-7_199, "119m ago"),
            (7_200, "in 2h"),
            (-200_000, "2d ago"),
        ] {
            assert_eq!(distance(at(second), at(0)), expected);
        }
    }

    #[test]
    fn a_screen_says_what_is_wrong_who_reads_it_and_what_happened() {
        let token = serde_json::from_value(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": "voice", "namespace": "shop"},
            "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
            "status": {"provider": "openai", "revision": 7, "reason": "CredentialNotFound",
                       "message": "there is no Secret openai", "conditions": [
                {"type": "Ready", "status": "False", "reason": "CredentialNotFound", "message": "there is no Secret openai",
                 "lastTransitionTime": "2026-11-29T11:00:00Z"}]},
        }));
        let pods = serde_json::from_value(
            json!([{"metadata": {"name": "web"}, "status": {"phase": "Running"}, "spec": {
            "containers": [{"name": "c", "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "voice", "key": "token"}}}]}]}}]),
        );
        let report = Report::new(&token.unwrap(), at(0)).with(Some(pods.unwrap()), Some(vec![]), "voice");
        let text = anstream::adapter::strip_str(&one(&report, at(0))).to_string();
        for expected in [
            "shop/voice  openai  CredentialNotFound\nthere is no Secret openai\n",
            "More: kubectl realtime-token explain CredentialNotFound\n",
            "Revision  7\n",
            "Ready      False   CredentialNotFound",
            "web      Running  environment variable: keeps the token it started with",
            "Events: none lately\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}
