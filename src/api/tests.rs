//! The contract against what is written elsewhere: `crds/`, the documentation, the rule that the core is pure.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

#[test]
fn crds_folder_is_what_the_types_say() {
    let mut files: Vec<_> = fs::read_dir(repository("crds"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["clusterrealtimeproviders.yaml", "realtimetokens.yaml"]);
    let written = read("crds/realtimetokens.yaml") + &read("crds/clusterrealtimeproviders.yaml");
    let generated = crds_yaml().unwrap();
    let differs = written
        .lines()
        .zip(generated.lines())
        .position(|(written, generated)| written != generated);
    assert!(
        written == generated,
        "crds/ differs from src/api (from line {differs:?} of both files together): run `make crds`"
    );
}

/// `kubectl apply` keeps a copy in an annotation, which takes 256 KiB; the API server itself takes about 1.5 MiB.
#[test]
fn crds_are_small_enough_for_every_way_to_apply_them() {
    for crd in crds().unwrap() {
        let (name, size) = (&crd.metadata.name, serde_json::to_vec(&crd).unwrap().len());
        assert!(size < 256 * 1024, "{name:?} has {size} bytes");
    }
}

/// kubectl puts three spaces between columns. The name of a RealtimeToken counts with twenty characters.
#[test]
fn what_kubectl_get_prints_fits_on_a_line() {
    let mut crds = crds().unwrap().into_iter();
    let mut versions = crds.next().unwrap().spec.versions.into_iter();
    let columns = versions.next().unwrap().additional_printer_columns.unwrap();
    let shown = columns.iter().filter(|column| column.priority.unwrap_or(0) == 0);
    let longest = |mut texts: Vec<&'static str>| {
        texts.sort_by_key(|text| text.len());
        texts.pop().unwrap().len()
    };
    let widths = shown.map(|column| match column.name.as_str() {
        "Ready" => "Unknown".len(),
        "Status" => longest(Reason::ALL.iter().map(|reason| reason.as_str()).collect()),
        "Provider" => longest(PROVIDER_FIELDS.to_vec()),
        "Expires" => "2026-11-29T12:00:00Z".len(),
        "Age" => "100m".len(),
        other => panic!("{other}: how wide is it?"),
    });
    let width: usize = widths.map(|width| "   ".len() + width).sum();
    assert!("a-name-of-a-realtime".len() + width <= 100, "{width}");
}

/// What `kubectl explain` prints.
#[test]
fn every_field_is_described() {
    fn walk(schema: &Value, path: &str, bare: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"]
                .as_str()
                .is_none_or(|text| text.trim().is_empty())
            {
                bare.push(path.clone());
            }
            walk(property, &path, bare);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&schema[inner], path, bare);
            }
        }
    }
    let mut bare = Vec::new();
    let mut fields = 0;
    for crd in crds().unwrap() {
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert!(schema["description"].is_string());
        walk(schema, "", &mut bare);
        fields += schema.to_string().matches("\"description\"").count();
    }
    // The API server allows none there, and describes the field itself.
    bare.retain(|path| path != ".metadata");
    assert_eq!(bare, [""; 0], "fields without a doc comment");
    assert!(fields > 90, "only {fields} descriptions were found");
}

/// A list or a map without a bound makes CEL rules on it too dear for the API server, or an object as large as it
/// allows; text without one is as bad.
#[test]
fn everything_in_a_spec_is_bounded() {
    fn walk(schema: &Value, path: &str, open: &mut Vec<String>) {
        let is_opaque = |schema: &Value| schema["x-kubernetes-preserve-unknown-fields"] == true;
        let bounded = match schema["type"].as_str() {
            Some("string") => schema["maxLength"].is_u64() || schema["enum"].is_array(),
            Some("array") => schema["maxItems"].is_u64(),
            Some("integer") => schema["minimum"].is_number() && schema["maximum"].is_number(),
            Some("object") if schema["additionalProperties"].is_object() || is_opaque(schema) => {
                schema["maxProperties"].is_u64()
            }
            _ => true,
        };
        if !bounded {
            open.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(property, &format!("{path}.{name}"), open);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&schema[inner], &format!("{path}[]"), open);
            }
        }
    }
    let mut open = Vec::new();
    for crd in crds().unwrap() {
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        walk(&schema["properties"]["spec"], "spec", &mut open);
    }
    // Labels and their values are bounded by the objects that carry them.
    open.retain(|path| !path.starts_with("spec.namespaceSelector"));
    assert_eq!(open, [""; 0], "fields without a bound");
}

#[test]
fn no_field_is_nullable_and_no_enum_is_a_one_of() {
    let yaml = crds_yaml().unwrap();
    for unwanted in ["nullable", "oneOf", "anyOf", "$ref"] {
        assert!(!yaml.contains(unwanted), "{unwanted} in a CRD");
    }
}

#[test]
fn every_reason_is_in_the_troubleshooting_guide() {
    let guide = read("docs/troubleshooting.md");
    let described = |reason: &&Reason| {
        guide
            .lines()
            .any(|line| (line.starts_with('#') || line.starts_with('|')) && line.contains(&format!("`{reason}`")))
    };
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !described(reason)).collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md has neither a heading nor a table row with `Reason` for {missing:?}"
    );
}

#[test]
fn the_troubleshooting_guide_has_what_needs_a_person_in_a_section_of_its_own() {
    let guide = read("docs/troubleshooting.md");
    let sections = guide.split("\n### ").map(|text| text.split_once('\n').unwrap());
    for (section, text) in sections {
        let headings = text.lines().filter_map(|line| line.strip_prefix("#### `"));
        for heading in headings {
            let heading = heading.trim_end_matches('`');
            let reason = Reason::ALL.iter().find(|reason| reason.as_str() == heading).unwrap();
            // Of the token's life, only what no renewal changes.
            let expected = section == "Something to fix" || heading == "LifetimeTooShort";
            assert_eq!(
                reason.needs_a_person(),
                expected,
                "{reason} is in the section {section:?}"
            );
        }
    }
}

#[test]
fn reasons_are_different_words() {
    let mut words: Vec<_> = Reason::ALL.iter().map(ToString::to_string).collect();
    for word in &words {
        assert!(
            word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphanumeric()),
            "{word} is not CamelCase"
        );
    }
    words.sort();
    words.dedup();
    assert_eq!(words.len(), Reason::ALL.len());
}

/// Time, I/O and concurrency are kept out of the decisions, which makes them testable as functions.
#[test]
fn the_core_is_pure() {
    let unwanted = [
        "kube::Client",
        "kube::Api",
        "kube::runtime",
        "tokio::",
        "reqwest::",
        "async ",
        ".await",
        "::now()",
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "Mutex",
        "static ",
    ];
    let mut files = 0;
    for file in fs::read_dir(repository("src/token")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue; // a folder, of tests
        }
        files += 1;
        let text = fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(found) = unwanted.iter().find(|unwanted| {
                // `'static ` is a lifetime, not a variable.
                code.replace("'static ", "").contains(**unwanted)
            }) {
                panic!("{}:{}: {found} in the pure core", path.display(), number + 1);
            }
        }
    }
    assert!(files >= 9, "only {files} files of src/token were read");
}
