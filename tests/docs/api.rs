//! docs/api.md: every field of both kinds, from the CRDs.
//!
//! With `UPDATE` set it is written (`make docs`), else compared.

use realtime_token_operator::api::{PROVIDER_FIELDS, crds};
use serde_json::Value;

use crate::fields::{cell, kind};
use crate::generated;

const INTRO: &str = "\
<!-- `make docs` writes this from the types. -->

# API reference

Every field, as the CRDs have it. `kubectl explain rtt.spec` and `kubectl explain crtp.spec` say the same, and editors know \
it from [the JSON schemas](../schemas/README.md). What the fields are for is in [concepts.md](concepts.md); each provider \
has [a page](providers.md) with an example, and with what is refused of its block.
";

#[test]
fn the_reference_is_true() {
    let mut page = INTRO.to_owned();
    let kinds: Vec<Value> = crds()
        .unwrap()
        .into_iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect();
    page += "\n| Kind | `apiVersion` | Scope | Short name | |\n|---|---|---|---|---|\n";
    for crd in &kinds {
        page += &row_of_kind(crd);
    }
    for crd in &kinds {
        page += &section_of_kind(crd);
    }
    let fields = page.lines().filter(|line| line.starts_with("| `")).count();
    assert!(fields > 350, "only {fields} fields");
    generated("docs/api.md", &page, "make docs");
}

/// An object with fields of its own: where it is, and its schema.
struct Object<'a> {
    path: String,
    schema: &'a Value,
}

fn row_of_kind(crd: &Value) -> String {
    let (spec, version) = (&crd["spec"], &crd["spec"]["versions"][0]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = text(&spec["names"]["kind"]);
    format!(
        "| [{name}](#{}) | `{}/{}` | {} | `{}` | {} |\n",
        anchor(&name),
        text(&spec["group"]),
        text(&version["name"]),
        text(&spec["scope"]),
        text(&spec["names"]["shortNames"][0]),
        about(&version["schema"]["openAPIV3Schema"])
    )
}

fn section_of_kind(crd: &Value) -> String {
    let version = &crd["spec"]["versions"][0];
    let name = crd["spec"]["names"]["kind"].as_str().unwrap();
    let mut section =
        format!("\n## {name}\n\n`kubectl get` shows these columns; those in italics with `--output wide`:\n\n");
    section += "| Column | from |\n|---|---|\n";
    for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let (title, from) = (column["name"].as_str().unwrap(), column["jsonPath"].as_str().unwrap());
        section += &match column["priority"].as_i64() {
            None | Some(0) => format!("| {title} | `{from}` |\n"),
            Some(_) => format!("| *{title}* | `{from}` |\n"),
        };
    }
    for part in ["spec", "status"] {
        let schema = &version["schema"]["openAPIV3Schema"]["properties"][part];
        section += &sections(Object {
            path: format!("{name}.{part}"),
            schema,
        });
    }
    section
}

/// The section of an object, and those of the objects in it.
fn sections(object: Object<'_>) -> String {
    let mut section = format!("\n### {}\n\n", object.path);
    if let Some(field) = block(&object.path) {
        section += &format!("[With an example, and what a client does with the token](providers/{field}.md).\n\n");
    }
    section += "| Field | Value | Default | |\n|---|---|---|---|\n";
    let mut within = Vec::new();
    for (name, schema) in object.schema["properties"].as_object().into_iter().flatten() {
        let inner = inner(&format!("{}.{name}", object.path), schema);
        section += &row(name, schema, is_required(object.schema, name), inner.as_ref());
        within.extend(inner);
    }
    section += &refusals(object.schema);
    within.into_iter().fold(section, |all, object| all + &sections(object))
}

/// The object that a field holds, or a list or map of.
fn inner<'a>(path: &str, schema: &'a Value) -> Option<Object<'a>> {
    let found = [
        (path.to_owned(), schema),
        (format!("{path}[]"), &schema["items"]),
        (format!("{path}.*"), &schema["additionalProperties"]),
    ];
    let (path, schema) = found.into_iter().find(|(_, schema)| schema["properties"].is_object())?;
    Some(Object { path, schema })
}

fn row(name: &str, schema: &Value, required: bool, inner: Option<&Object<'_>>) -> String {
    let value = match inner {
        Some(inner) => format!("[{}](#{})", kind(schema), anchor(&inner.path)),
        None => kind(schema),
    };
    let default = match (required, schema.get("default")) {
        (true, _) => "required".to_owned(),
        (false, None) => String::new(),
        (false, Some(Value::String(text))) => format!("`{text}`"),
        (false, Some(other)) => format!("`{other}`"),
    };
    format!(
        "| `{name}` | {} | {} | {} |\n",
        cell(&value),
        cell(&default),
        about(schema)
    )
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema["required"].as_array();
    required.is_some_and(|names| names.iter().any(|it| it == name))
}

/// What the API server asks of it: the messages of the object's own rules and of its plain fields.
fn refusals(schema: &Value) -> String {
    let plain = schema["properties"].as_object().into_iter().flatten();
    let plain = plain.map(|(_, field)| field).filter(|field| inner("", field).is_none());
    let mut messages = Vec::new();
    for schema in std::iter::once(schema).chain(plain) {
        let holders = [schema, &schema["items"], &schema["additionalProperties"]];
        for rule in holders
            .iter()
            .flat_map(|it| it["x-kubernetes-validations"].as_array())
            .flatten()
        {
            // The rules of the provider blocks, whose messages are expressions, are on the providers' pages.
            let message = cell(rule["message"].as_str().unwrap_or_default()).replace("\\|", "|");
            if !message.is_empty() && !messages.contains(&message) {
                messages.push(message);
            }
        }
    }
    if messages.is_empty() {
        return String::new();
    }
    let list: String = messages.iter().map(|message| format!("- {message}\n")).collect();
    format!("\nThe API server holds it to this:\n\n{list}")
}

/// The provider whose block this is.
fn block(path: &str) -> Option<&'static str> {
    let (_, field) = path.split_once(".spec.")?;
    PROVIDER_FIELDS.iter().copied().find(|it| *it == field)
}

fn about(schema: &Value) -> String {
    cell(schema["description"].as_str().unwrap_or_default())
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|it| it.is_alphanumeric());
    kept.collect::<String>().to_lowercase()
}
