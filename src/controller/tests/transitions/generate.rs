//! Specs that differ from a base in one field, generated from the CRD's schema: each field absent, present, with other
//! values, at its bounds and beyond them. What the API server would say of each decides which are transitions.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Value, json};

use crate::admission::{Refusal, admit};
use crate::api::crds;

/// Texts that some field or other takes: names, hosts, ids and what else is checked for its form.
const TEXTS: [&str; 12] = [
    "alpha",
    "beta",
    "https://api.example.com",
    "wss://api.example.com",
    "api.example.com",
    "APaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ISbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "11111111-2222-3333-4444-555555555555",
    "2030-01-01T00:00:00Z",
    "/alpha",
    "turn:turn.example.com:3478",
    "high",
];

/// One change of one field.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// As in `openai.session`.
    pub field: String,
    /// What the field is now; null if it is absent.
    pub value: Value,
    /// The whole spec, with defaults filled in.
    pub spec: Value,
}

/// What the API server would refuse.
pub(super) struct Refused {
    pub field: String,
    pub value: Value,
    pub refusals: Vec<Refusal>,
}

#[derive(Default)]
pub(super) struct Variants {
    pub admitted: Vec<Variant>,
    pub refused: Vec<Refused>,
    seen: BTreeSet<String>,
}

impl Variants {
    /// All changes of the fields below these, which are fields of the spec.
    pub(super) fn of(base: &Value, fields: &[&str]) -> Self {
        let crds = crds().unwrap();
        let crd = crds.iter().find(|crd| crd.spec.names.kind == "RealtimeToken").unwrap();
        let schema = crd.spec.versions[0].schema.as_ref().unwrap();
        let schema = schema.open_api_v3_schema.as_ref().unwrap();
        let spec = &schema.properties.as_ref().unwrap()["spec"];
        let mut variants = Self::default();
        variants.seen.insert(admitted(base).unwrap().to_string());
        for field in fields {
            let below = &spec.properties.as_ref().unwrap()[*field];
            variants.vary(base, &[(*field).to_owned()], below);
        }
        variants
    }

    /// Changes one field, and those below it.
    fn vary(&mut self, base: &Value, path: &[String], schema: &JSONSchemaProps) {
        let current = path.iter().try_fold(base, |value, name| value.get(name));
        self.add(base, path, Value::Null);
        let mut taken = 0;
        for value in values(schema, current.unwrap_or(&Value::Null)) {
            // Of the texts that do, two are enough.
            if value.is_string() && schema.enum_.is_none() && taken >= 2 && TEXTS.iter().any(|text| value == *text) {
                continue;
            }
            taken += usize::from(self.add(base, path, value));
        }
        for (name, below) in schema.properties.iter().flatten() {
            let path = [path, std::slice::from_ref(name)].concat();
            self.vary(base, &path, below);
        }
    }

    /// Whether it is admitted.
    fn add(&mut self, base: &Value, path: &[String], value: Value) -> bool {
        let mut spec = base.clone();
        set(&mut spec, path, &value);
        let field = path.join(".");
        match admitted(&spec) {
            Ok(spec) if self.seen.insert(spec.to_string()) => {
                self.admitted.push(Variant { field, value, spec });
                true
            }
            Ok(_) => false,
            Err(refusals) => {
                self.refused.push(Refused { field, value, refusals });
                false
            }
        }
    }

    /// Another valid spec of the same provider.
    pub(super) fn add_spec(&mut self, spec: &Value, about: &str) {
        if let Ok(spec) = admitted(spec)
            && self.seen.insert(spec.to_string())
        {
            let (field, value) = (about.to_owned(), Value::Null);
            self.admitted.push(Variant { field, value, spec });
        }
    }
}

/// The spec as the API server stores it.
pub(super) fn admitted(spec: &Value) -> Result<Value, Vec<Refusal>> {
    let object = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "voice", "namespace": "shop"}, "spec": spec,
    });
    admit(&object).map(|mut object| object["spec"].take())
}

fn set(spec: &mut Value, path: &[String], value: &Value) {
    let Some((name, above)) = path.split_last() else { return };
    if value.is_null() {
        let parent = above.iter().try_fold(spec, |parent, name| parent.get_mut(name));
        if let Some(fields) = parent.and_then(Value::as_object_mut) {
            fields.shift_remove(name);
        }
        return;
    }
    let mut parent = spec;
    for name in above {
        parent = &mut parent[name];
        if parent.is_null() {
            *parent = json!({});
        }
    }
    parent[name] = value.clone();
}

/// Values that a field of this schema may or may not take.
fn values(schema: &JSONSchemaProps, current: &Value) -> Vec<Value> {
    if let Some(allowed) = &schema.enum_ {
        let allowed = allowed.iter().map(|value| value.0.clone());
        return allowed.chain([json!("NoSuchValue")]).collect();
    }
    match schema.type_.as_deref() {
        Some("boolean") => vec![json!(true), json!(false), json!("yes")],
        Some("integer") => integers(schema),
        Some("string") => texts(schema, current),
        Some("array") => lists(schema, current),
        Some("object") => objects(schema, current),
        _ => vec![json!("alpha"), json!(7)],
    }
}

fn integers(schema: &JSONSchemaProps) -> Vec<Value> {
    let bound = |bound: Option<f64>, beyond: i64| bound.map(|at| [at as i64, at as i64 + beyond, at as i64 - beyond]);
    let bounds = [bound(schema.minimum, -1), bound(schema.maximum, 1)];
    let between = [7, 61, 301, 901, 3601];
    let all = bounds.into_iter().flatten().flatten().chain(between);
    all.map(Value::from).chain([json!("seven")]).collect()
}

fn texts(schema: &JSONSchemaProps, current: &Value) -> Vec<Value> {
    let longest = schema
        .max_length
        .and_then(|longest| usize::try_from(longest).ok())
        .unwrap_or(64);
    let other = current.as_str().map(|text| json!(format!("{text}2")));
    let bounds = [json!("a".repeat(longest)), json!("a".repeat(longest + 1)), json!("")];
    let texts = TEXTS.into_iter().map(Value::from);
    other.into_iter().chain(texts).chain(bounds).chain([json!(7)]).collect()
}

fn lists(schema: &JSONSchemaProps, current: &Value) -> Vec<Value> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schema;
    let Some(Schema(item)) = &schema.items else {
        return Vec::new();
    };
    let most = schema
        .max_items
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(8);
    let first = current.get(0).cloned().unwrap_or(Value::Null);
    let items = values(item, &first).into_iter().filter(|value| !value.is_null());
    let too_many = vec![items.clone().next().unwrap_or(Value::Null); most + 1];
    let ones = items.take(6).map(|item| json!([item]));
    ones.chain([json!([]), Value::Array(too_many), json!("no list")])
        .collect()
}

fn objects(schema: &JSONSchemaProps, current: &Value) -> Vec<Value> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool::Schema;
    let mut values = vec![json!({}), json!("no object")];
    let mut more = current.as_object().cloned().unwrap_or_default();
    match &schema.additional_properties {
        Some(Schema(_)) => {
            let most = schema
                .max_properties
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(8);
            let many = |count: usize| (0..count).map(|n| (format!("key-{n}"), json!("alpha"))).collect();
            values.extend([
                Value::Object(many(1)),
                Value::Object(many(most)),
                Value::Object(many(most + 1)),
            ]);
            values.push(json!({"key-0": "{{ no end"}));
            more.insert("more".to_owned(), json!("beta"));
        }
        _ if schema.x_kubernetes_preserve_unknown_fields == Some(true) => {
            more.insert("instructions".to_owned(), json!("Be brief."));
            values.push(json!({"speed": 2, "nested": {"list": [1, null, "x"]}}));
        }
        _ => {
            more.insert("noSuchField".to_owned(), json!(1));
        }
    }
    values.push(Value::Object(more));
    values
}
