//! What docs/integrations.md has people write for other tools, as far as those tools can be had.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testkit::go;
use testkit::pypi::{Library, VALIDATE};

use crate::alone::setup::run;
use crate::chart::{REPOSITORY, file, render};

const HCL: Library = Library {
    name: "python-hcl2-8.1.4",
    requirements: &["python-hcl2==8.1.4", "lark==1.3.1", "regex==2026.11.19"],
};

/// The blocks of a section in one language.
pub fn blocks(section: &str, language: &str) -> Vec<String> {
    let text = file("docs/integrations.md");
    let (_, section) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let open = format!("```{language}\n");
    let blocks = section.split(&open).skip(1);
    blocks
        .map(|block| block.split("\n```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn terraform_installs_the_chart_and_makes_a_token() {
    let script = format!("{REPOSITORY}/tests/chart/integrations.py");
    let hcl = json!(blocks("Terraform", "hcl")).to_string();
    let said = HCL.run(script.as_ref(), &[], hcl.as_bytes()).unwrap();
    let said: Vec<Value> = serde_json::from_str(&said).unwrap();
    let [release, token] = &said[..] else {
        panic!("{said:?}")
    };

    let release = &release["resource"][0]["helm_release"]["realtime_token_operator"];
    let chart = release["chart"].as_str().unwrap();
    let chart = chart.strip_prefix("${path.module}/realtime-token-operator/").unwrap();
    assert_eq!(format!("{REPOSITORY}/{chart}"), crate::chart::CHART);
    let objects = render(release["values"][0].clone());
    assert!(
        objects.container()["image"]
            .as_str()
            .unwrap()
            .starts_with("registry.example.com/")
    );
    assert!(objects.args().iter().any(|arg| arg.starts_with("--requests-listen=")));

    let token = &token["resource"][0]["kubernetes_manifest"]["voice"];
    assert_eq!(
        token["wait"][0]["condition"][0],
        json!({"type": "Ready", "status": "True"})
    );
    let schema = file("schemas/realtime-token.dev/realtimetoken_v1alpha1.json");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let cases = json!([{"name": "terraform", "schema": schema, "manifest": token["manifest"]}]);
    let script = format!("{REPOSITORY}/tests/docs/schemas.py");
    assert_eq!(
        VALIDATE
            .run(script.as_ref(), &[], cases.to_string().as_bytes())
            .unwrap(),
        ""
    );
}

/// Alertmanager's own tool.
fn amtool(args: &[&str]) -> String {
    let amtool = go::program("github.com/prometheus/alertmanager/cmd/amtool", "0.28.1").unwrap();
    // Nothing of the user's: it would look for a configuration.
    run(Command::new(amtool).args(args).env_clear().env("HOME", "/nonexistent"))
}

#[test]
fn alertmanager_sends_every_alert_to_slack() {
    let config = blocks("Slack", "yaml").remove(0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alertmanager.yaml");
    fs::write(&path, &config).unwrap();
    let path = path.to_str().unwrap();
    let said = amtool(&["check-config", path]);
    assert!(said.contains("SUCCESS"), "{said}");

    let config: Value = serde_saphyr::from_str(&config).unwrap();
    let receivers = config["receivers"].as_array().unwrap();
    let messages: Vec<_> = receivers.iter().filter_map(|it| it.get("slack_configs")).collect();
    assert_eq!(messages.len(), 2);
    let routed = |labels: &[String]| {
        let args = ["config", "routes", "test", "--config.file", path];
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        amtool(&[&args[..], &labels].concat()).trim().to_owned()
    };
    for alert in alerts() {
        let labels = ["alertname", "severity"].map(|name| format!("{name}={}", alert[name].as_str().unwrap()));
        let expected = match alert["severity"].as_str().unwrap() {
            "critical" => "voice-on-call",
            _ => "voice",
        };
        assert_eq!(routed(&labels), expected, "{labels:?}");
        for message in &messages {
            assert_message(&message[0], &alert, folder.path());
        }
    }
    assert_eq!(routed(&["alertname=HostDown".to_owned()]), "elsewhere");
}

/// The alerts of the chart: labels and annotations, and the name.
fn alerts() -> Vec<Value> {
    let all: Value = serde_saphyr::from_str(&file("charts/realtime-token-operator/files/alerts.yaml")).unwrap();
    let groups = all["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules
        .filter(|rule| rule["alert"].is_string())
        .map(|rule| json!({"alertname": rule["alert"], "severity": rule["labels"]["severity"], "annotations": rule["annotations"]}))
        .collect()
}

/// The message says what the alert says.
fn assert_message(message: &Value, alert: &Value, folder: &std::path::Path) {
    let labels = json!({"alertname": alert["alertname"], "severity": alert["severity"]});
    let data = json!({
        "status": "firing", "commonLabels": labels,
        "alerts": [{"status": "firing", "labels": labels, "annotations": alert["annotations"]}],
    });
    let file = folder.join("data.json");
    fs::write(&file, data.to_string()).unwrap();
    let render = |part: &str| {
        let text = format!("--template.text={}", message[part].as_str().unwrap());
        let data = format!("--template.data={}", file.display());
        amtool(&["template", "render", "--template.glob=/dev/null", &text, &data])
    };
    let title = render("title");
    assert_eq!(title.trim(), format!("FIRING {}", alert["alertname"].as_str().unwrap()));
    let text = render("text");
    for (name, said) in alert["annotations"].as_object().unwrap() {
        assert!(text.contains(said.as_str().unwrap()), "{name}: {text}");
    }
}
