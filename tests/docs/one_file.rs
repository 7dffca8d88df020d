//! What adding-a-provider.md claims: beside its own files only the list and the `mod` and `use` lines name a provider.

use std::fs;
use std::path::Path;

use realtime_token_operator::api::PROVIDER_FIELDS;
use realtime_token_operator::providers::Block;

use crate::files;

/// Where every provider is listed, and the exchanges, of which one has the name of a provider.
const LISTS: [&str; 4] = [
    "api/mod.rs",
    "api/blocks.rs",
    "api/workload_identity.rs",
    "providers/mod.rs",
];

#[test]
fn a_provider_is_named_in_its_own_files_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = files(&src);
    let mut found = Vec::new();
    for (field, facts) in PROVIDER_FIELDS.iter().zip(Block::every_facts()) {
        let names = [format!("\"{field}\""), format!("\"{}\"", facts.title)];
        for path in &sources {
            let place = path.strip_prefix(&src).unwrap().to_string_lossy();
            if LISTS.contains(&&*place) || is_test(&place) || own(&place, field) {
                continue;
            }
            for (number, line) in code(path) {
                // The scheme of a URL, not the provider.
                if line.contains("scheme") {
                    continue;
                }
                if names.iter().any(|name| line.contains(name)) {
                    found.push(format!("{field}: src/{place}:{number}: {}", line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Files that are compiled for tests only.
fn is_test(place: &str) -> bool {
    let test_only = ["fuzz.rs", "providers/conformance.rs", "token/fixtures.rs"];
    place.contains("tests") || place.starts_with("testing/") || test_only.contains(&place)
}

/// `api/azure_openai.rs`, `providers/azure_openai/sign.rs` of `azureOpenAI`; `providers/http.rs` of `http`.
fn own(place: &str, field: &str) -> bool {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let mut parts = place.splitn(2, '/').skip(1);
    let part = parts.next().unwrap_or_default();
    let stem = part.split(['/', '.']).next().unwrap_or_default();
    plain(stem) == plain(field)
}

/// The lines of a file but for comments and its tests.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}
