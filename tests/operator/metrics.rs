//! What Prometheus sees.

use crate::world::world;

#[tokio::test]
async fn metrics_tell_of_mints_and_of_each_object() {
    let case = world().await.case("metrics").await;
    case.create("voice", case.openai()).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    let metrics = world().await.operator.lock().await.metrics().await.unwrap();
    let object = format!("{{namespace=\"{}\",name=\"voice\"}}", case.namespace.name());
    assert!(
        metrics.contains(&format!("realtime_token_ready{object} 1")),
        "{metrics}"
    );
    assert!(metrics.contains(&format!(
        "realtime_token_expiration_timestamp_seconds{object} 1"
    )));
    assert!(
        metrics.contains("realtime_token_mints_total{provider=\"openai\",outcome=\"success\"}")
    );
    assert!(metrics.contains(
        "realtime_token_api_requests_total{verb=\"create\",resource=\"secrets\",code=\"201\"}"
    ));
    assert!(metrics.ends_with("# EOF\n"));
}
