//! Pods ask for tokens on request with what the kubelet gives them, a ServiceAccount's projected token and the mounted
//! Secret, through the Service and at each replica, throughout a change of the operator's CA; once a pod is gone, its token
//! is refused.

mod pods;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use nodetests::{
    guarantee::{NAMESPACE, PATIENCE, RELEASE, Setup, Terms},
    service::ServiceProxy,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use testkit::{caller::Caller, standin::Provider, wait};

use self::pods::{Asker, Reader};

const TERMS: Terms = Terms {
    sync: Some(Duration::from_secs(5)),
    life: 600,
    renewal: None,
};

/// The CA that is there at first: its renewal is due at two thirds of its life, a minute and a half after the start.
const CA_LIFE: SignedDuration = SignedDuration::from_mins(6);
const CA_AGE: SignedDuration = SignedDuration::from_secs(150);

const TOKEN: &str = "asked";
const KEY: &str = "key-of-asked";
const HOST: &str = "realtime-token-operator.realtime-token-operator.svc";
/// Where each pod of the operator listens.
const PORT: u16 = 8443;

/// A review is kept for ten seconds.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_asks_with_what_it_mounts_throughout_a_change_of_the_ca() -> Result<()> {
    let setup = Setup::start_with(TERMS, &["requests.enabled=true"], || Ok(vec![authority()?])).await?;
    match story(&setup).await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(setup.state().await)),
    }
}

async fn story(setup: &Setup) -> Result<()> {
    setup.standin.accept_keys(Provider::OpenAi, [KEY]);
    for object in objects() {
        setup.apply(&object).await?;
    }
    let client = setup.node.cluster().client().await?;
    let service = ServiceProxy::start(&client, RELEASE, RELEASE).await?;
    let reader = Reader::start(setup).await?;
    let replicas: Vec<SocketAddr> = replicas(setup).await?;
    ensure!(replicas.len() == 2, "{replicas:?}");
    let old = reader.ca().await?;
    ensure!(certificates(&old) == 1, "{old}");
    let url = format!("https://{HOST}/v1alpha1/namespaces/{NAMESPACE}/realtimetokens/{TOKEN}/token");
    ensure!(reader.url().await? == url, "not {url}");
    let asker = Asker::start(setup, service.address()).await?;
    a_person_asks(setup).await?;

    // The bundle grows to two CAs, and shrinks to the new one. Nobody who reads the mounted file is ever turned away.
    let began = Instant::now();
    let mut both = false;
    let mut asked = 0_usize;
    loop {
        let ca = reader.ca().await?;
        for replica in &replicas {
            let caller = Caller::new(*replica, &ca, NAMESPACE, TOKEN, reader.token().await?)?;
            let answer = caller
                .ask(json!({"subject": format!("user-{asked}")}).to_string())
                .await;
            let answer =
                answer.with_context(|| format!("request {asked} at {replica}, with {} CAs", certificates(&ca)))?;
            ensure!(answer.status == 201, "{}: {}", answer.status, answer.body);
            asked += 1;
        }
        both |= certificates(&ca) == 2 && ca.contains(old.trim());
        if !ca.contains(old.trim()) {
            break;
        }
        ensure!(
            began.elapsed() < 2 * PATIENCE,
            "the old CA is still there after {asked} requests"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ensure!(both, "the mounted file never had both CAs");
    asker.has_never_failed(Timestamp::now()).await?;

    let (ca, token) = (reader.ca().await?, reader.token().await?);
    reader.delete(setup).await?;
    let caller = Caller::new(replicas[0], &ca, NAMESPACE, TOKEN, token)?;
    wait::until(
        "the token of a deleted pod to be refused",
        FORGOTTEN_WITHIN,
        async || {
            let answer = caller.ask(json!({"subject": "late"}).to_string()).await?;
            ensure!(answer.status == 401, "{}: {}", answer.status, answer.body);
            Ok(Some(()))
        },
    )
    .await?;
    let complaints = setup.standin.complaints();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// The plugin finds the installation, and asks through a port-forward as the application's ServiceAccount.
async fn a_person_asks(setup: &Setup) -> Result<()> {
    let checked = setup.plugin(&["check", TOKEN, "-n", NAMESPACE]).await?;
    let lines: Vec<_> = checked.lines().rev().collect();
    let [behind, watched, operator, ..] = &*lines else {
        bail!("{checked}");
    };
    ensure!(operator.contains("2 ready") && operator.ends_with("  ok"), "{checked}");
    ensure!(
        watched.contains("  ok: ") && watched.contains(" has just renewed Lease "),
        "{checked}"
    );
    ensure!(behind.contains("  watches this cluster  "), "{checked}");
    let asked = [
        "request",
        TOKEN,
        "-n",
        NAMESPACE,
        "--service-account",
        "app",
        "--subject",
        "person",
    ];
    let token: Value = serde_json::from_str(&setup.plugin(&asked).await?)?;
    ensure!(
        token["provider"] == "openai" && token["token"].is_string(),
        "not a token"
    );
    let other = ["request", TOKEN, "-n", NAMESPACE, "--service-account", "default"];
    let refused = setup
        .plugin(&other)
        .await
        .err()
        .context("default has no right to ask")?;
    ensure!(format!("{refused:#}").contains("answered 403 Forbidden"), "{refused:#}");
    Ok(())
}

/// Where each replica of the operator hands out tokens.
async fn replicas(setup: &Setup) -> Result<Vec<SocketAddr>> {
    let pods = setup.pods().await?;
    let address = |pod: &k8s_openapi::api::core::v1::Pod| -> Result<SocketAddr> {
        let status = pod.status.as_ref();
        let address = status.and_then(|it| it.pod_ip.clone());
        let address = address.with_context(|| format!("pod {} without an address", pod.name_any()))?;
        Ok(SocketAddr::new(address.parse()?, PORT))
    };
    pods.iter().map(address).collect()
}

fn certificates(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

/// The Secret of the operator's own CA, as a leader leaves it that was there before.
fn authority() -> Result<Value> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let from = Timestamp::now() - CA_AGE;
    let time = |at: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(at.as_second().unsigned_abs());
    params.not_before = time(from);
    params.not_after = time(from + CA_LIFE);
    let certificate = params.self_signed(&key)?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "name": format!("{RELEASE}-requests-tls"),
            "labels": {"app.kubernetes.io/component": "requests-certificate"},
        },
        "stringData": {
            "ca.crt": certificate.pem(), "ca.key": key.serialize_pem(), "tls.crt": "", "tls.key": "",
        },
    }))
}

fn objects() -> Vec<Value> {
    let object = |api: &str, kind: &str, name: &str, mut rest: Value| {
        rest["apiVersion"] = api.into();
        rest["kind"] = kind.into();
        rest["metadata"] = json!({"name": name, "namespace": NAMESPACE});
        rest
    };
    let rbac = "rbac.authorization.k8s.io/v1";
    vec![
        object("v1", "Secret", "openai", json!({"stringData": {"api-key": KEY}})),
        object("v1", "ServiceAccount", "app", json!({})),
        object(
            rbac,
            "Role",
            "ask",
            json!({"rules": [{
                "apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"],
                "resourceNames": [TOKEN], "verbs": ["create"],
            }]}),
        ),
        object(
            rbac,
            "RoleBinding",
            "ask",
            json!({
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ask"},
                "subjects": [{"kind": "ServiceAccount", "name": "app"}],
            }),
        ),
    ]
}

/// A RealtimeToken whose tokens are asked for.
fn token(setup: &Setup) -> Value {
    json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": TOKEN, "namespace": NAMESPACE},
        "spec": {
            "openai": {"model": "gpt-realtime-2.1", "endpoint": setup.standin.url()},
            "credentials": {"secretRef": {"name": "openai"}},
            "expirationSeconds": TERMS.life,
            "requests": {"subject": "Optional"},
            "target": {"content": "Connection"},
        },
    })
}
