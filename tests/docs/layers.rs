//! The map in `src/lib.rs` is true: every module has a line, and imports no module that its line doesn't allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::files;

/// What each module may import of the crate. A folder and the file beside it are one module.
const MAY_IMPORT: [(&str, &[&str]); 23] = [
    ("api", &[]),
    ("admission", &["api"]),
    ("clock", &[]),
    ("text", &[]),
    ("process", &[]),
    ("health", &[]),
    ("template", &[]),
    ("telemetry", &["config", "text"]),
    ("token", &["api", "clock", "template", "text"]),
    ("budget", &["api", "token"]),
    ("mint", &["api", "clock", "providers", "template", "text", "token"]),
    ("providers", &["api", "clock", "mint", "token"]),
    ("resolve", &["admission", "api", "mint", "providers", "token"]),
    ("cluster", &["api", "health", "mint", "resolve", "text", "token"]),
    ("metrics", &["api", "clock", "cluster", "resolve", "token"]),
    ("leader", &["clock", "cluster", "health", "metrics"]),
    ("server", &["cluster", "health", "metrics", "text"]),
    (
        "issuer",
        &[
            "api", "budget", "clock", "cluster", "health", "metrics", "mint", "resolve", "token",
        ],
    ),
    (
        "controller",
        &[
            "api",
            "clock",
            "cluster",
            "health",
            "issuer",
            "leader",
            "metrics",
            "mint",
            "providers",
            "resolve",
            "token",
        ],
    ),
    (
        "requests",
        &[
            "api", "clock", "cluster", "health", "issuer", "metrics", "mint", "resolve", "text", "token",
        ],
    ),
    (
        "cli",
        &[
            "admission",
            "api",
            "clock",
            "cluster",
            "metrics",
            "mint",
            "providers",
            "resolve",
            "text",
            "token",
        ],
    ),
    (
        "local",
        &[
            "api",
            "cli",
            "clock",
            "cluster",
            "issuer",
            "metrics",
            "mint",
            "providers",
            "requests",
            "resolve",
            "text",
            "token",
        ],
    ),
    ("config", &["cli", "local", "requests", "resolve"]),
];

/// Words that only some modules may use, and which.
const RESERVED: [(&str, &[&str]); 5] = [
    ("Api<", &["cluster"]),
    ("watcher(", &["cluster"]),
    ("reqwest::", &["cli", "mint", "providers"]),
    (
        "tokio::",
        &[
            "budget",
            "cli",
            "clock",
            "cluster",
            "controller",
            "health",
            "issuer",
            "leader",
            "local",
            "mint",
            "requests",
            "server",
        ],
    ),
    (
        "async fn",
        &[
            "budget",
            "cli",
            "cluster",
            "controller",
            "issuer",
            "leader",
            "local",
            "mint",
            "requests",
            "server",
        ],
    ),
];

#[test]
fn modules_import_what_the_map_allows() {
    let mut wrong = Vec::new();
    for (module, text) in modules() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("src/{module} is not in the table of this test"));
            continue;
        };
        let imported = text.match_indices("crate::").map(|(at, _)| {
            let rest = &text[at + "crate::".len()..];
            rest.split(|c: char| !c.is_ascii_lowercase() && c != '_')
                .next()
                .unwrap()
        });
        let imported: BTreeSet<&str> = imported.filter(|name| !name.is_empty() && *name != module).collect();
        for name in imported.iter().filter(|name| !allowed.contains(name)) {
            wrong.push(format!("src/{module} imports crate::{name}"));
        }
        // The names in braces are not looked at above.
        if text.contains("crate::{") {
            wrong.push(format!(
                "src/{module} has `crate::{{`: give each module a `use` of its own"
            ));
        }
        for (word, of) in RESERVED {
            if text.contains(word) && !of.contains(&module.as_str()) {
                wrong.push(format!("src/{module} uses `{word}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(src().join("lib.rs")).unwrap();
    let of_tests = ["fuzz", "testing"].map(str::to_owned);
    let missing: Vec<String> = modules()
        .into_keys()
        .chain(of_tests)
        .filter(|module| !map.contains(&format!("[`{module}`]")) && !map.contains(&format!("`{module}`")))
        .collect();
    assert_eq!(missing, [""; 0], "src/lib.rs says nothing of them");
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code of each module, without comments and tests.
fn modules() -> BTreeMap<String, String> {
    let mut modules = BTreeMap::<String, String>::new();
    for file in files(&src()) {
        let place = file.strip_prefix(src()).unwrap().to_string_lossy().into_owned();
        let module = place.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let test_only = ["providers/fixture.rs", "token/fixtures.rs"];
        let is_conformance = place.starts_with("providers/conformance");
        if place.contains("tests") || is_conformance || test_only.contains(&place.as_str()) {
            continue;
        }
        if ["lib", "main", "fuzz", "testing"].contains(&module.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code: String = code.map(|line| format!("{line}\n")).collect();
        *modules.entry(module).or_default() += &code;
    }
    modules
}
