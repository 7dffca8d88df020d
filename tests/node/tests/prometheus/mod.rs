//! A real Prometheus scrapes running operators: what the dashboard asks has an answer, and the alerts say what is wrong.

mod alerts;
mod dashboard;
mod server;
mod setup;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::wait;

use self::server::Prometheus;
use self::setup::Setup;

const ALERTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../charts/realtime-token-operator/files/alerts.yaml"
);
/// A token is overdue, and its end is an alert, after little more than a minute; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test]
async fn the_dashboard_has_data_and_the_alerts_tell_what_is_wrong() {
    let setup = Setup::start().await.unwrap();
    let operators = [setup.leader.metrics_addr(), setup.standby.metrics_addr()];
    let prometheus = Prometheus::start(Path::new(ALERTS), &operators).await.unwrap();
    both_are_scraped(&prometheus).await.unwrap();
    the_metadata_is_complete(&prometheus).await.unwrap();
    every_query_has_data(&prometheus).await.unwrap();
    the_panels_are_right(&prometheus, setup.team.name()).await.unwrap();
    the_alerts_are_right(&prometheus, setup.team.name()).await.unwrap();
}

async fn both_are_scraped(prometheus: &Prometheus) -> Result<()> {
    wait::until("both replicas to be scraped", PATIENCE, async || {
        let targets = prometheus.targets().await?;
        let up = targets.iter().filter(|it| it["health"] == "up").count();
        ensure!(up == 2, "{targets:#?}");
        Ok(Some(()))
    })
    .await
}

/// Prometheus parses OpenMetrics strictly: one malformed line fails the whole scrape. The type `info` exists only in that
/// format. promtool can't check it: `promtool check metrics` reads the older text format.
async fn the_metadata_is_complete(prometheus: &Prometheus) -> Result<()> {
    let metadata = prometheus.metadata().await?;
    let ours: Vec<_> = metadata
        .iter()
        .filter(|(name, _)| name.starts_with("realtime_token_"))
        .collect();
    ensure!(ours.len() > 10, "{metadata:#?}");
    for (name, families) in &ours {
        for family in families.as_array().into_iter().flatten() {
            ensure!(
                family["help"].as_str().is_some_and(|help| help.ends_with('.')),
                "{name}: {family}"
            );
            ensure!(family["type"] != "unknown", "{name}: {family}");
        }
    }
    let build = ours.iter().find(|(name, _)| name.starts_with("realtime_token_build"));
    ensure!(
        build.is_some_and(|(_, families)| families[0]["type"] == "info"),
        "{build:?}"
    );
    Ok(())
}

/// Whether one of the series has a value that can be drawn.
fn has_data(series: &[Value]) -> bool {
    series.iter().any(|series| {
        let value = series["value"][1].as_str().unwrap_or_default();
        value.parse::<f64>().is_ok_and(f64::is_finite)
    })
}

async fn every_query_has_data(prometheus: &Prometheus) -> Result<()> {
    wait::until("data for every query of the dashboard", PATIENCE, async || {
        let mut empty = Vec::new();
        for query in dashboard::queries(prometheus).await? {
            if !has_data(&prometheus.query(&query.expression).await?) {
                empty.push(format!("{}: {}", query.panel, query.expression));
            }
        }
        ensure!(empty.is_empty(), "no data for\n{}", empty.join("\n"));
        Ok(Some(()))
    })
    .await
}

/// What the panels show is what is there.
async fn the_panels_are_right(prometheus: &Prometheus, team: &str) -> Result<()> {
    for (panel, expected) in [("RealtimeTokens", 7.0), ("Leaders", 1.0)] {
        let queries = dashboard::queries(prometheus).await?;
        let query = queries.into_iter().find(|query| query.panel == panel);
        let series = prometheus.query(&query.unwrap().expression).await?;
        let value = series[0]["value"][1].as_str().unwrap();
        ensure!(value.parse() == Ok(expected), "{panel}: {series:?}");
    }
    let mut listed = BTreeSet::new();
    for query in dashboard::queries(prometheus).await? {
        if query.panel == "To look at" {
            for series in prometheus.query(&query.expression).await? {
                ensure!(series["metric"]["namespace"] == team, "{series}");
                listed.insert(series["metric"]["name"].as_str().unwrap().to_owned());
            }
        }
    }
    let expected = ["limited", "overdue", "refused"].map(str::to_owned);
    ensure!(listed == BTreeSet::from(expected), "listed: {listed:?}");
    Ok(())
}

async fn the_alerts_are_right(prometheus: &Prometheus, team: &str) -> Result<()> {
    let rules = wait::until("the alerts", PATIENCE, async || {
        let rules = prometheus.rules().await?;
        for (alert, states) in [
            ("RealtimeTokenCredentialRejected", &["firing"] as &[_]),
            ("RealtimeTokenExpiring", &["firing"]),
            // Two minutes later they would fire.
            ("RealtimeTokenOverdue", &["pending", "firing"]),
            ("RealtimeTokenNotReady", &["pending", "firing"]),
            ("RealtimeTokensNotReady", &["pending", "firing"]),
        ] {
            let rule = rules.iter().find(|rule| rule["name"] == alert);
            let state = rule.and_then(|rule| rule["state"].as_str());
            ensure!(
                state.is_some_and(|state| states.contains(&state)),
                "{alert} is {state:?}: {rules:#?}"
            );
        }
        Ok(Some(rules))
    })
    .await?;
    for rule in &rules {
        ensure!(rule["health"] == "ok", "{rule:#}");
        for alert in rule["alerts"].as_array().into_iter().flatten() {
            let annotations = alert["annotations"].to_string();
            ensure!(
                !annotations.contains("error") && !annotations.contains("no value"),
                "{annotations}"
            );
        }
    }
    let state = |name: &str| {
        let rule = rules.iter().find(|rule| rule["name"] == name);
        rule.map(|rule| &rule["state"])
    };
    for quiet in [
        "RealtimeTokenOperatorAbsent",
        "RealtimeTokenNoLeader",
        "RealtimeTokenReconcileStuck",
        "RealtimeTokenReconcileFailing",
        "RealtimeTokenApiErrors",
    ] {
        ensure!(
            state(quiet).is_some_and(|state| state == "inactive"),
            "{quiet}: {rules:#?}"
        );
    }
    let overdue = rules.iter().find(|it| it["name"] == "RealtimeTokenOverdue");
    let labels = &overdue.unwrap()["alerts"][0]["labels"];
    ensure!(labels["namespace"] == team, "{labels}");
    Ok(())
}
