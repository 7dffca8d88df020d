//! TanStack's own way, for comparison: a server function that has the API key and asks the provider itself.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use testkit::{cache, node::Node};

/// The versions of `examples/tanstack-start`.
const PACKAGES: [&str; 2] = ["@tanstack/ai@0.58.0", "@tanstack/ai-openai@0.23.1"];

const SCRIPT: &str = include_str!("direct.mjs");

/// What `direct.mjs` prints, in microseconds.
#[derive(Deserialize)]
struct Printed {
    took: Vec<u64>,
    cpu: u64,
}

/// The answer times of `count` calls, one after the other, and the processor time that Node used for all of them.
pub(crate) async fn direct(standin: &str, count: u32) -> Result<(Vec<Duration>, Duration)> {
    let (standin, count) = (standin.to_owned(), count.to_string());
    tokio::task::spawn_blocking(move || run(&standin, &count)).await?
}

fn run(standin: &str, count: &str) -> Result<(Vec<Duration>, Duration)> {
    let node = Node::find()?;
    let folder = cache::entry("bench-requests-tanstack", "TanStack AI from npm", |folder| {
        let output = node
            .npm()?
            .args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .args(PACKAGES)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("npm install: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    })?;
    let script = folder.join("direct.mjs");
    fs::write(&script, SCRIPT)?;
    let output = node
        .node()?
        .arg(&script)
        .args([standin, count])
        .env("OPENAI_API_KEY", "sk-test-fake")
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("direct.mjs: {}", String::from_utf8_lossy(&output.stderr));
    }
    let printed: Printed = serde_json::from_slice(&output.stdout).context("what direct.mjs printed")?;
    let took = printed.took.into_iter().map(Duration::from_micros).collect();
    Ok((took, Duration::from_micros(printed.cpu)))
}
