//! The chart's README is made from the comments in values.yaml, by helm-docs.

use serde_json::Value;
use testkit::helm_docs;

use crate::chart::{CHART, file};

/// With `UPDATE` set it is written (`make chart-docs`), else compared.
#[test]
fn it_is_what_helm_docs_makes_of_the_values() {
    let expected = helm_docs::readme(CHART.as_ref()).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(format!("{CHART}/README.md"), expected).unwrap();
    }
    let actual = file("charts/realtime-token-operator/README.md");
    let differs = expected.lines().zip(actual.lines()).find(|(new, old)| new != old);
    assert_eq!(differs, None, "run `make chart-docs`");
    assert_eq!(expected, actual, "run `make chart-docs`");
}

#[test]
fn every_value_is_described() {
    let readme = file("charts/realtime-token-operator/README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let mut described = 0;
    for row in rows {
        let description = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        assert!(description.trim().len() > 5, "no description: {row}");
        described += 1;
    }
    assert!(described > 70, "{described} rows");
}

/// The defaults themselves must pass, and no value that people can set may be missing from the schema or from the file.
#[test]
fn values_and_schema_have_the_same_keys() {
    fn compare(place: &str, values: &Value, schema: &Value) {
        let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else {
            return;
        };
        let mut keys: Vec<_> = values.keys().collect();
        let mut known: Vec<_> = properties.keys().filter(|key| *key != "global").collect();
        // Requests and limits stand for what Kubernetes knows besides.
        known.retain(|key| place != "/resources" || *key != "claims");
        keys.sort();
        known.sort();
        assert_eq!(keys, known, "at {place}");
        for (key, value) in values {
            compare(&format!("{place}/{key}"), value, &properties[key]);
        }
    }
    let values: Value = serde_saphyr::from_str(&file("charts/realtime-token-operator/values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&file("charts/realtime-token-operator/values.schema.json")).unwrap();
    compare("", &values, &schema);
}
