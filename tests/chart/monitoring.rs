//! What Prometheus and Grafana get from the chart.

use serde_json::{Value, json};

use testkit::helm::{Helm, Major};

use crate::chart::{CHART, NAME, Objects, file, refused, render, render_with, with_image};

const FILES: &str = "charts/realtime-token-operator/files";

/// Enabled, with a label and an annotation.
fn enabled() -> Value {
    json!({
        "enabled": true,
        "labels": {"release": "prometheus", "app.kubernetes.io/name": "another"},
        "annotations": {"team": "voice"},
    })
}

fn assert_dressed(object: &Value) {
    assert_eq!(object["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(object["metadata"]["annotations"]["team"], "voice");
    assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], NAME);
}

#[test]
fn nothing_of_it_is_made_unless_asked_for() {
    let objects = render(json!({}));
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"] {
        assert!(objects.all(kind).is_empty(), "{kind}");
    }
}

/// Labels and port are those of the Service and of the pods.
#[test]
fn monitors_find_the_operator() {
    let mut service = enabled();
    service["endpoint"] = json!({"interval": "15s", "relabelings": [{"action": "labeldrop", "regex": "pod"}]});
    let objects = render(json!({"metrics": {"serviceMonitor": service}}));
    let monitor = objects.one("ServiceMonitor");
    assert_dressed(monitor);
    assert_eq!(
        monitor["spec"]["endpoints"],
        json!([{
            "port": "metrics", "path": "/metrics", "honorLabels": true, "interval": "15s",
            "relabelings": [{"action": "labeldrop", "regex": "pod"}],
        }])
    );
    let service = objects.one("Service");
    assert_selects(monitor, &service["metadata"]["labels"]);
    assert_eq!(service["spec"]["ports"][0]["name"], "metrics");

    let objects = render(json!({"metrics": {"podMonitor": enabled()}, "service": {"enabled": false}}));
    let monitor = objects.one("PodMonitor");
    assert_dressed(monitor);
    assert_eq!(
        monitor["spec"]["podMetricsEndpoints"],
        json!([{"port": "metrics", "path": "/metrics", "honorLabels": true}])
    );
    let pods = &objects.one("Deployment")["spec"]["template"];
    assert_selects(monitor, &pods["metadata"]["labels"]);
    assert_eq!(objects.container()["ports"][1]["name"], "metrics");
}

/// Prometheus sends its own token, over TLS with a certificate that can't be verified; values still come last.
#[test]
fn monitors_authenticate_where_metrics_want_it() {
    let monitor = |name: &str, endpoint: Value| json!({"metrics": {"authentication": true, name: {"enabled": true, "endpoint": endpoint}}});
    let objects = render(monitor("serviceMonitor", json!({"tlsConfig": {"serverName": "x"}})));
    assert_eq!(
        objects.one("ServiceMonitor")["spec"]["endpoints"],
        json!([{
            "port": "metrics", "path": "/metrics", "honorLabels": true, "scheme": "https",
            "tlsConfig": {"serverName": "x", "insecureSkipVerify": true},
            "bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token",
        }])
    );
    assert!(objects.args().contains(&"--metrics-auth"));
    let authorization = json!({"credentials": {"name": "scraper", "key": "token"}});
    let objects = render(monitor("podMonitor", json!({"authorization": authorization})));
    let endpoint = &objects.one("PodMonitor")["spec"]["podMetricsEndpoints"][0];
    assert_eq!(
        (&endpoint["scheme"], &endpoint["authorization"]),
        (&json!("https"), &authorization)
    );
    for said in refused(with_image(monitor("podMonitor", json!({}))), &[]) {
        assert!(said.contains("set metrics.podMonitor.endpoint.authorization"), "{said}");
    }
}

fn assert_selects(monitor: &Value, labels: &Value) {
    let selector = monitor["spec"]["selector"]["matchLabels"].as_object();
    let selector = selector.unwrap();
    assert!(!selector.is_empty());
    for (label, value) in selector {
        assert_eq!(labels[label], *value, "{label}");
    }
}

#[test]
fn the_alerts_are_those_of_the_file() {
    let rules: Value = serde_saphyr::from_str(&file(&format!("{FILES}/alerts.yaml"))).unwrap();
    let objects = render(json!({"metrics": {"prometheusRule": enabled()}}));
    let rule = objects.one("PrometheusRule");
    assert_dressed(rule);
    assert_eq!(rule["spec"], rules);
}

#[test]
fn the_runbook_can_be_elsewhere() {
    let mut values = enabled();
    values["runbookUrl"] = json!("https://git.example.com/rto/runbook.md");
    let objects = render(json!({"metrics": {"prometheusRule": values}}));
    let groups = &objects.one("PrometheusRule")["spec"]["groups"];
    assert!(!groups.to_string().contains("docs/runbook.md"));
    let first = &groups[0]["rules"][0];
    assert_eq!(
        first["annotations"]["runbook_url"],
        format!(
            "https://git.example.com/rto/runbook.md#{}",
            first["alert"].as_str().unwrap().to_lowercase()
        )
    );
    let values = json!({"metrics": {"prometheusRule": {"enabled": true, "runbookUrl": "runbook.md"}}});
    for said in refused(with_image(values), &[]) {
        assert!(said.contains("runbookUrl"), "{said}");
    }
}

/// A chart from a clone knows no address; a published one has it from the release workflow.
#[test]
fn a_published_chart_links_to_the_runbook_of_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let workflow = file(".github/workflows/release.yml");
    let script = workflow
        .lines()
        .find(|line| line.contains("home: $GITHUB_SERVER_URL"))
        .unwrap();
    let script = format!("mkdir charts && cp -r {CHART} charts/ && {script}");
    let ran = std::process::Command::new("bash")
        .args(["-euc", &script])
        .current_dir(folder.path())
        .env("NAME", NAME)
        .env("GITHUB_SERVER_URL", "https://github.com")
        .env("GITHUB_REPOSITORY", "example/rto")
        .status();
    assert!(ran.unwrap().success(), "{script}");
    let chart = folder.path().join("charts").join(NAME);
    let version = env!("CARGO_PKG_VERSION");
    for major in Major::ALL {
        let values = ["--set", "image.repository=r,metrics.prometheusRule.enabled=true"];
        let args = ["template", NAME, chart.to_str().unwrap()];
        let rendered = Helm::new(major).unwrap().run([&args[..], &values].concat()).unwrap();
        let objects = Objects::parse(&rendered);
        let rule = &objects.one("PrometheusRule")["spec"]["groups"][0]["rules"][0];
        let expected = format!("https://github.com/example/rto/blob/v{version}/docs/runbook.md#realtimetokenexpiring");
        assert_eq!(rule["annotations"]["runbook_url"], expected);
    }
}

#[test]
fn grafana_gets_the_dashboard_as_it_is() {
    let mut values = enabled();
    values["annotations"]["grafana_folder"] = json!("Voice");
    let objects = render(json!({"metrics": {"dashboard": values}}));
    let map = objects.one("ConfigMap");
    assert_dressed(map);
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(map["metadata"]["annotations"]["grafana_folder"], "Voice");
    let text = map["data"]["realtime-token-operator.json"].as_str();
    assert_eq!(
        text.unwrap().trim_end(),
        file(&format!("{FILES}/dashboard.json")).trim_end()
    );
}

#[test]
fn what_would_scrape_nothing_or_twice_is_refused() {
    let metrics = json!({"serviceMonitor": {"enabled": true}, "podMonitor": {"enabled": true}});
    for said in refused(with_image(json!({"metrics": metrics})), &[]) {
        assert!(said.contains("enable one"), "{said}");
    }
    let values = json!({"metrics": {"serviceMonitor": {"enabled": true}}, "service": {"enabled": false}});
    for said in refused(with_image(values), &[]) {
        assert!(said.contains("set service.enabled=true"), "{said}");
    }
}

/// A cluster that doesn't know the kinds would answer with an error about mappings. Without a cluster, as in GitOps
/// tools that only render, they are made.
#[test]
fn a_cluster_without_the_prometheus_operator_is_told_apart() {
    let cluster = ["--api-versions", "apiregistration.k8s.io/v1"];
    for (value, kind) in [
        ("serviceMonitor", "ServiceMonitor"),
        ("podMonitor", "PodMonitor"),
        ("prometheusRule", "PrometheusRule"),
    ] {
        let values = json!({"metrics": {value: {"enabled": true}}});
        for said in refused(with_image(values.clone()), &cluster) {
            let expected = format!(
                "metrics.{value}.enabled is true, but this cluster has no {kind} (monitoring.coreos.com/v1): install"
            );
            assert!(said.contains(&expected), "{said}");
        }
        let kind = format!("monitoring.coreos.com/v1/{kind}");
        let mut with = cluster.to_vec();
        with.extend(["--api-versions", &kind]);
        render_with(values, &with);
    }
}

mod alone {
    use testkit::cluster::{Cluster, Options};
    use testkit::helm::{Helm, Major};

    use crate::chart::CHART;

    const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicemonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: ServiceMonitor, plural: servicemonitors, singular: servicemonitor}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

    /// The same on a real cluster, which serves what the above pretends.
    #[tokio::test]
    async fn an_install_says_what_the_cluster_lacks() {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        let arguments = |value: &str| {
            let enabled = format!("metrics.{value}.enabled=true");
            [
                "install",
                "rto",
                CHART,
                "--dry-run=server",
                "--set",
                "image.repository=r",
                "--set",
            ]
            .map(str::to_owned)
            .into_iter()
            .chain([enabled])
            .collect::<Vec<_>>()
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("crd.yaml"), CRD).unwrap();
        for major in Major::ALL {
            let helm = Helm::new(major).unwrap().on(cluster.kubeconfig());
            let said = helm.refused(arguments("podMonitor")).unwrap();
            assert!(said.contains("this cluster has no PodMonitor"), "{said}");
        }
        cluster.apply_crds(folder.path()).await.unwrap();
        for major in Major::ALL {
            let helm = Helm::new(major).unwrap().on(cluster.kubeconfig());
            let made = helm.run(arguments("serviceMonitor")).unwrap();
            assert!(made.contains("kind: ServiceMonitor"), "{made}");
        }
    }
}
