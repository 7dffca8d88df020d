//! The configuration of kube-state-metrics in metrics.md names fields that the CRD has.

use realtime_token_operator::api::crds;
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/metrics.md");

fn paths(value: &Value) -> Vec<Vec<&str>> {
    match value {
        Value::Object(fields) => fields.values().flat_map(paths).collect(),
        Value::Array(items) => match items.iter().map(Value::as_str).collect() {
            Some(path) => vec![path],
            None => items.iter().flat_map(paths).collect(),
        },
        _ => Vec::new(),
    }
}

#[test]
fn the_fields_that_kube_state_metrics_is_told_to_show_exist() {
    let (_, rest) = PAGE.split_once("```yaml\nkind: CustomResourceStateMetrics\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let config: Value = serde_saphyr::from_str(yaml).unwrap();
    let resource = &config["spec"]["resources"][0];
    let crd = serde_json::to_value(&crds().unwrap()[0]).unwrap();
    let version = &crd["spec"]["versions"][0];
    let kind = &resource["groupVersionKind"];
    assert_eq!(
        (&kind["group"], &kind["version"], &kind["kind"]),
        (&crd["spec"]["group"], &version["name"], &crd["spec"]["names"]["kind"])
    );
    let known = paths(resource);
    assert_eq!(known.len(), 4);
    for path in known {
        let (first, rest) = path.split_first().unwrap();
        if *first == "metadata" {
            continue; // of every object
        }
        let properties = &version["schema"]["openAPIV3Schema"]["properties"];
        let field = rest
            .iter()
            .fold(&properties[*first], |at, name| &at["properties"][*name]);
        assert_eq!(field["type"], "string", "{path:?}");
    }
    // Times are RFC 3339, which kube-state-metrics turns into seconds.
    assert_eq!(
        version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["usableUntil"]["format"],
        "date-time"
    );
}
