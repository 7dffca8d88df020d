//! Values that are the operator's settings: they arrive, and it knows them.

use serde_json::{Value, json};

use crate::chart::{Objects, render};

#[test]
fn the_operators_settings_arrive() {
    let objects = render(json!({
        "allowEndpoints": ["https://a.example.com", "http://b.example.com:8080"],
        "allowSecretMetadata": ["team", "reloader.stakater.com/*"],
        "caBundle": {"configMap": "corporate", "key": "bundle.pem"},
        "log": {"level": "debug", "format": "text"},
        "concurrency": 8,
        "mintsPerCredential": 2,
        "metrics": {"perObject": false},
        "leaderElection": {"leaseName": "lease", "leaseDurationSeconds": 30},
        "extraArgs": ["--more=1"],
    }));
    let args = objects.args();
    assert_eq!(args[0], "run");
    for arg in [
        "--allow-endpoint=https://a.example.com",
        "--allow-endpoint=http://b.example.com:8080",
        "--allow-secret-metadata=team,reloader.stakater.com/*",
        "--ca-bundle=/etc/realtime-token-operator/ca/bundle.pem",
        "--log=debug",
        "--log-format=text",
        "--concurrency=8",
        "--mints-per-credential=2",
        "--no-object-metrics",
        "--lease-name=lease",
        "--lease-duration-seconds=30",
        "--more=1",
    ] {
        assert!(args.contains(&arg), "{arg} in {args:?}");
    }
    let mount = &objects.container()["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/etc/realtime-token-operator/ca");
    let volume = &objects.pod()["volumes"][0];
    assert_eq!(volume["name"], mount["name"]);
    assert_eq!(
        volume["configMap"],
        json!({"name": "corporate", "items": [{"key": "bundle.pem", "path": "bundle.pem"}]})
    );
}

/// What is passed must be what the binary takes: it parses these very arguments.
#[test]
fn the_binary_knows_every_argument() {
    use clap::Parser as _;
    use realtime_token_operator::config::{Cli, Command};
    for (case, values) in crate::valid::combinations() {
        let objects = render(values);
        let cli = Cli::try_parse_from([&["realtime-token-operator"], &objects.args()[..]].concat());
        let cli = cli.unwrap_or_else(|problem| panic!("{case}: {problem}"));
        assert!(matches!(cli.command, Command::Run(_)), "{case}");
        for test in objects.all("Pod") {
            let args = test["spec"]["containers"][0]["args"].as_array().unwrap();
            let args = args.iter().map(|arg| arg.as_str().unwrap());
            let cli = Cli::try_parse_from(["realtime-token-operator"].into_iter().chain(args));
            let cli = cli.unwrap_or_else(|problem| panic!("{case}: {problem}"));
            assert!(matches!(cli.command, Command::Check(_)), "{case}");
        }
    }
}

fn env(objects: &Objects) -> Value {
    let env = objects.container()["env"].as_array().unwrap();
    env.iter()
        .map(|it| (it["name"].as_str().unwrap().to_owned(), it["value"].clone()))
        .collect()
}

#[test]
fn proxies_come_from_values_and_secrets() {
    let defaults = render(json!({}));
    assert_eq!(env(&defaults), json!({"POD_NAME": null, "POD_NAMESPACE": null}));
    let objects = render(json!({
        "proxy": {"https": "http://proxy:3128", "http": "http://other:3128", "noProxy": ".internal"},
        "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/ca.pem"}],
    }));
    assert_eq!(env(&objects)["HTTPS_PROXY"], "http://proxy:3128");
    assert_eq!(env(&objects)["HTTP_PROXY"], "http://other:3128");
    assert_eq!(env(&objects)["NO_PROXY"], ".internal");
    assert_eq!(env(&objects)["SSL_CERT_FILE"], "/ca.pem");
}

#[test]
fn an_image_by_digest_needs_no_tag() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let image = |image: Value| render(json!({"image": image})).container()["image"].clone();
    assert_eq!(image(json!({"repository": "r/x", "tag": "v9"})), "r/x:v9");
    assert_eq!(
        image(json!({"repository": "r:5000/x", "tag": "v9", "digest": digest})),
        format!("r:5000/x@{digest}")
    );
    let pulled = render(json!({"imagePullSecrets": [{"name": "a"}]}));
    assert_eq!(pulled.pod()["imagePullSecrets"], json!([{"name": "a"}]));
    assert_eq!(pulled.one("Pod")["spec"]["imagePullSecrets"], json!([{"name": "a"}]));
}
