use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::cluster::Name;

const DOCS: &str = include_str!("../../docs/metrics.md");

/// Metrics with a sample of every family.
fn populated() -> Metrics {
    let metrics = Metrics::new(true);
    metrics.minted("shop", "openai", outcome(None), Duration::from_millis(20));
    metrics.limited("openai", 30.0);
    metrics.rotated(&Swap {
        late: SignedDuration::from_millis(200),
        remaining: SignedDuration::from_secs(300),
        violated: false,
    });
    metrics.reconciled("RealtimeToken", "ok", Duration::from_millis(1));
    metrics.api_request("patch", "secrets", 200);
    metrics.leading(true);
    metrics.serving_certificate_ends(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1));
    let voice = Name::new("shop", "voice");
    metrics.requested(Some(&voice), OK, "pool", Duration::from_millis(1));
    metrics.request_pool_ready(&voice, 1);
    metrics.request_connections(1);
    let (tokens, mut writer) = reflector::store();
    let token = json!({
        "metadata": {"namespace": "shop", "name": "voice"},
        "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
        "status": {
            "usableUntil": "2026-11-24T12:00:00Z", "renewalTime": "2026-11-24T11:50:00Z",
            "conditions": [{"type": "SingleReader", "status": "True", "reason": "SingleUseToken", "message": "",
                            "lastTransitionTime": "2026-11-24T11:00:00Z"}],
        },
    });
    writer.apply_watcher_event(&Event::Apply(serde_json::from_value(token).unwrap()));
    std::mem::forget(metrics.observe_store(tokens)); // shown to the end of the test
    metrics
}

/// `name type` of each family, with the name of its samples: what a query uses.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let of_samples = types.map(|family| match family.split_once(' ') {
        Some((name, "counter")) => format!("{name}_total counter"),
        Some((name, "info")) => format!("{name}_info info"),
        _ => family.to_owned(),
    });
    of_samples.collect()
}

#[test]
fn every_metric_is_documented_and_nothing_else() {
    let documented: BTreeSet<String> = DOCS
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`');
            Some(format!("{name} {}", cells.next()?.trim()))
        })
        .collect();
    assert_eq!(families(&populated().render()), documented);
}

#[test]
fn every_label_is_documented() {
    for line in populated().render().lines() {
        let Some((name, labels)) = line.split_once('{') else {
            continue;
        };
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        let row = DOCS
            .lines()
            .find(|row| row.starts_with(&format!("| `{family}` ")))
            .unwrap();
        let cell = row.split(" | ").nth(2).unwrap();
        let labels = labels.split_once('}').unwrap().0;
        for label in labels.split("\",") {
            let label = label.split_once('=').unwrap().0;
            assert!(
                label == "le" || cell.contains(&format!("`{label}`")),
                "{label} in {row}"
            );
        }
    }
}

/// `increase()` misses the first failure of a counter that appears with the value 1, and an alert on it is silent.
#[test]
fn counters_of_failures_start_at_zero() {
    let metrics = Metrics::new(true);
    metrics.minted("shop", "openai", outcome(None), Duration::ZERO);
    let text = metrics.render();
    for outcome in [
        "CredentialRejected",
        "RateLimited",
        "QuotaExhausted",
        "ProviderUnavailable",
        "MintFailed",
    ] {
        let series = format!("realtime_token_mints_total{{provider=\"openai\",outcome=\"{outcome}\"}} 0\n");
        assert!(text.contains(&series), "{series}{text}");
    }
    for series in [
        "realtime_token_provider_limited_seconds_total{provider=\"openai\"} 0.0\n",
        "realtime_token_reconcile_total{kind=\"RealtimeToken\",outcome=\"panic\"} 0\n",
        "realtime_token_freshness_violations_total 0\n",
    ] {
        assert!(text.contains(series), "{series}{text}");
    }
}

#[test]
fn a_token_swapped_after_its_end_counts_as_none_left() {
    let metrics = Metrics::new(true);
    metrics.rotated(&Swap {
        late: SignedDuration::from_secs(900),
        remaining: SignedDuration::from_secs(-300),
        violated: true,
    });
    let text = metrics.render();
    for series in [
        "rotation_lateness_seconds_sum 900.0\n",
        "remaining_at_swap_seconds_sum 0.0\n",
        "remaining_at_swap_seconds_bucket{le=\"0.0\"} 1\n",
        "freshness_violations_total 1\n",
    ] {
        assert!(text.contains(series), "{series}{text}");
    }
}

#[test]
fn object_metrics_can_be_left_out_and_counts_stay() {
    let some = populated();
    assert!(
        some.render()
            .contains("realtime_token_ready{namespace=\"shop\",name=\"voice\"} 0\n")
    );
    let metrics = Metrics::new(false);
    let _shown = metrics.observe_store(some.tokens.lock().clone().unwrap());
    let text = metrics.render();
    assert!(!text.contains("shop"), "{text}");
    let count = "realtime_token_tokens{provider=\"openai\",ready=\"false\",reason=\"SecretConflict\"} 1\n";
    assert!(text.contains(count), "{text}");
}

#[test]
fn a_replica_that_stands_by_shows_no_tokens() {
    let metrics = Metrics::new(true);
    metrics.leading(false);
    let text = metrics.render();
    assert!(text.contains("realtime_token_leader 0\n"), "{text}");
    assert!(text.contains("realtime_token_build_info{version="), "{text}");
    assert!(!text.contains("_tokens{") && !text.contains("_ready"), "{text}");
}

#[test]
fn the_process_is_measured() {
    let text = Metrics::new(true).render();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1e6);
    assert!(value("process_open_fds ") >= 3.0);
    assert!(value("process_cpu_seconds_total ") >= 0.0);
    // After 2020, and before this test.
    let age = crate::clock::now().as_second() as f64 - value("process_start_time_seconds ");
    assert!((-2.0..1e6).contains(&age), "{age}");
}
