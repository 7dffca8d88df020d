//! The CEL rules (`x-kubernetes-validations`), evaluated as at a creation: `oldSelf` is none for rules that take it as
//! optional, and the others on `oldSelf` have nothing to compare with and are left out.
//!
//! The `cel` crate has CEL's standard functions. Kubernetes' own libraries (`url`, `quantity`, `find` and so on), typed
//! checks and the cost budget are not there; a test holds the rules of the CRDs against what is.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program, Value as Cel};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Refusal, child, metadata, schema_of_field, schema_of_items};

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Every rule that was evaluated, by its text: to compile one takes longer than to evaluate it. The CRDs have a few
/// hundred.
static PROGRAMS: LazyLock<Mutex<HashMap<String, Arc<Compiled>>>> = LazyLock::new(Mutex::default);

type Compiled = Result<Program, String>;

fn compiled(rule: &str) -> Arc<Compiled> {
    let mut programs = PROGRAMS.lock();
    if let Some(known) = programs.get(rule) {
        return Arc::clone(known);
    }
    let program = Arc::new(ENV.compile(rule).map_err(|problem| problem.to_string()));
    programs.insert(rule.to_owned(), Arc::clone(&program));
    program
}

/// Evaluates the rules of a value, and of everything in it.
pub(super) fn check(value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Vec<Refusal>) {
    let rules = schema.x_kubernetes_validations.as_deref().unwrap_or_default();
    if !rules.is_empty() && !value.is_null() {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value("self", cel_of(value, Some(schema), path.is_empty()));
        let broken = rules.iter().filter_map(|rule| Some((rule, evaluate(rule, &context)?)));
        found.extend(broken.map(|(rule, detail)| {
            let message = format!("Invalid value: {}{detail}", shown(value));
            Refusal::new(&field_of(rule, path), message)
        }));
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match schema_of_field(schema, name) {
                    Some((schema, true)) => check(value, schema, &format!("{path}[{name}]"), found),
                    Some((schema, false)) => check(value, schema, &child(path, name), found),
                    None => {}
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(schema) = schema_of_items(schema) {
                    check(item, schema, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

/// The field that a rule complains of: its `fieldPath` below the value whose rule it is. No rule of the CRDs has the
/// notation with brackets there.
fn field_of(rule: &ValidationRule, path: &str) -> String {
    match rule.field_path.as_deref().map(|below| below.trim_start_matches('.')) {
        Some(below) => child(path, below),
        None => path.to_owned(),
    }
}

/// What the API server says of a rule that doesn't hold.
fn evaluate(rule: &ValidationRule, context: &Context<'_, '_>) -> Option<String> {
    let stated = || rule.message.as_deref().unwrap_or(&rule.rule).trim().to_owned();
    let compiled = match rule.optional_old_self {
        Some(true) => compiled(&rule.rule.replace("oldSelf", "optional.none()")),
        _ => compiled(&rule.rule),
    };
    let program = match compiled.as_ref() {
        Ok(program) => program,
        Err(problem) => return Some(format!("rule compile error: {problem}")),
    };
    if program.references().has_variable("oldSelf") {
        return None;
    }
    match program.execute(context) {
        Ok(Cel::Bool(true)) => None,
        Ok(_) => Some(
            expressed(rule, context)
                .or_else(|| rule.message.as_deref().map(|message| message.trim().to_owned()))
                .unwrap_or_else(|| format!("failed rule: {}", stated())),
        ),
        Err(problem) => Some(format!("{problem} evaluating rule: {}", stated())),
    }
}

/// The value of `messageExpression`, if it has a useful one.
fn expressed(rule: &ValidationRule, context: &Context<'_, '_>) -> Option<String> {
    let compiled = compiled(rule.message_expression.as_deref()?);
    match compiled.as_ref().as_ref().ok()?.execute(context) {
        Ok(Cel::String(text)) => Some(text.trim().to_owned()).filter(|text| !text.is_empty() && !text.contains('\n')),
        _ => None,
    }
}

/// The refused value and a colon; objects and lists aren't shown.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => String::new(),
        value => format!("{value}: "),
    }
}

/// A value as CEL sees it. Of the metadata only the name, which `generateName` may bring.
fn cel_of(value: &Value, schema: Option<&JSONSchemaProps>, is_root: bool) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => {
            let is_fraction = schema.is_some_and(|schema| schema.type_.as_deref() == Some("number"));
            match number.as_i64().filter(|_| !is_fraction) {
                Some(whole) => Cel::Int(whole),
                None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
            }
        }
        Value::String(text) => Cel::from(text.as_str()),
        Value::Array(items) => {
            let schema = schema.and_then(schema_of_items);
            Cel::from(items.iter().map(|item| cel_of(item, schema, false)).collect::<Vec<_>>())
        }
        Value::Object(fields) => {
            let of_field = |(name, value): (&String, &Value)| {
                let schema = schema.and_then(|schema| schema_of_field(schema, name));
                let value = match name.as_str() {
                    "metadata" if is_root => names(value),
                    _ => cel_of(value, schema.map(|(schema, _)| schema), false),
                };
                (name.clone(), value)
            };
            Cel::from(fields.iter().map(of_field).collect::<HashMap<_, _>>())
        }
    }
}

fn names(metadata: &Value) -> Cel {
    let given = |name: &str| {
        metadata
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let prefix = given("generateName");
    let name = given("name")
        .map(str::to_owned)
        .or_else(|| prefix.map(metadata::generated));
    let names = [("name", name), ("generateName", prefix.map(str::to_owned))];
    let names = names
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), Cel::from(value?))));
    Cel::from(names.collect::<HashMap<_, _>>())
}
