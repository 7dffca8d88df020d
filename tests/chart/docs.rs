//! What docs/install.md has people type is what the chart takes.

use serde_json::Value;
use testkit::helm::{Helm, Major};

use crate::alone::setup::run;
use crate::chart::{CHART, REPOSITORY, file, render};

/// The blocks of code in one language.
fn blocks(language: &str) -> Vec<String> {
    let text = file("docs/install.md");
    let open = format!("```{language}\n");
    let blocks = text
        .split(&open)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap());
    blocks.map(str::to_owned).collect()
}

#[test]
fn its_values_render() {
    let mut blocks = blocks("yaml");
    blocks.retain(|block| !block.lines().any(|line| line.starts_with("apiVersion:"))); // manifests
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        let values: Value = serde_saphyr::from_str(&block).unwrap();
        render(values);
    }
}

#[test]
fn its_installs_render() {
    let mut tried = 0;
    for block in blocks("sh") {
        for command in block.replace("\\\n", " ").lines() {
            let words: Vec<_> = command.split_whitespace().map(|word| word.trim_matches('\'')).collect();
            let ["helm", "install", name, chart, rest @ ..] = &words[..] else {
                continue;
            };
            if *chart != "charts/realtime-token-operator" {
                continue; // from a registry
            }
            let flags: Vec<_> = rest
                .iter()
                .filter(|flag| !["--wait", "--create-namespace"].contains(flag))
                .collect();
            let mut args = vec!["template", name, CHART];
            args.extend(flags.into_iter().copied());
            for major in Major::ALL {
                let helm = Helm::new(major).unwrap();
                run(helm.command(&args).current_dir(REPOSITORY));
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 4 * Major::ALL.len());
}

/// Every value that the tables and the text name is one.
#[test]
fn its_values_exist() {
    let values: Value = serde_saphyr::from_str(&file("charts/realtime-token-operator/values.yaml")).unwrap();
    let known = values.as_object().unwrap();
    let text = file("docs/install.md");
    let mut named = 0;
    for code in text.split('`').skip(1).step_by(2) {
        let path = code.split('=').next().unwrap();
        let is_path = !path.is_empty() && path.chars().all(|c| c.is_ascii_alphabetic() || c == '.');
        let (Some(first), true) = (path.split('.').next(), is_path) else {
            continue;
        };
        if !known.contains_key(first) {
            continue;
        }
        named += 1;
        let place = format!("/{}", path.replace('.', "/"));
        assert!(values.pointer(&place).is_some(), "{code} is no value");
    }
    assert!(named > 25, "{named} values named");
}

/// docs/support.md names the versions that the tests run with.
#[test]
fn the_tested_versions_are_those_of_the_tests() {
    let text = file("docs/support.md");
    let row = |name: &str| {
        let found = text.lines().find(|line| line.starts_with(&format!("| {name} |")));
        found.unwrap_or_else(|| panic!("no row {name}"))
    };
    for major in Major::ALL {
        let version = Helm::new(major).unwrap().version().unwrap();
        assert!(row("Helm").contains(version.trim_start_matches('v')), "{version}");
    }
    let modules = file("tests/cluster/go.mod");
    let kubernetes = modules
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
    let kubernetes = kubernetes.unwrap();
    assert!(row("Kubernetes").contains(kubernetes), "{kubernetes}");
    let minors = crate::valid::KUBERNETES.map(|version| version.trim_end_matches(".0"));
    assert!(row("Kubernetes").contains(&minors.join(", ")), "{minors:?}");
    assert!(row("Kubernetes").contains(&format!("| {} and newer", minors[0])));
    let oldest = file("charts/realtime-token-operator/Chart.yaml");
    assert!(oldest.contains(&format!("kubeVersion: \">={}.0-0\"", minors[0])));
    let rust = file("Cargo.toml");
    let rust = rust
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .unwrap();
    assert!(row("Building").contains(&format!("Rust {} ", rust.split('"').next().unwrap())));
    let node = file(".github/workflows/ci.yml");
    let node = node
        .lines()
        .find_map(|line| line.trim().strip_prefix("node-version: "))
        .unwrap();
    assert!(row("npm package").contains(node), "{node}");
}
