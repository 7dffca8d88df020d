//! The alerts, by Prometheus' own test tool.

use std::process::{Command, Stdio};

use nodetests::debian;

use super::ALERTS;

const STORIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/stories.yaml");

fn promtool(args: &[&str]) -> (bool, String) {
    let output = Command::new(debian::program("promtool").unwrap())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let (passed, said) = promtool(&["test", "rules", STORIES]);
    assert!(passed, "{said}");
}

/// With `--lint=all` a name that is there twice is an error too.
#[test]
fn the_rules_are_valid() {
    let (passed, said) = promtool(&["check", "rules", "--lint=all", "--lint-fatal", ALERTS]);
    assert!(passed, "{said}");
}
