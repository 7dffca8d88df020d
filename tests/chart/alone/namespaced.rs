//! `watchNamespaces`: the operator looks after those namespaces, and can't do otherwise.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde_json::json;
use testkit::cluster::{Audited, Options};
use testkit::helm::Major;

use super::rights::{all_is_allowed_and_used, lends_a_key, lives, loosen_the_crd, says_that_one_is_unreadable};
use super::setup::Setup;

const NAMESPACE: &str = "operators";

#[tokio::test]
async fn only_the_namespaces_of_the_list_are_watched() {
    let setup = Setup::start(Options {
        audit: true,
        ..Options::default()
    })
    .await;
    setup.namespace(NAMESPACE, json!({})).await;
    let (shop, clinic, foreign) = tokio::join!(setup.tenant("shop"), setup.tenant("clinic"), setup.tenant("foreign"));
    let helm = setup.helm(Major::Four);
    let mut values = json!({"watchNamespaces": ["shop", "clinic"], "clusterProviders": false});
    setup.install(&helm, NAMESPACE, &values);
    assert_eq!(setup.cluster_roles().await, [""; 0]);
    let mut operator = setup.operator(NAMESPACE).await;
    setup.check(&helm, NAMESPACE, &operator).await;
    foreign.create("voice", foreign.own()).await;
    tokio::join!(lives(&shop), lives(&clinic));
    loosen_the_crd(&setup).await;
    tokio::join!(says_that_one_is_unreadable(&shop), says_that_one_is_unreadable(&clinic));

    let mut requests = setup.asked_by_operator(NAMESPACE);
    requests.retain(|it| !it.resource.is_empty()); // the check asks which kinds are served
    let places: BTreeSet<&str> = requests.iter().map(|it| &*it.namespace).collect();
    assert_eq!(places, BTreeSet::from(["shop", "clinic", NAMESPACE]));
    let at_home: BTreeSet<&str> = requests
        .iter()
        .filter(|it| it.namespace == NAMESPACE)
        .map(|it| &*it.resource)
        .collect();
    assert_eq!(at_home, BTreeSet::from(["leases"]));
    print("clusterProviders: false", &requests);
    all_is_allowed_and_used(&setup, &operator, NAMESPACE).await;

    // With ClusterRealtimeProviders too: those are cluster-wide, their keys in the operator's own namespace.
    values["clusterProviders"] = json!(true);
    values["crds"] = json!({"install": false}); // this test has edited them
    setup.install(&helm, NAMESPACE, &values);
    operator.sigterm().unwrap();
    operator.wait_exit(super::tenant::SOON).await.unwrap();
    let before = setup.asked_by_operator(NAMESPACE).len();
    let operator = setup.operator(NAMESPACE).await;
    lends_a_key(&setup, &shop, NAMESPACE).await;
    let requests = setup.asked_by_operator(NAMESPACE).split_off(before);
    let everywhere: BTreeSet<&str> = requests
        .iter()
        .filter(|it| it.namespace.is_empty() && !it.resource.is_empty()) // the start asks what is served
        .map(|it| &*it.resource)
        .collect();
    let cluster_wide = [
        "clusterrealtimeproviders",
        "clusterrealtimeproviders/status",
        "namespaces",
    ];
    assert_eq!(everywhere, BTreeSet::from(cluster_wide));
    let names = requests.iter().filter(|it| it.resource == "namespaces");
    let names: BTreeSet<&str> = names.map(|it| &*it.name).collect();
    assert_eq!(names, BTreeSet::from(["shop", "clinic"]), "no other namespace by name");
    print("clusterProviders: true", &requests);
    all_is_allowed_and_used(&setup, &operator, NAMESPACE).await;

    // Nothing of all this was another namespace's business.
    assert_eq!(foreign.tokens().get("voice").await.unwrap().status, None);
    assert!(foreign.secrets().get_opt("voice").await.unwrap().is_none());
    let all = setup.asked_by_operator(NAMESPACE);
    assert!(!all.iter().any(|it| it.uri.contains("foreign")));

    // A second release looks after it, beside the first.
    setup.namespace("others", json!({})).await;
    let values = json!({
        "watchNamespaces": ["foreign"], "clusterProviders": false, "crds": {"install": false},
    });
    setup.install(&helm, "others", &values);
    let second = setup.operator("others").await;
    foreign.revision("voice", 1).await;
    let asked = setup.asked_by_operator("others");
    let of_objects = asked.iter().filter(|it| !it.resource.is_empty());
    let places: BTreeSet<&str> = of_objects.map(|it| &*it.namespace).collect();
    assert_eq!(places, BTreeSet::from(["foreign", "others"]));
    setup.check(&helm, "others", &second).await;
}

/// What was listed and watched, for the test's output.
fn print(mode: &str, requests: &[Audited]) {
    let looks: BTreeSet<String> = requests
        .iter()
        .filter(|it| matches!(&*it.verb, "list" | "watch"))
        .map(|it| {
            let path = it.uri.split('?').next().unwrap_or_default();
            let selector = it.uri.split(['?', '&']).find(|part| part.contains("Selector="));
            format!("{:5} {path} {}", it.verb, selector.unwrap_or_default())
        })
        .collect();
    assert!(looks.len() > 4, "{looks:?}");
    let mut out = std::io::stdout();
    for look in looks {
        writeln!(out, "watchNamespaces: [shop, clinic], {mode}: {look}").unwrap();
    }
}
