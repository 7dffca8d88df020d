//! Whether an operator watches a cluster, as `kubectl realtime-token check` says: of the one behind a URL, asked from its
//! own cluster and from another one, and of one that stands in the cluster, by its Lease.

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testkit::ports;

use super::{Replica, Site};
use crate::cli::kubectl::Plugin;
use crate::world::world;

const LEASE: [&str; 2] = ["--leader-elect", "--lease-duration-seconds=6"];

/// A replica under a URL that this machine reaches.
async fn replica(site: &Site) -> (Replica, String) {
    let address = ports::free().unwrap();
    let url = format!("https://localhost:{}", address.port());
    let builder = site.builder(&LEASE);
    let builder = builder.arg(format!("--requests-listen={address}"));
    let operator = builder.arg(format!("--requests-url={url}")).start().unwrap();
    (site.ready(Replica { address, operator }).await, url)
}

/// The line about this, with one space between its cells.
fn line(said: &str, what: &str) -> String {
    let found = said.lines().find(|line| line.starts_with(what));
    let line = found.unwrap_or_else(|| panic!("nothing about {what}:\n{said}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// In a namespace with the ServiceAccount that a controller makes in each namespace of a whole cluster.
async fn plugin(kubeconfig: &Path, namespace: &str) -> Plugin {
    let plugin = Plugin::new(kubeconfig, namespace).await;
    let made = plugin.kubectl(&["create", "serviceaccount", "default"]).await;
    assert!(made.code == Some(0) || made.err.contains("already exists"), "{made:?}");
    plugin
}

#[tokio::test]
async fn the_operator_behind_a_url_knows_the_tokens_of_its_own_cluster_alone() {
    let site = Site::new().await;
    let (_replica, url) = replica(&site).await;
    site.token("voice", json!({"subject": "Ignored"}));
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), site.ca("voice").await).unwrap();
    let (what, ca) = (format!("operator at {url}"), ca.path().to_str().unwrap());
    let by_url = ["check", "--url", &url, "--ca", ca];

    let here = plugin(site.cluster.kubeconfig(), site.apps.name()).await;
    for args in [&["check", "voice"][..], &by_url] {
        let said = here.say(args).await;
        let line = line(&said.out, &what);
        let expected = format!("{what} watches this cluster ok: it knows the tokens of https://");
        assert!(line.starts_with(&expected), "{said:?}");
    }
    // By an account with the right to ask any RealtimeToken, it is the same.
    let said = here.say(&["check", "voice", "--service-account", "app"]).await;
    assert!(
        line(&said.out, &what).contains(" watches this cluster ok: "),
        "{said:?}"
    );
    assert_eq!(site.standin.count(), 0, "a token was minted");

    let other = world().await;
    let elsewhere = other.cluster.namespace("elsewhere").await.unwrap();
    let there = plugin(other.cluster.kubeconfig(), elsewhere.name()).await;
    let said = there.say(&by_url).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let line_there = line(&said.out, &what);
    let expected = format!("{what} does NOT watch this cluster it doesn't know the tokens of https://");
    assert!(line_there.starts_with(&expected), "{said:?}");
    assert!(
        line_there.contains(": use the URL of this cluster's operator"),
        "{said:?}"
    );

    // What can't be asked is said as such.
    let said = here.say(&["check", "--url", "https://localhost:1", "--ca", ca]).await;
    let nobody = line(&said.out, "operator at https://localhost:1");
    assert!(
        nobody.contains(" unknown https://localhost:1/") && nobody.contains("can't be reached"),
        "{said:?}"
    );
    let said = here.say(&["check", "--url", "http://localhost:1"]).await;
    said.fails(1, "`http://localhost:1` is not a URL that begins with https://");
    let said = here.say(&["check", "voice", "--service-account", "nobody"]).await;
    let missing = line(&said.out, &what);
    let expected = format!(" unknown there is no ServiceAccount {}/nobody: ", site.apps.name());
    assert!(missing.contains(&expected), "{said:?}");
}

#[tokio::test]
async fn an_operator_that_renews_its_lease_here_watches_this_cluster() {
    let site = Site::new().await;
    let (mut replica, _) = replica(&site).await;
    let (namespace, apps) = (site.platform.name(), site.apps.name());
    let labels = json!({
        "app.kubernetes.io/part-of": "realtime-token-operator", "app.kubernetes.io/component": "operator",
        "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
    });
    // What the chart makes. Its pod is the process above.
    site.apply_in(
        namespace,
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rto", "labels": labels},
            "spec": {
                "selector": {"matchLabels": {"app": "rto"}},
                "template": {
                    "metadata": {"labels": {"app": "rto"}},
                    "spec": {"containers": [{
                        "name": "operator", "image": "rto",
                        "args": ["run", format!("--watch-namespaces={apps}"), "--leader-elect"],
                    }]},
                },
            },
        }),
    );
    let deployments: Api<Deployment> = site.platform.api();
    let ready = json!({"status": {"replicas": 1, "readyReplicas": 1}});
    let (params, ready) = (PatchParams::default(), Patch::Merge(ready));
    deployments.patch_status("rto", &params, &ready).await.unwrap();
    let plugin = Plugin::new(site.cluster.kubeconfig(), apps).await;
    let (what, lease) = (
        format!("watched by {namespace}/rto"),
        format!("Lease {namespace}/realtime-token-operator"),
    );

    let said = plugin.say(&["check"]).await;
    let watched = line(&said.out, &what);
    assert!(watched.starts_with(&format!("{what} {apps} ok: ")), "{said:?}");
    assert!(watched.ends_with(&format!(" has just renewed {lease}")), "{said:?}");

    replica.operator.kill().unwrap();
    let said = plugin.say(&["check"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let gone = line(&said.out, &what);
    assert!(
        gone.contains(&format!(" holds {lease} and hasn't renewed it for 6 s: ")),
        "{said:?}"
    );
    assert!(
        gone.ends_with(&format!("kubectl logs -n {namespace} deployment/rto")),
        "{said:?}"
    );
}
