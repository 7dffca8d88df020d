//! What Prometheus sees.

use kube::api::DeleteParams;
use serde_json::json;
use testkit::wait;

use crate::world::{DEADLINE, World, world};

/// Waits until the metrics have all of these lines.
pub async fn lines_appear(world: &World, lines: &[String]) {
    wait::until("metrics", DEADLINE, async || {
        let metrics = world.operator.lock().await.metrics().await?;
        let missing: Vec<_> = lines.iter().filter(|line| !metrics.contains(line.as_str())).collect();
        anyhow::ensure!(missing.is_empty(), "{missing:#?} not in\n{metrics}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn metrics_tell_of_mints_and_of_each_object() {
    let case = world().await.case("metrics").await;
    case.create("voice", case.openai()).await;
    let status = case.status_when("voice", |status| status.usable_until.is_some()).await;
    let object = format!("{{namespace=\"{}\",name=\"voice\"}}", case.namespace.name());
    let seconds = |time: Option<_>| {
        let time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time = Option::unwrap(time);
        time.0.as_second()
    };
    let (until, renewal) = (seconds(status.usable_until), seconds(status.renewal_time));
    lines_appear(
        case.world,
        &[
            format!("realtime_token_ready{object} 1\n"),
            format!("realtime_token_expiration_timestamp_seconds{object} {until}\n"),
            format!("realtime_token_renewal_timestamp_seconds{object} {renewal}\n"),
            "realtime_token_tokens{provider=\"openai\",ready=\"true\",reason=\"Ready\"} ".into(),
            "realtime_token_single_reader_tokens{provider=\"openai\",reason=\"SingleUseToken\"} ".into(),
            "realtime_token_mints_total{provider=\"openai\",outcome=\"success\"} ".into(),
            "realtime_token_api_requests_total{verb=\"create\",resource=\"secrets\",code=\"201\"} ".into(),
            "realtime_token_leader 1\n".into(),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_deleted_one_leaves_no_series_and_a_suspended_one_alarms_nobody() {
    let case = world().await.case("metrics-gone").await;
    for name in ["stays", "goes"] {
        case.create(name, case.openai()).await;
        case.condition(name, "Ready", "True", "Issued").await;
    }
    let series = |metric: &str, name: &str| {
        let namespace = case.namespace.name();
        format!("realtime_token_{metric}{{namespace=\"{namespace}\",name=\"{name}\"}}")
    };
    lines_appear(case.world, &[series("ready", "stays"), series("ready", "goes")]).await;

    case.tokens().delete("goes", &DeleteParams::default()).await.unwrap();
    case.patch("stays", json!({"spec": {"suspend": true}})).await;
    wait::until("the series to end", DEADLINE, async || {
        let metrics = case.world.operator.lock().await.metrics().await?;
        let gone = format!("namespace=\"{}\",name=\"goes\"", case.namespace.name());
        anyhow::ensure!(!metrics.contains(&gone), "{gone} in\n{metrics}");
        for metric in ["ready", "renewal_timestamp_seconds"] {
            let silent = series(metric, "stays");
            anyhow::ensure!(!metrics.contains(&silent), "{silent} in\n{metrics}");
        }
        let kept = series("expiration_timestamp_seconds", "stays");
        anyhow::ensure!(metrics.contains(&kept), "no {kept} in\n{metrics}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}
