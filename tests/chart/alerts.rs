//! Alerts, runbook, dashboard and metrics speak of the same things. Whether the alerts fire is tried with promtool, and
//! whether the dashboard has data with a real Prometheus, by `make test-node`.

use std::collections::BTreeSet;

use serde_json::Value;

const ALERTS: &str = include_str!("../../charts/realtime-token-operator/files/alerts.yaml");
const DASHBOARD: &str = include_str!("../../charts/realtime-token-operator/files/dashboard.json");
const METRICS: &str = include_str!("../../docs/metrics.md");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const STORIES: &str = include_str!("../node/alerts/stories.yaml");

fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(ALERTS).unwrap();
    let groups = file["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[test]
fn each_alert_has_what_on_call_needs() {
    for alert in alerts() {
        let name = name(&alert);
        assert!(name.starts_with("RealtimeToken"), "{name}");
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{name}");
        let needs = alert["labels"]["needs"].as_str();
        assert!(matches!(needs, Some("person" | "time")), "{name}");
        // What passes by itself pages once it has taken too long.
        let minutes = alert["for"]
            .as_str()
            .and_then(|time| time.strip_suffix('m')?.parse().ok());
        let patient = minutes.is_some_and(|minutes: u32| minutes >= 5);
        assert!(
            patient || (severity, needs) != (Some("critical"), Some("time")),
            "{name}"
        );
        let annotation = |key: &str| alert["annotations"][key].as_str().unwrap_or_default();
        for text in [annotation("summary"), annotation("description")] {
            assert!(text.len() > 20, "{name}: {text}");
        }
        let link = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(annotation("runbook_url"), link);
    }
}

#[test]
fn each_alert_has_a_section_in_the_runbook_and_each_section_an_alert() {
    let alerts: Vec<String> = alerts().iter().map(|alert| name(alert).to_owned()).collect();
    let sections: Vec<&str> = RUNBOOK.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(sections, alerts, "in the order of alerts.yaml");
    for (section, text) in sections.iter().zip(RUNBOOK.split("\n### ").skip(1)) {
        for part in ["**Meaning.**", "**Likely causes.**", "**Look at.**", "**Do.**"] {
            assert!(text.contains(part), "{section} lacks {part}");
        }
        let entry = format!("[{section}](#{})", section.to_lowercase());
        assert!(RUNBOOK.contains(&entry), "the list at the top lacks {section}");
    }
}

/// Every link of the runbook into this repository leads somewhere.
#[test]
fn the_runbook_links_to_what_is_there() {
    let anchors = |text: &str| -> BTreeSet<String> {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let words = words.replace(' ', "-");
            words.replace(|c: char| !c.is_alphanumeric() && c != '-', "")
        };
        headings.map(anchor).collect()
    };
    for link in RUNBOOK.split("](").skip(1) {
        let link = link.split(')').next().unwrap();
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let path = format!("{}/docs/{path}", env!("CARGO_MANIFEST_DIR"));
        let text = match path.strip_suffix("docs/") {
            Some(_) => RUNBOOK.to_owned(),
            None => std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{link}: no {path}")),
        };
        assert!(anchor.is_empty() || anchors(&text).contains(anchor), "{link}");
    }
}

/// The stories say which alerts fire, and in the first moments of each story none does.
#[test]
fn each_alert_is_tried() {
    for alert in alerts() {
        let fires = format!("alertname=\"{}\",alertstate=\"firing\"", name(&alert));
        assert!(STORIES.contains(&fires), "no story in which {} fires", name(&alert));
    }
}

/// Names of metrics in a text, without the suffixes of a histogram.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|word| word.starts_with("realtime_token_") || word.starts_with("process_"));
    metrics
        .map(|metric| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| metric.strip_suffix(suffix))
                .unwrap_or(metric)
        })
        .collect()
}

/// That those are the ones the operator has, the tests of `metrics` see to.
#[test]
fn alerts_and_dashboard_and_docs_ask_for_metrics_that_are_documented() {
    let documented: BTreeSet<&str> = METRICS
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let dashboard = dashboard.to_string();
    for (file, text) in [
        ("alerts.yaml", ALERTS),
        ("dashboard.json", &dashboard),
        ("stories.yaml", STORIES),
        ("runbook.md", RUNBOOK),
        ("metrics.md", METRICS),
        ("troubleshooting.md", include_str!("../../docs/troubleshooting.md")),
    ] {
        let unknown: Vec<_> = metrics_in(text).difference(&documented).copied().collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

/// Panels that lie on each other, or are beside the grid, are a mess.
#[test]
fn the_panels_of_the_dashboard_are_beside_each_other() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_i64()), "two panels {}", panel["id"]);
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
        let said = panel["description"].as_str().unwrap_or_default();
        assert!(panel["type"] == "row" || !said.is_empty(), "{}", panel["title"]);
    }
}
