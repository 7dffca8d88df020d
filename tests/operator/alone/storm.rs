//! Fifty clients ask two replicas for tokens while replicas are killed, stopped and restarted, and while the provider
//! limits and fails: every token is handed out once, to whom it is for, with the life that was promised, and no Secret's
//! token runs out meanwhile.
//!
//! `REQUESTS=10000` asks for as many, as `.ci/run storm` does; without it the test asks for as many as a run of all tests has
//! time for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use testkit::caller::Caller;
use testkit::cluster::{Cluster, Namespace, Options};
use testkit::operator::{Operator, OperatorBuilder};
use testkit::standin::{self, Fault, StandIn};
use testkit::{ports, wait};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::mounted;
use crate::world::{CRDS, DEADLINE};

const CLIENTS: usize = 50;
const REQUESTS: usize = 2000;
/// `minRemainingSeconds` of both RealtimeTokens that are asked for tokens.
const MIN_REMAINING: SignedDuration = SignedDuration::from_secs(30);

struct Replica {
    builder: OperatorBuilder,
    address: SocketAddr,
    operator: Operator,
}

impl Replica {
    async fn start(cluster: &Cluster, platform: &Namespace, standin: &StandIn) -> Self {
        let address = ports::free().unwrap();
        let builder = Operator::builder(env!("CARGO_BIN_EXE_realtime-token-operator"), cluster.kubeconfig())
            .namespace(platform.name())
            .arg("--allow-endpoint")
            .arg(standin.url())
            .arg("--leader-elect")
            .arg("--lease-duration-seconds=9")
            .arg(format!("--requests-listen={address}"));
        let operator = ready(&builder).await;
        Self {
            builder,
            address,
            operator,
        }
    }

    async fn kill(&mut self) {
        self.operator.kill().unwrap();
        self.operator = ready(&self.builder).await;
    }

    /// As a node that is drained does.
    async fn drain(&mut self) {
        self.operator.sigterm().unwrap();
        let status = self.operator.wait_exit(DEADLINE).await.unwrap();
        assert!(status.success(), "{status}\n{}", self.operator.logs());
        self.operator = ready(&self.builder).await;
    }
}

async fn ready(builder: &OperatorBuilder) -> Operator {
    let mut operator = builder.start().unwrap();
    operator.wait_ready().await.unwrap();
    operator
}

/// What a client got.
struct Received {
    subject: Option<String>,
    token: String,
    /// The life that was left.
    left: SignedDuration,
}

#[tokio::test]
async fn every_token_is_handed_out_once_whatever_happens_to_replicas_and_provider() {
    let count = std::env::var("REQUESTS").map_or(REQUESTS, |text| text.parse().unwrap());
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.apply_crds(CRDS).await.unwrap();
    let standin = StandIn::start(standin::Options::default()).unwrap();
    standin.set_latency(Duration::from_millis(20));
    let (platform, apps) = (
        cluster.namespace("platform").await.unwrap(),
        cluster.namespace("storm").await.unwrap(),
    );
    let mut replicas = [
        Replica::start(&cluster, &platform, &standin).await,
        Replica::start(&cluster, &platform, &standin).await,
    ];
    apply(&cluster, &apps, &objects(&standin.url()));
    let bearer = cluster
        .token_of(apps.name(), "app", &["realtime-token.dev"])
        .await
        .unwrap();
    let ca = ca_of(&apps, "pooled").await;
    ca_of(&apps, "asked").await;

    let addresses = replicas.each_ref().map(|replica| replica.address);
    let caller = |address, name| Caller::new(address, &ca, apps.name(), name, &bearer).unwrap();
    // That the leader has written both Secrets says nothing of the other replica's watch.
    for (address, name) in addresses
        .iter()
        .flat_map(|address| ["asked", "pooled"].map(|name| (address, name)))
    {
        let caller = caller(*address, name);
        wait::until("a replica that knows the RealtimeToken", DEADLINE, async || {
            Ok((caller.ask("").await?.status != 404).then_some(()))
        })
        .await
        .unwrap();
    }
    let done = CancellationToken::new();
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        // Half of them ask for somebody, half take what is minted ahead.
        let subject = (nth % 2 == 0).then(|| format!("user-{nth}"));
        let name = if subject.is_some() { "asked" } else { "pooled" };
        let callers = addresses.map(|address| caller(address, name));
        clients.spawn(client(callers, subject, count / CLIENTS, nth));
    }
    let all_done = done.clone();
    let working = async {
        let received = clients.join_all().await;
        all_done.cancel();
        received.into_iter().flatten().collect::<Vec<_>>()
    };
    let (received, (), ()) = tokio::join!(
        working,
        disturb(&mut replicas, &standin, &done),
        mounted::watch(&apps, |_| done.is_cancelled()),
    );

    assert_eq!(received.len(), count / CLIENTS * CLIENTS);
    let mut owners: HashMap<&str, &Received> = HashMap::new();
    for one in &received {
        assert!(one.left >= MIN_REMAINING, "{} left", one.left);
        let before = owners.insert(&one.token, one);
        assert!(before.is_none(), "a token was handed out twice");
    }
    // What the provider knows of each of them: that it is its own, and for whom it was minted.
    let minted: HashMap<String, Option<String>> = standin
        .calls()
        .into_iter()
        .filter_map(|call| Some((call.token.clone()?, call.identity)))
        .collect();
    for one in &received {
        let whose = minted.get(&one.token).expect("a token that the provider never gave");
        assert_eq!(*whose, one.subject, "a token for somebody else");
    }
    assert_eq!(standin.complaints(), [""; 0]);
    for replica in &replicas {
        let logs = replica.operator.logs();
        assert!(
            !received.iter().any(|one| logs.contains(&one.token)),
            "a token is in the logs"
        );
    }
}

/// Asks until it was given so many tokens, in turn at both replicas.
async fn client(callers: [Caller; 2], subject: Option<String>, count: usize, nth: usize) -> Vec<Received> {
    let body = subject
        .as_ref()
        .map_or(String::new(), |subject| json!({"subject": subject}).to_string());
    let mut received = Vec::new();
    let mut turns = callers.iter().cycle().skip(nth % 2);
    while received.len() < count {
        let caller = turns.next().unwrap();
        // A replica that is gone, or an answer that says when to come again: on to the other one.
        let pause = match caller.ask(body.clone()).await {
            Ok(answer) if answer.status == 201 => {
                let end = Timestamp::from_millisecond(answer.body["expiresAt"].as_i64().unwrap()).unwrap();
                received.push(Received {
                    subject: subject.clone(),
                    token: answer.body["token"].as_str().unwrap().to_owned(),
                    left: end.duration_since(Timestamp::now()),
                });
                continue;
            }
            Ok(answer) => {
                let expected = [429, 502, 503, 504].contains(&answer.status);
                assert!(expected, "{}: {}", answer.status, answer.body);
                Duration::from_millis(200)
            }
            Err(_) => Duration::from_millis(50),
        };
        tokio::time::sleep(pause).await;
    }
    received
}

/// Kills one replica and drains the other, in turn, and has the provider limit and fail in between.
async fn disturb(replicas: &mut [Replica; 2], standin: &StandIn, done: &CancellationToken) {
    let [first, second] = replicas;
    let storm = async {
        loop {
            first.kill().await;
            standin.fail_next(3, Fault::throttled(1));
            second.drain().await;
            standin.fail_next(5, Fault::status(500));
            first.drain().await;
            second.kill().await;
        }
    };
    // To its end even if the clients are done before it has come round.
    tokio::select! {
        () = storm => {}
        () = done.cancelled() => {}
    }
    for replica in [first, second] {
        if replica.operator.wait_ready().await.is_err() {
            replica.operator = ready(&replica.builder).await;
        }
    }
}

async fn ca_of(apps: &Namespace, name: &str) -> String {
    let secrets: Api<Secret> = apps.api();
    let with_ca = |secret: &Secret| {
        secret
            .data
            .as_ref()
            .is_some_and(|data| data.contains_key("request-ca.crt"))
    };
    let secret = wait::object_when(&secrets, name, DEADLINE, with_ca).await.unwrap();
    String::from_utf8(secret.data.unwrap()["request-ca.crt"].0.clone()).unwrap()
}

fn apply(cluster: &Cluster, apps: &Namespace, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.json");
    std::fs::write(&file, list.to_string()).unwrap();
    let mut kubectl = cluster.kubectl().unwrap();
    let output = kubectl
        .args(["--namespace", apps.name(), "apply", "--filename"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn objects(provider: &str) -> Vec<Value> {
    let limit = json!({"requestsPerMinute": 60000, "burst": 1000});
    let requests = |subject: &str, ready: i64| {
        json!({
            "subject": subject, "ready": ready, "rateLimit": limit, "subjectRateLimit": limit,
            "minRemainingSeconds": MIN_REMAINING.as_secs(),
        })
    };
    let token = |name: &str, life: i64, extra: Value| {
        let mut spec = json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": provider, "reuse": "Multiple"},
            "credentials": {"secretRef": {"name": "openai"}},
            "expirationSeconds": life,
        });
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    let connection = json!({"content": "Connection"});
    let mut all = vec![
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"},
            "stringData": {"api-key": "sk-test-fake"},
        }),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "ask"},
            "rules": [{
                "apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"], "verbs": ["create"],
            }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "ask"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ask"},
            "subjects": [{"kind": "ServiceAccount", "name": "app"}],
        }),
        token(
            "asked",
            120,
            json!({"requests": requests("Required", 0), "target": connection}),
        ),
        token(
            "pooled",
            120,
            json!({"requests": requests("Ignored", 20), "target": connection}),
        ),
    ];
    all.extend(mounted::objects(provider));
    all
}
