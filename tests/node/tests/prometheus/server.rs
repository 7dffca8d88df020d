//! A Prometheus of one's own.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use nodetests::debian;
use serde_json::{Map, Value};
use tempfile::TempDir;
use testkit::{fetch, guard, ports, wait};

/// A running Prometheus. Dropping it ends it, and its storage.
pub struct Prometheus {
    addr: SocketAddr,
    _process: guard::Guarded,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts Debian's Prometheus with these rules. It scrapes these operators every second, as the chart's monitors
    /// have them scraped, with `platform` for the operators' own namespace.
    pub async fn start(rules: &Path, operators: &[SocketAddr]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let targets: Vec<_> = operators.iter().map(|addr| format!("\"{addr}\"")).collect();
        let config = folder.path().join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [\"{}\"]\n\
                 scrape_configs:\n\
                 - job_name: rto\n  \
                   honor_labels: true\n  \
                   static_configs: [{{targets: [{}], labels: {{namespace: platform}}}}]\n",
                fs::canonicalize(rules)?.display(),
                targets.join(", "),
            ),
        )?;
        let log = folder.path().join("log");
        let addr = ports::free()?;
        let program = debian::program("prometheus")?;
        let mut command = guard::command(&program, Some(folder.path()));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--log.level=warn")
            .stdout(fs::File::create(&log)?)
            .stderr(fs::File::options().append(true).open(&log)?);
        let process = guard::Guarded::spawn(&mut command)?;
        let ready = wait::until("Prometheus", Duration::from_secs(60), async || {
            Ok(Some(fetch::get(addr, "/-/ready").await?))
        })
        .await;
        ready.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Self {
            addr,
            _process: process,
            _folder: folder,
        })
    }

    /// The result of an instant query: a list of series.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let data = self
            .api(&format!("query?query={}", encoded(expression)))
            .await
            .with_context(|| format!("the query {expression}"))?;
        data["result"]
            .as_array()
            .cloned()
            .with_context(|| format!("{expression} gives no series: {data}"))
    }

    /// The values of a label of the series that match.
    pub async fn label_values(&self, label: &str, series: &str) -> Result<Vec<String>> {
        let data = self
            .api(&format!("label/{label}/values?match[]={}", encoded(series)))
            .await?;
        Ok(serde_json::from_value(data)?)
    }

    /// Every rule, as the API tells of it.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let data = self.api("rules").await?;
        let groups = data["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        Ok(rules.flatten().cloned().collect())
    }

    /// The targets that are scraped.
    pub async fn targets(&self) -> Result<Vec<Value>> {
        let data = self.api("targets").await?;
        Ok(data["activeTargets"].as_array().cloned().unwrap_or_default())
    }

    /// Type and help text of each metric family that was scraped.
    pub async fn metadata(&self) -> Result<Map<String, Value>> {
        let data = self.api("metadata").await?;
        data.as_object().cloned().context("no metadata")
    }

    async fn api(&self, path: &str) -> Result<Value> {
        let answer = fetch::get(self.addr, &format!("/api/v1/{path}")).await?;
        let mut answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer["status"] == "success", "{answer}");
        Ok(answer["data"].take())
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
