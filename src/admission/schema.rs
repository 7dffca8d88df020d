//! The schema: types, bounds, enums and required fields, in the words of the API server (`kube-openapi`).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Map, Number, Value};

use super::{Refusal, child, schema_of_field, schema_of_items};

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) refusals: Vec<Refusal>,
    /// Whether the API server wouldn't evaluate the rules of such an object.
    pub(super) blocks_rules: bool,
}

impl Findings {
    pub(super) fn add(&mut self, field: &str, message: String) {
        self.refusals.push(Refusal::new(field, message));
    }

    /// A complaint after which no rule is evaluated.
    pub(super) fn block(&mut self, field: &str, message: String) {
        self.add(field, message);
        self.blocks_rules = true;
    }
}

pub(super) fn check(value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Findings) {
    check_type(value, schema, path, found);
    if let Some(allowed) = schema.enum_.as_ref().filter(|all| all.iter().all(|it| it.0 != *value)) {
        let allowed = allowed.iter().map(|it| text_of(&it.0));
        let allowed: Vec<_> = allowed.map(|it| format!("{it:?}")).collect();
        found.block(
            path,
            format!("Unsupported value: {value}: supported values: {}", allowed.join(", ")),
        );
    }
    match value {
        Value::Object(fields) => check_object(fields, schema, path, found),
        Value::Array(items) => check_list(items, schema, path, found),
        Value::Number(number) => check_number(number, schema, path, found),
        Value::String(text) => check_text(text, schema, path, found),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The name of a value's type, and its format.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn check_type(value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Findings) {
    let Some(wanted) = schema.type_.as_deref() else {
        return;
    };
    let (given, format) = type_of(value);
    let whole = wanted == "integer" && value.as_f64().is_some_and(|number| number.fract() == 0.0);
    if given == wanted || whole || (wanted, given) == ("number", "integer") {
        return;
    }
    // For values that have no format of their own the API server names the format that it wants.
    let of_text = matches!(value, Value::String(_) | Value::Array(_) | Value::Null);
    let (wanted, given) = match &schema.format {
        Some(wanted) if !of_text => (wanted.as_str(), format),
        _ => (wanted, given),
    };
    let is = match given {
        "" => String::new(),
        given => format!(": {given:?}"),
    };
    found.block(
        path,
        format!("Invalid value: {given:?}: {path} in body must be of type {wanted}{is}"),
    );
}

fn check_object(fields: &Map<String, Value>, schema: &JSONSchemaProps, path: &str, found: &mut Findings) {
    let count = fields.len();
    if let Some(most) = schema.max_properties.filter(|most| over(count, *most)) {
        found.block(path, too_many(count, most));
    }
    for (name, value) in fields {
        if let Some((schema, _)) = schema_of_field(schema, name) {
            check(value, schema, &child(path, name), found);
        }
    }
    for name in schema.required.iter().flatten() {
        if !fields.contains_key(name) {
            found.block(&child(path, name), "Required value".to_owned());
        }
    }
}

fn check_list(items: &[Value], schema: &JSONSchemaProps, path: &str, found: &mut Findings) {
    if let Some(of_items) = schema_of_items(schema) {
        for (index, item) in items.iter().enumerate() {
            check(item, of_items, &format!("{path}[{index}]"), found);
        }
    }
    let count = items.len();
    if let Some(least) = schema.min_items.filter(|least| under(count, *least)) {
        found.add(
            path,
            format!("Invalid value: {count}: {path} in body should have at least {least} items"),
        );
    }
    if let Some(most) = schema.max_items.filter(|most| over(count, *most)) {
        found.block(path, too_many(count, most));
    }
}

fn check_number(number: &Number, schema: &JSONSchemaProps, path: &str, found: &mut Findings) {
    let value = number.as_f64().unwrap_or(f64::NAN);
    if schema.type_.as_deref() == Some("integer") && !number.is_i64() && value.fract() != 0.0 {
        let format = match &schema.format {
            Some(format) => format!("with format {format}"),
            None => "(default format)".to_owned(),
        };
        found.add(
            "",
            format!("Invalid value: \"\": Checked value must be of type integer {format} in {path}"),
        );
    }
    let outside = |bound: &str, than: f64| {
        format!("Invalid value: {number}: {path} in body should be {bound} than or equal to {than}")
    };
    if let Some(most) = schema.maximum.filter(|most| value > *most) {
        found.add(path, outside("less", most));
    }
    if let Some(least) = schema.minimum.filter(|least| value < *least) {
        found.add(path, outside("greater", least));
    }
}

fn check_text(text: &str, schema: &JSONSchemaProps, path: &str, found: &mut Findings) {
    let length = text.chars().count();
    if let Some(most) = schema.max_length.filter(|most| over(length, *most)) {
        let bytes = if most == 1 { "byte" } else { "bytes" };
        return found.block(path, format!("Too long: may not be more than {most} {bytes}"));
    }
    if let Some(least) = schema.min_length.filter(|least| under(length, *least)) {
        found.add(
            path,
            format!("Invalid value: {text:?}: {path} in body should be at least {least} chars long"),
        );
    }
}

fn too_many(count: usize, most: i64) -> String {
    let items = if most == 1 { "item" } else { "items" };
    format!("Too many: {count}: must have at most {most} {items}")
}

fn over(count: usize, most: i64) -> bool {
    i64::try_from(count).is_ok_and(|count| count > most)
}

fn under(count: usize, least: i64) -> bool {
    i64::try_from(count).is_ok_and(|count| count < least)
}

/// A text as it is, anything else as JSON.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
