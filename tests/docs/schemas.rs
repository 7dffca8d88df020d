//! schemas/: both kinds as JSON schemas for editors, and the examples held against them.
//!
//! With `UPDATE` set they are written (`make crds`), else compared.

use std::fs;
use std::path::Path;

use realtime_token_operator::api::crds;
use serde_json::{Map, Value, json};
use testkit::pypi::VALIDATE;

use crate::{files, generated};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Which schema an editor takes; the path is from the manifest.
pub const MODELINE: &str = "# yaml-language-server: $schema=";

/// What only an API server reads.
const FOR_THE_API_SERVER: &str = "x-kubernetes-";

#[test]
fn they_are_what_the_types_say() {
    for (file, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        generated(&format!("schemas/{file}"), &text, "make crds");
    }
}

/// Each RealtimeToken and ClusterRealtimeProvider names its schema in the line before it, and is valid by it.
#[test]
fn every_example_names_its_schema_and_is_valid() {
    let examples = files(&Path::new(ROOT).join("examples"));
    let mut cases = Vec::new();
    for file in examples
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "yaml"))
    {
        if file.components().any(|part| part.as_os_str() == "node_modules") {
            continue;
        }
        for document in fs::read_to_string(file).unwrap().split("---\n") {
            let Some(kind) = ["RealtimeToken", "ClusterRealtimeProvider"]
                .into_iter()
                .find(|kind| document.contains(&format!("\nkind: {kind}\n")))
            else {
                assert!(
                    !document.contains(MODELINE),
                    "{}: a schema for another kind",
                    file.display()
                );
                continue;
            };
            let before = document.split("apiVersion:").next().unwrap().lines().last();
            let named = before.and_then(|line| line.strip_prefix(MODELINE));
            let named = named.unwrap_or_else(|| panic!("{}: put {MODELINE}… before apiVersion", file.display()));
            let schema = fs::read_to_string(file.parent().unwrap().join(named)).unwrap();
            let schema: Value = serde_json::from_str(&schema).unwrap();
            assert_eq!(schema["title"], kind, "{}", file.display());
            let manifest: Value = serde_saphyr::from_str(document).unwrap();
            cases.push(json!({"name": file.to_str(), "schema": schema, "manifest": manifest}));
        }
    }
    assert!(cases.len() > 40, "only {} manifests", cases.len());
    assert_eq!(problems(&cases), [""; 0]);
}

#[test]
fn what_is_misspelt_or_out_of_bounds_is_found() {
    let good = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "voice", "labels": {"app": "shop"}},
        "spec": {
            "openai": {"model": "gpt-realtime-2.1", "session": {"anything": ["goes"]}},
            "credentials": {"secretRef": {"name": "openai"}},
        },
    });
    let schema = schemas().remove(0).1;
    let case = |place: &str, name: &str, value: Value| {
        let mut manifest = good.clone();
        manifest.pointer_mut(place).unwrap()[name] = value;
        json!({"name": name, "schema": schema, "manifest": manifest})
    };
    let cases = [
        case("", "apiVersion", json!("realtime-token.dev/v1alpha1")),
        case("", "kind", json!("RealTimeToken")),
        case("", "specs", json!({})),
        case("/spec", "expirationSecond", json!(600)),
        case("/spec", "expirationSeconds", json!("600")),
        case("/spec/openai", "modle", json!("gpt-realtime-2.1")),
        case("/spec/credentials/secretRef", "name", json!("")),
    ];
    let found = problems(&cases);
    for (problem, (name, part)) in found.iter().zip([
        ("kind", "RealtimeToken"),
        ("specs", "specs"),
        ("expirationSecond", "expirationSecond"),
        ("expirationSeconds", "integer"),
        ("modle", "modle"),
        ("name", ""),
    ]) {
        assert!(
            problem.starts_with(&format!("{name}: ")) && problem.contains(part),
            "{found:#?}"
        );
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}

/// By an independent implementation of JSON Schema.
fn problems(cases: &[Value]) -> Vec<String> {
    let script = Path::new(ROOT).join("tests/docs/schemas.py");
    let said = VALIDATE.run(&script, &[], json!(cases).to_string().as_bytes()).unwrap();
    said.lines().map(str::to_owned).collect()
}

/// The name of each file with its schema. The folder is laid out as kubeconform and catalogues of CRDs have it.
fn schemas() -> Vec<(String, Value)> {
    let of = |crd| {
        let crd = serde_json::to_value(crd).unwrap();
        let (spec, version) = (&crd["spec"], &crd["spec"]["versions"][0]);
        let [group, kind, version_name] =
            [&spec["group"], &spec["names"]["kind"], &version["name"]].map(|it| it.as_str().unwrap());
        let mut schema = closed(&version["schema"]["openAPIV3Schema"]);
        schema["properties"]["apiVersion"] = json!({"const": format!("{group}/{version_name}")});
        schema["properties"]["kind"] = json!({"const": kind});
        schema["properties"]["metadata"] = json!({"type": "object"});
        schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
        let mut all = json!({"$schema": "http://json-schema.org/draft-07/schema#", "title": kind});
        all.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
        (format!("{group}/{}_{version_name}.json", kind.to_lowercase()), all)
    };
    crds().unwrap().into_iter().map(of).collect()
}

/// A part of a CRD's schema as the API server takes it: a field that it doesn't name is none.
fn closed(schema: &Value) -> Value {
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let mut closed = Map::new();
    for (key, value) in schema.as_object().unwrap() {
        let value = match (key.as_str(), value) {
            (key, _) if key.starts_with(FOR_THE_API_SERVER) => continue,
            ("properties", Value::Object(fields)) => fields
                .iter()
                .map(|(name, field)| (name.clone(), self::closed(field)))
                .collect(),
            ("items" | "additionalProperties", Value::Object(_)) => self::closed(value),
            // A CRD writes them with a fraction.
            ("minimum" | "maximum", bound) => json!(bound.as_f64().unwrap() as i64),
            _ => value.clone(),
        };
        closed.insert(key.clone(), value);
    }
    if closed.contains_key("properties") && !open {
        closed.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(closed)
}
