//! A block's schema as tables: its fields with their bounds, its rules with their messages.

use serde_json::Value;

/// The fields of a schema, nested ones by their path, as the rows of a table.
pub fn rows(schema: &Value, leave_out: &[String]) -> Vec<String> {
    let mut rows = Vec::new();
    walk(schema, "", leave_out, &mut rows);
    rows
}

/// The names of a schema's own fields.
pub fn names(schema: &Value) -> Vec<String> {
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// The messages of a schema's CEL rules, its fields' too, each once.
pub fn rules(schema: &Value) -> Vec<String> {
    fn walk(schema: &Value, found: &mut Vec<String>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default().to_owned();
            if !found.contains(&message) {
                found.push(message);
            }
        }
        let inner = schema["properties"].as_object().into_iter().flatten();
        inner.for_each(|(_, property)| walk(property, found));
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&schema[inner], found);
            }
        }
    }
    let mut found = Vec::new();
    walk(schema, &mut found);
    found
}

/// Text on one line, safe in a cell of a table.
pub fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

fn walk(schema: &Value, at: &str, leave_out: &[String], rows: &mut Vec<String>) {
    let required = schema["required"].as_array();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if at.is_empty() && leave_out.contains(name) {
            continue;
        }
        let required = required.is_some_and(|names| names.iter().any(|it| it == name));
        let path = format!("{at}{name}");
        let mut value = kind(property);
        if let Some(default) = property.get("default") {
            value += &match default {
                Value::String(text) => format!("; default `{text}`"),
                other => format!("; default `{other}`"),
            };
        }
        if required {
            value += "; required";
        }
        let about = cell(property["description"].as_str().unwrap_or_default());
        rows.push(format!("| `{path}` | {} | {about} |", cell(&value)));
        walk(property, &format!("{path}."), &[], rows);
        walk(&property["items"], &format!("{path}[]."), &[], rows);
    }
}

/// What a value may be, in words.
pub fn kind(schema: &Value) -> String {
    // Bounds of numbers are written with a fraction in a CRD, those of lengths without.
    let bound = |key: &str| schema[key].as_f64().map(|it| it as i64);
    let range = |least: Option<i64>, most: Option<i64>, unit: &str| match (least, most) {
        (Some(least), Some(most)) if least == most => format!(" of {most}{unit}"),
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        (Some(least), None) => format!(", at least {least}{unit}"),
        (None, None) => String::new(),
    };
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values
            .iter()
            .filter_map(Value::as_str)
            .map(|it| format!("`{it}`"))
            .collect();
        return values.join(", ");
    }
    match schema["type"].as_str() {
        Some("string") => "text".to_owned() + &range(bound("minLength"), bound("maxLength"), " characters"),
        Some("integer") => "number".to_owned() + &range(bound("minimum"), bound("maximum"), ""),
        Some("boolean") => "`true` or `false`".into(),
        Some("array") => format!(
            "list of {}{}",
            kind(&schema["items"]),
            range(bound("minItems"), bound("maxItems"), " entries")
        ),
        Some("object") if schema["additionalProperties"].is_object() => format!(
            "map of {}{}",
            kind(&schema["additionalProperties"]),
            range(None, bound("maxProperties"), " entries")
        ),
        Some("object") if schema["x-kubernetes-preserve-unknown-fields"] == true => "object, passed through".into(),
        Some("object") => "object".into(),
        _ => "any value".into(),
    }
}
