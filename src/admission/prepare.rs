//! What the API server does before it validates: it names unknown fields, drops nulls and fills in defaults.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Map, Number, Value};

use super::{Refusal, child, schema_of_field, schema_of_items};

/// The fields that the schema doesn't know.
pub(super) fn unknown_fields(value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Vec<Refusal>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = child(path, name);
                match schema_of_field(schema, name) {
                    Some((schema, _)) => unknown_fields(value, schema, &path, found),
                    None if schema.x_kubernetes_preserve_unknown_fields == Some(true) => {}
                    None => found.push(Refusal {
                        known: schema
                            .properties
                            .iter()
                            .flatten()
                            .map(|(name, _)| name.clone())
                            .collect(),
                        ..Refusal::new("", format!("unknown field \"{path}\""))
                    }),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(schema) = schema_of_items(schema) {
                    unknown_fields(item, schema, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

/// Drops the nulls of fields that are not nullable, fills in defaults, and writes whole numbers without a fraction.
pub(super) fn fill_in(value: &mut Value, schema: &JSONSchemaProps) {
    match value {
        Value::Object(fields) => {
            let is_missing = |value: &Value, schema: &JSONSchemaProps| value.is_null() && schema.nullable != Some(true);
            fields.retain(|name, value| !schema_of_field(schema, name).is_some_and(|(of, _)| is_missing(value, of)));
            add_defaults(fields, schema);
            for (name, value) in fields {
                if let Some((schema, _)) = schema_of_field(schema, name) {
                    fill_in(value, schema);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if let Some(schema) = schema_of_items(schema) {
                    fill_in(item, schema);
                }
            }
        }
        Value::Number(number) if schema.type_.as_deref() == Some("integer") => {
            if let Some(whole) = whole(number) {
                *value = Value::from(whole);
            }
        }
        _ => {}
    }
}

/// `60.0` as 60, as far as floating point is exact.
fn whole(number: &Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = number
        .as_f64()
        .filter(|value| value.fract() == 0.0 && value.abs() < EXACT)?;
    (!number.is_i64()).then_some(value as i64)
}

fn add_defaults(fields: &mut Map<String, Value>, schema: &JSONSchemaProps) {
    for (name, schema) in schema.properties.iter().flatten() {
        if let Some(default) = &schema.default
            && !fields.contains_key(name)
        {
            fields.insert(name.clone(), default.0.clone());
        }
    }
}
