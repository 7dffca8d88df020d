//! A cluster without the CRDs: what the operator does until they are there, and what `check` says: one line for what is
//! well, or one error that says what isn't.

use std::process::Command;

use testkit::cluster::{Cluster, Options};
use testkit::operator::Operator;
use testkit::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::world::{CRDS, DEADLINE};

const BINARY: &str = env!("CARGO_BIN_EXE_realtime-token-operator");

async fn check(cluster: &Cluster, url: &str, seconds: &str, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(BINARY);
    command
        .args(["check", "--operator-url", url, "--timeout-seconds", seconds])
        .args(args)
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("POD_NAMESPACE", "default");
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn it_says_what_is_missing_and_then_that_all_is_well() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let nobody = "http://127.0.0.1:9";
    let mut operator = Operator::builder(BINARY, cluster.kubeconfig())
        .namespace("default")
        .arg("--leader-elect")
        .arg("--lease-duration-seconds=6")
        .start()
        .unwrap();
    wait::until("the log to name what is missing", DEADLINE, async || {
        let logs = operator.logs();
        Ok(logs
            .contains("doesn't serve realtimetokens and clusterrealtimeproviders")
            .then_some(()))
    })
    .await
    .unwrap();

    let (ok, said) = check(&cluster, nobody, "1", &[]).await;
    assert!(!ok);
    assert!(
        said.starts_with("error: the API server doesn't serve realtimetokens of realtime-token.dev/v1alpha1: install"),
        "{said}"
    );

    cluster.apply_crds(CRDS).await.unwrap();
    let (ok, said) = check(&cluster, nobody, "1", &[]).await;
    assert!(!ok);
    assert!(
        said.starts_with("error: http://127.0.0.1:9/readyz can't be reached"),
        "{said}"
    );
    assert!(said.contains("refused"), "{said}");

    // The operator goes on by itself once they are there.
    operator.wait_ready().await.unwrap();
    let url = format!("http://{}/", operator.health_addr());
    let lease = ["--lease-name", "realtime-token-operator"];
    let (ok, said) = check(&cluster, &url, "30", &lease).await;
    assert!(ok, "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert_eq!(
        lines[0],
        "ok: the API server serves realtimetokens and clusterrealtimeproviders"
    );
    assert_eq!(lines[1], format!("ok: {url}readyz says that the operator is ready"));
    assert!(lines[2].starts_with("ok: "), "{said}");
    assert!(lines[2].ends_with(" holds the Lease realtime-token-operator"), "{said}");

    let (ok, said) = check(&cluster, &url, "1", &["--lease-name", "another"]).await;
    assert!(!ok);
    assert!(said.starts_with("error: no replica holds the Lease another:"), "{said}");

    // What the operator says of itself is passed on; and a Lease names a leader that is gone for ever.
    operator.kill().unwrap();
    let url = answering(["503 Service Unavailable", "200 OK"]).await;
    let (ok, said) = check(&cluster, &url, "1", &[]).await;
    assert!(!ok);
    assert_eq!(said, "error: the operator isn't ready: waiting for Secrets\n");
    let (ok, said) = check(&cluster, &url, "3", &lease).await;
    assert!(!ok);
    assert!(
        said.starts_with("error: no replica holds the Lease realtime-token-operator:"),
        "{said}"
    );
}

/// A server in the operator's place: the first of these answers to the first process that asks, and so on.
async fn answering(statuses: [&'static str; 2]) -> String {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    tokio::spawn(async move {
        for status in statuses {
            let body = "waiting for Secrets\n";
            let length = body.len();
            // A process asks over one connection.
            let (mut asks, _) = server.accept().await.unwrap();
            let mut request = [0; 1024];
            while asks.read(&mut request).await.is_ok_and(|n| n > 0) {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                asks.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    url
}
