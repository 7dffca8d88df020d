//! What the API server would say of a manifest that is created, by the very CRD that `crd` prints: unknown fields as
//! strict validation reports them, the schema, the CEL rules, and defaults filled in. The texts are the API server's.
//!
//! Not looked at: labels and annotations of the object itself, webhooks and policies of a cluster, what exists in it.

mod metadata;
mod prepare;
mod rules;
mod schema;

use std::fmt;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use crate::api::{GROUP, crds};

/// Built when they are first asked for. A test makes sure that they can be written.
static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let crds = crds().unwrap_or_default();
    crds.iter().flat_map(Kind::versions_of).collect()
});

/// A kind in one of its versions.
struct Kind {
    kind: String,
    api_version: String,
    schema: JSONSchemaProps,
}

impl Kind {
    fn versions_of(crd: &CustomResourceDefinition) -> impl Iterator<Item = Self> {
        crd.spec.versions.iter().filter_map(|version| {
            Some(Self {
                kind: crd.spec.names.kind.clone(),
                api_version: format!("{GROUP}/{}", version.name),
                schema: with_what_every_object_has(version.schema.as_ref()?.open_api_v3_schema.clone()?),
            })
        })
    }
}

fn with_what_every_object_has(mut schema: JSONSchemaProps) -> JSONSchemaProps {
    let properties = schema.properties.get_or_insert_default();
    let of_type = |type_: &str, open: bool| JSONSchemaProps {
        type_: Some(type_.to_owned()),
        x_kubernetes_preserve_unknown_fields: open.then_some(true),
        ..JSONSchemaProps::default()
    };
    for (name, type_) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        properties.insert(name.to_owned(), of_type(type_, type_ == "object"));
    }
    schema
}

/// One complaint about an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The field, as the API server writes it; empty for the whole object.
    pub field: String,
    /// What the API server says of it.
    pub message: String,
    /// The fields that are known beside one that is not.
    pub known: Vec<String>,
}

impl Refusal {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            message: message.into(),
            known: Vec::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if !self.known.is_empty() {
            write!(f, "; known here are {}", self.known.join(", "))?;
        }
        Ok(())
    }
}

/// The object as the API server would store it, or what it would say against it. Like the API server, looks at the
/// schema only once every field is known, and at the rules only once types and required fields are right.
///
/// # Errors
/// Every complaint of one kind, in the order of their fields.
pub fn admit(object: &Value) -> Result<Value, Vec<Refusal>> {
    let schema = schema_of(object)?;
    let mut object = object.clone();
    let in_order = |mut refusals: Vec<Refusal>| {
        refusals.sort();
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    };
    let mut unknown = Vec::new();
    prepare::unknown_fields(&object, schema, "", &mut unknown);
    unknown.extend(metadata::unknown_fields(&object["metadata"]));
    in_order(unknown)?;
    if let Value::Object(fields) = &mut object {
        fields.remove("status"); // a subresource, which creation leaves out
    }
    prepare::fill_in(&mut object, schema);

    let mut found = schema::Findings::default();
    metadata::check(&object["metadata"], &mut found);
    schema::check(&object, schema, "", &mut found);
    if !found.blocks_rules {
        rules::check(&object, schema, "", &mut found.refusals);
    }
    in_order(found.refusals)?;
    Ok(object)
}

/// The schema of the object's kind, with what every object has.
fn schema_of(object: &Value) -> Result<&'static JSONSchemaProps, Vec<Refusal>> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (kind, version) = (text("kind"), text("apiVersion"));
    let known = KINDS.iter().find(|it| it.kind == kind && it.api_version == version);
    known.map(|kind| &kind.schema).ok_or_else(|| {
        let problem = format!("no matches for kind {kind:?} in version {version:?}");
        vec![Refusal::new("", problem)]
    })
}

/// Whether the schema of a kind has a field, or takes whatever is there.
pub(crate) fn has_field<'a>(kind: &str, path: impl IntoIterator<Item = &'a str>) -> bool {
    let Some(known) = KINDS.iter().find(|it| it.kind == kind) else {
        return false;
    };
    let mut schema = &known.schema;
    for name in path {
        schema = match schema_of_field(schema, name) {
            Some((below, _)) => below,
            None => return schema.x_kubernetes_preserve_unknown_fields == Some(true),
        };
    }
    true
}

/// The schema of one field, and whether it is the field of a map, whose keys are data.
fn schema_of_field<'a>(schema: &'a JSONSchemaProps, name: &str) -> Option<(&'a JSONSchemaProps, bool)> {
    if let Some(known) = schema.properties.as_ref().and_then(|known| known.get(name)) {
        return Some((known, false));
    }
    match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(schema)) => Some((schema, true)),
        Some(JSONSchemaPropsOrBool::Bool(_)) | None => None,
    }
}

/// The schema of a list's items.
fn schema_of_items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(schema)) => Some(schema),
        Some(JSONSchemaPropsOrArray::Schemas(_)) | None => None,
    }
}

/// The path of a field below another, as the schema's messages write it.
fn child(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests;
