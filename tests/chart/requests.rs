//! Tokens on request: off by default, and with all that they need when they are on.

use serde_json::{Value, json};
use testkit::helm::{Helm, Major};

use crate::chart::{CHART, NAME, Objects, refused, render, with_image};

const ENABLED: &str = "realtime-token-operator.platform.svc";

fn enabled(mut values: Value) -> Value {
    values["requests"]["enabled"] = json!(true);
    values
}

#[test]
fn nothing_of_them_is_there_unless_asked_for() {
    let objects = render(json!({}));
    let text = json!(objects.0).to_string();
    for part in ["--requests", "tokenreviews", "subjectaccessreviews", "8443", "preStop"] {
        assert!(!text.contains(part), "{part}");
    }
    assert!(objects.all("HorizontalPodAutoscaler").is_empty());
}

/// What the operator writes into Secrets is the Service that leads to it.
#[test]
fn the_service_is_the_one_that_the_operator_names() {
    for values in [
        json!({}),
        json!({"fullnameOverride": "rto"}),
        json!({"service": {"enabled": false}}),
    ] {
        let objects = render(enabled(values));
        let service = objects.one("Service");
        let argument = format!("--requests-service={}", service["metadata"]["name"].as_str().unwrap());
        assert!(
            objects.args().contains(&&*argument),
            "{argument} in {:?}",
            objects.args()
        );
        let ports = service["spec"]["ports"].as_array().unwrap();
        let https = json!({"name": "https", "port": 443, "targetPort": "requests", "protocol": "TCP"});
        assert_eq!(ports.last(), Some(&https), "the URL has no port, so that it is 443");
        let container = objects.container()["ports"].as_array().unwrap();
        let port = container.iter().find(|port| port["name"] == "requests").unwrap();
        let listen = format!("--requests-listen=0.0.0.0:{}", port["containerPort"]);
        assert!(objects.args().contains(&&*listen), "{listen}");
    }
    let without_metrics = render(enabled(json!({"service": {"enabled": false}})));
    assert_eq!(
        without_metrics.one("Service")["spec"]["ports"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

fn arguments(objects: &Objects) -> Vec<&str> {
    let mut args = objects.args();
    args.retain(|arg| arg.starts_with("--requests-"));
    args
}

#[test]
fn settings_arrive() {
    assert_eq!(
        arguments(&render(enabled(json!({})))),
        [
            "--requests-listen=0.0.0.0:8443",
            "--requests-service=realtime-token-operator",
            "--requests-ca-secret=realtime-token-operator-requests-tls",
            "--requests-ca-days=365",
        ]
    );
    let objects = render(enabled(json!({
        "requests": {"port": 9443, "url": "https://tokens.example.com/", "tls": {"secretName": "from-cert-manager"}},
    })));
    assert_eq!(
        arguments(&objects),
        [
            "--requests-listen=0.0.0.0:9443",
            "--requests-service=realtime-token-operator",
            "--requests-url=https://tokens.example.com",
            "--requests-tls-secret=from-cert-manager",
        ]
    );
}

/// A pod that stops is still named to clients for a moment.
#[test]
fn a_pod_that_stops_takes_requests_until_nobody_is_sent_to_it() {
    let objects = render(enabled(json!({})));
    assert_eq!(objects.container()["lifecycle"]["preStop"]["sleep"]["seconds"], 5);
    assert_eq!(objects.pod()["terminationGracePeriodSeconds"], 35);
    let objects = render(enabled(json!({"requests": {"shutdownDelaySeconds": 0}})));
    assert!(objects.container()["lifecycle"].is_null());
    assert_eq!(objects.pod()["terminationGracePeriodSeconds"], 30);
}

#[test]
fn replicas_can_follow_the_load() {
    let values =
        enabled(json!({"autoscaling": {"enabled": true, "minReplicas": 1}, "leaderElection": {"enabled": false}}));
    let objects = render(values);
    let deployment = objects.one("Deployment");
    assert!(
        deployment["spec"]["replicas"].is_null(),
        "or every upgrade would take back what the autoscaler has set"
    );
    let spec = &objects.one("HorizontalPodAutoscaler")["spec"];
    assert_eq!(spec["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
    assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(1), &json!(5)));
    assert_eq!(
        spec["metrics"][0]["resource"]["target"],
        json!({"type": "AverageValue", "averageValue": "500m"})
    );
    assert!(objects.args().contains(&"--leader-elect"), "there will be several");
    assert_eq!(objects.all("PodDisruptionBudget").len(), 1);
}

#[test]
fn who_reaches_the_port_can_be_restricted() {
    let ingress = |values: Value| render(values).one("NetworkPolicy")["spec"]["ingress"].clone();
    assert_eq!(ingress(json!({})).as_array().unwrap().len(), 2);
    let rule = ingress(enabled(json!({})))[2].clone();
    assert_eq!(
        rule,
        json!({"ports": [{"port": "requests", "protocol": "TCP"}]}),
        "every pod"
    );

    let shop = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}});
    let objects = render(enabled(json!({"networkPolicy": {"requestsFrom": [shop]}})));
    let ingress = &objects.one("NetworkPolicy")["spec"]["ingress"];
    assert!(ingress[1]["from"].is_null(), "metrics are another matter");
    assert_eq!(ingress[2]["from"][0], shop);
    let allowed = ingress[2]["from"][1]["podSelector"]["matchLabels"].as_object().unwrap();
    let test = &objects.one("Pod")["metadata"]["labels"];
    assert!(
        allowed.iter().all(|(key, value)| test[key] == *value),
        "helm test: {allowed:?}"
    );
}

/// With a token for the endpoint alone, and of the Secret with the CA's key nothing but the certificates.
#[test]
fn helms_test_asks_as_a_pod_would() {
    let pod = |values: Value| render(enabled(values)).one("Pod")["spec"].clone();
    let test = pod(json!({}));
    let volume = json!([{"name": "requests", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "audience": "realtime-token.dev", "expirationSeconds": 600}},
        {"secret": {
            "name": "realtime-token-operator-requests-tls",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
            "optional": false,
        }},
    ]}}]);
    assert_eq!(test["volumes"], volume);
    let folder = test["containers"][0]["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let args = test["containers"][0]["args"].as_array().unwrap();
    for arg in [
        format!("--requests-url=https://{ENABLED}"),
        format!("--requests-ca={folder}/ca.crt"),
        format!("--requests-token-file={folder}/token"),
    ] {
        assert!(args.contains(&json!(arg)), "{arg} in {args:?}");
    }

    let other = pod(json!({
        "requests": {"url": "https://tokens.example.com", "tls": {"secretName": "from-cert-manager"}},
        "helmTest": {"realtimeToken": "shop/voice"},
    }));
    let secret = &other["volumes"][0]["projected"]["sources"][1]["secret"];
    assert_eq!(
        (&secret["name"], &secret["optional"]),
        (&json!("from-cert-manager"), &json!(true))
    );
    let args = other["containers"][0]["args"].as_array().unwrap();
    for arg in [
        "--requests-url=https://tokens.example.com",
        "--requests-realtime-token=shop/voice",
    ] {
        assert!(args.contains(&json!(arg)), "{arg} in {args:?}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (values, part) in [
        (
            json!({"autoscaling": {"enabled": true}}),
            "further replicas would only stand by",
        ),
        (
            json!({"helmTest": {"realtimeToken": "shop/voice"}}),
            "no token is handed out on request",
        ),
        (
            enabled(json!({"service": {"port": 443}})),
            "service.port and the Service's port for requests are both 443",
        ),
        (
            enabled(json!({"metrics": {"port": 8443}})),
            "metrics.port and requests.port are both 8443",
        ),
        (
            json!({"health": {"port": 8080}}),
            "health.port and metrics.port are both 8080",
        ),
        (
            json!({"service": {"port": 8081}}),
            "health.port and service.port are both 8081",
        ),
        (
            enabled(json!({"requests": {"tls": {"secretName": "a", "ownSecretName": "b"}}})),
            "set one of them",
        ),
        (
            enabled(json!({"autoscaling": {"enabled": true, "minReplicas": 6}})),
            "autoscaling.minReplicas is 6, which is more than autoscaling.maxReplicas, 5",
        ),
        (
            enabled(json!({"requests": {"url": "http://tokens.example.com"}})),
            "at '/requests/url'",
        ),
        (
            enabled(json!({"requests": {"tls": {"caDays": 1}}})),
            "at '/requests/tls/caDays'",
        ),
        (json!({"requests": {"port": 0}}), "at '/requests/port'"),
        (
            enabled(json!({"helmTest": {"realtimeToken": "voice"}})),
            "at '/helmTest/realtimeToken'",
        ),
        (
            json!({"autoscaling": {"targetCPU": "80%"}}),
            "at '/autoscaling/targetCPU'",
        ),
    ] {
        for said in refused(with_image(values.clone()), &[]) {
            assert!(said.contains(part), "{values} should be refused with {part}:\n{said}");
        }
    }
}

/// A release's name may be so long that the parts of names are cut.
#[test]
fn names_stay_valid_however_long_the_release_is() {
    let release = "a".repeat(53);
    let args = [
        "template",
        &release,
        CHART,
        "--set=image.repository=x",
        "--set=requests.enabled=true",
    ];
    let objects = Objects::parse(&Helm::new(Major::Four).unwrap().run(args).unwrap());
    let service = objects.one("Service")["metadata"]["name"].as_str().unwrap();
    assert!(service.len() <= 63, "{service}");
    assert_ne!(service, NAME);
    let secret = format!("--requests-ca-secret={service}-requests-tls");
    assert!(objects.args().contains(&&*secret), "{:?}", objects.args());
}
