//! What the chart grants, and whom.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::chart::{NAME, NAMESPACE, Objects, file, render};

/// Every right of the operator's ServiceAccount, a line for each verb: `namespace|* group/resource[names] verb`.
fn rights(objects: &Objects) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for (binding, role, scope) in [
        ("ClusterRoleBinding", "ClusterRole", Some("*")),
        ("RoleBinding", "Role", None),
    ] {
        for bound in objects.all(binding) {
            assert_eq!(
                bound["subjects"],
                json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]),
                "nobody else gets anything"
            );
            let reference = &bound["roleRef"];
            assert_eq!(reference["kind"], role);
            let granted = objects.all(role).into_iter().find(|it| {
                it["metadata"]["name"] == reference["name"]
                    && it["metadata"]["namespace"] == bound["metadata"]["namespace"]
            });
            let scope = scope.unwrap_or_else(|| bound["metadata"]["namespace"].as_str().unwrap());
            for rule in granted.unwrap()["rules"].as_array().unwrap() {
                rights.extend(lines(rule).map(|line| format!("{scope} {line}")));
            }
        }
    }
    rights
}

fn lines(rule: &Value) -> impl Iterator<Item = String> {
    let list = |key: &str| -> Vec<String> {
        let values = rule[key].as_array().cloned().unwrap_or_default();
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let names = list("resourceNames");
    let names = if names.is_empty() {
        String::new()
    } else {
        format!("[{}]", names.join(","))
    };
    let mut lines = Vec::new();
    for group in list("apiGroups") {
        for resource in list("resources") {
            for verb in list("verbs") {
                lines.push(format!("{group}/{resource}{names} {verb}"));
            }
        }
    }
    lines.into_iter()
}

/// `scope group/resource verb,verb` of each line, spread out.
fn expected(lines: &[&str]) -> BTreeSet<String> {
    let spread = lines.iter().flat_map(|line| {
        let (what, verbs) = line.rsplit_once(' ').unwrap();
        verbs.split(',').map(move |verb| format!("{what} {verb}"))
    });
    spread.collect()
}

const LEASE: [&str; 2] = [
    "platform coordination.k8s.io/leases create",
    "platform coordination.k8s.io/leases[realtime-token-operator] get,update",
];

#[test]
fn cluster_wide_it_may_do_what_it_does_and_no_more() {
    let mut all = vec![
        "* realtime-token.dev/realtimetokens list,watch",
        "* realtime-token.dev/realtimetokens/status patch",
        "* /secrets get,list,watch,create,patch",
        "* events.k8s.io/events create,patch",
        "* realtime-token.dev/clusterrealtimeproviders list,watch",
        "* realtime-token.dev/clusterrealtimeproviders/status patch",
        "* /namespaces list,watch",
    ];
    let own = expected(&all[..4]);
    all.extend(LEASE);
    assert_eq!(rights(&render(json!({}))), expected(&all));
    let without = render(json!({"clusterProviders": false, "replicas": 1, "leaderElection": {"enabled": false}}));
    assert_eq!(rights(&without), own);
}

#[test]
fn with_namespaces_it_reaches_no_secret_elsewhere() {
    let objects = render(json!({"watchNamespaces": ["shop", "lab"]}));
    let mut all = Vec::new();
    for namespace in ["shop", "lab"] {
        all.extend([
            format!("{namespace} realtime-token.dev/realtimetokens list,watch"),
            format!("{namespace} realtime-token.dev/realtimetokens/status patch"),
            format!("{namespace} /secrets get,list,watch,create,patch"),
            format!("{namespace} events.k8s.io/events create,patch"),
        ]);
    }
    let mut all: Vec<_> = all.iter().map(String::as_str).collect();
    all.extend(LEASE);
    all.extend([
        // The keys of ClusterRealtimeProviders, and the objects themselves.
        "platform /secrets get,list,watch",
        "* realtime-token.dev/clusterrealtimeproviders list,watch",
        "* realtime-token.dev/clusterrealtimeproviders/status patch",
        "* /namespaces[shop,lab] list,watch",
        // Events about what has no namespace are in this one.
        "default events.k8s.io/events create,patch",
    ]);
    assert_eq!(rights(&objects), expected(&all));
}

/// Authentication of scrapers takes both reviews, wherever the operator works, and offers a role to bind them to.
#[test]
fn metrics_with_authentication_take_reviews_and_offer_a_role() {
    for values in [
        json!({}),
        json!({"watchNamespaces": ["shop"], "clusterProviders": false}),
    ] {
        let mut with = values.clone();
        with["metrics"] = json!({"authentication": true});
        let objects = render(with);
        let granted = rights(&objects);
        let more: Vec<_> = granted.difference(&rights(&render(values))).cloned().collect();
        assert_eq!(
            more,
            [
                "* authentication.k8s.io/tokenreviews create",
                "* authorization.k8s.io/subjectaccessreviews create"
            ]
        );
        let roles = objects.all("ClusterRole");
        let reader = roles
            .iter()
            .find(|role| role["metadata"]["name"] == format!("{NAME}-metrics-reader"));
        assert_eq!(
            reader.unwrap()["rules"],
            json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}])
        );
    }
}

/// It deletes none, but there are API servers that ask for this right when an owner changes.
#[test]
fn secrets_may_be_deleted_only_where_that_is_asked_for() {
    let granted = rights(&render(json!({"rbac": {"deleteSecrets": true}})));
    let more: Vec<_> = granted.difference(&rights(&render(json!({})))).cloned().collect();
    assert_eq!(more, ["* /secrets delete"]);
}

/// Never of every ServiceAccount, and of none unless named.
#[test]
fn tokens_are_requested_of_named_service_accounts_only() {
    let named = json!({"serviceAccountNames": ["voice", "speech", "voice"]});
    let more = |values: Value| {
        let mut with = values.clone();
        with["workloadIdentity"] = named.clone();
        let granted = rights(&render(with));
        granted
            .difference(&rights(&render(values)))
            .cloned()
            .collect::<Vec<_>>()
    };
    let right = "/serviceaccounts/token[voice,speech] create";
    assert_eq!(more(json!({})), [format!("* {right}")]);
    assert_eq!(
        more(json!({"watchNamespaces": ["shop", "lab"]})),
        ["lab", "platform", "shop"].map(|namespace| format!("{namespace} {right}"))
    );
    let without = json!({"watchNamespaces": ["shop"], "clusterProviders": false});
    assert_eq!(more(without), [format!("shop {right}")]);
}

/// Neither review can be granted for a namespace: with namespaces too it takes a ClusterRole.
#[test]
fn requests_take_reviews_and_one_secret() {
    let requests = |mut values: Value| {
        let without = rights(&render(values.clone()));
        values["requests"]["enabled"] = json!(true);
        let granted = rights(&render(values));
        assert!(granted.is_superset(&without));
        granted.difference(&without).cloned().collect::<BTreeSet<_>>()
    };
    let reviews = [
        "* authentication.k8s.io/tokenreviews create",
        "* authorization.k8s.io/subjectaccessreviews create",
    ];
    let own = [
        "platform /secrets[realtime-token-operator-requests-tls] list,watch,update",
        "platform /secrets create",
    ];
    assert_eq!(requests(json!({})), expected(&[reviews, own].concat()));
    let namespaces = json!({"watchNamespaces": ["shop"], "clusterProviders": false});
    assert_eq!(requests(namespaces), expected(&[reviews, own].concat()));
    let cert_manager = requests(json!({"requests": {"tls": {"secretName": "from-cert-manager"}}}));
    let read = ["platform /secrets[from-cert-manager] list,watch"];
    assert_eq!(
        cert_manager,
        expected(&[&reviews[..], &read].concat()),
        "others keep it"
    );
}

/// Of one RealtimeToken, and only while `helm test` asks it.
#[test]
fn the_operator_may_ask_for_a_token_only_where_helms_test_does() {
    let mut values = json!({"requests": {"enabled": true}});
    let without = rights(&render(values.clone()));
    assert!(!without.iter().any(|right| right.contains("realtimetokens/token")));
    values["helmTest"] = json!({"realtimeToken": "shop/voice"});
    let objects = render(values.clone());
    let more: Vec<_> = rights(&objects).difference(&without).cloned().collect();
    assert_eq!(more, ["shop realtime-token.dev/realtimetokens/token[voice] create"]);
    for kind in ["Role", "RoleBinding"] {
        let hook = objects.named(kind, "realtime-token-operator-test");
        let annotations = json!({
            "helm.sh/hook": "test",
            "helm.sh/hook-weight": "-1",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        });
        assert_eq!(hook["metadata"]["annotations"], annotations, "{kind}");
    }
    values["service"] = json!({"enabled": false});
    assert!(rights(&render(values)).is_subset(&without), "no pod that would ask");
}

/// Asking for tokens is granted by name. Being an editor or administrator of a namespace does not include it.
#[test]
fn no_role_for_people_asks_for_tokens() {
    for (case, values) in crate::valid::combinations() {
        for role in render(values).all("ClusterRole") {
            let rules = role["rules"].as_array().unwrap();
            let asks = rules
                .iter()
                .flat_map(lines)
                .find(|line| line.contains("realtimetokens/"));
            let name = role["metadata"]["name"].as_str().unwrap();
            assert!(
                asks.as_deref()
                    .is_none_or(|line| line == "realtime-token.dev/realtimetokens/status patch"),
                "{asks:?} of {name} in {case}"
            );
        }
    }
}

/// For teams with rights on namespaces only, who can't create a ClusterRole.
#[test]
fn without_cluster_providers_there_is_nothing_of_the_cluster() {
    let values = json!({"watchNamespaces": ["shop"], "clusterProviders": false, "crds": {"install": false}});
    let objects = render(values);
    for kind in ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"] {
        assert_eq!(objects.all(kind).len(), 0, "{kind}");
    }
    let namespaces: BTreeSet<_> = objects
        .0
        .iter()
        .map(|it| it["metadata"]["namespace"].as_str())
        .collect();
    assert_eq!(namespaces, [Some("platform"), Some("shop")].into());
    assert!(objects.args().contains(&"--no-cluster-providers"));
    assert!(objects.args().contains(&"--watch-namespaces=shop"));
    let test = objects.one("Pod")["spec"]["containers"][0]["args"].to_string();
    assert!(test.contains("--no-cluster-providers"), "{test}");
}

/// The operator's own namespace may be one of them; no two Roles have one name then.
#[test]
fn the_own_namespace_may_be_watched_too() {
    let objects = render(json!({"watchNamespaces": ["platform", "shop", "platform"]}));
    let titles = objects.titles();
    let distinct: BTreeSet<_> = titles.iter().collect();
    assert_eq!(titles.len(), distinct.len(), "{titles:#?}");
    assert!(objects.args().contains(&"--watch-namespaces=platform,shop"));
    assert!(rights(&objects).contains("platform /secrets create"));
}

/// Nothing that the chart makes asks for a wildcard, deletes anything, or impersonates.
#[test]
fn no_role_is_mighty() {
    for (case, values) in crate::valid::combinations() {
        for line in rights(&render(values)) {
            for mighty in [
                "*/",
                "/*",
                "delete",
                "deletecollection",
                "escalate",
                "bind",
                "impersonate",
                "pods",
                "tokens/approval",
            ] {
                assert!(!line[2..].contains(mighty), "{line} of {case}");
            }
        }
    }
}

#[test]
fn whoever_views_a_namespace_views_tokens_and_no_secrets() {
    let objects = render(json!({}));
    let role = |part: &str| objects.named("ClusterRole", &format!("{NAME}-{part}")).clone();
    let aggregated = |role: &Value| -> Vec<String> {
        let labels = role["metadata"]["labels"].as_object().unwrap();
        let prefix = "rbac.authorization.k8s.io/aggregate-to-";
        let to = labels.iter().filter(|(_, value)| **value == "true");
        to.filter_map(|(key, _)| key.strip_prefix(prefix).map(str::to_owned))
            .collect()
    };
    let granted =
        |role: &Value| -> BTreeSet<String> { role["rules"].as_array().unwrap().iter().flat_map(lines).collect() };
    let (view, edit) = (role("view"), role("edit"));
    assert_eq!(aggregated(&view), ["view", "edit", "admin"]);
    assert_eq!(
        granted(&view),
        expected(&["realtime-token.dev/realtimetokens get,list,watch"])
    );
    assert_eq!(aggregated(&edit), ["edit", "admin"]);
    assert_eq!(
        granted(&edit),
        expected(&["realtime-token.dev/realtimetokens create,update,patch,delete,deletecollection"])
    );
    // The operator's own role is aggregated into no other.
    assert!(aggregated(objects.named("ClusterRole", NAME)).is_empty());
    assert_eq!(
        render(json!({"rbac": {"aggregate": false}})).all("ClusterRole").len(),
        1
    );
}

#[test]
fn rights_and_account_can_be_somebody_elses() {
    let objects = render(json!({
        "rbac": {"create": false},
        "serviceAccount": {"create": false, "name": "mine"},
        "watchNamespaces": ["shop"],
    }));
    for kind in [
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ] {
        assert_eq!(objects.all(kind).len(), 0, "{kind}");
    }
    assert_eq!(objects.pod()["serviceAccountName"], "mine");
    assert_eq!(objects.one("Pod")["spec"]["serviceAccountName"], "mine");
}

/// docs/security.md explains the rights verb by verb, and shows them.
#[test]
fn the_documentation_shows_the_rights_that_are_granted() {
    let text = file("docs/security.md");
    let (_, rest) = text.split_once("## What the operator may do").unwrap();
    let yaml = rest
        .split("```")
        .nth(1)
        .and_then(|block| block.strip_prefix("yaml\n"))
        .unwrap();
    let shown: Value = serde_saphyr::from_str(yaml).unwrap();
    let objects = render(json!({}));
    let spread = |rules: &Value| -> BTreeSet<String> { rules.as_array().unwrap().iter().flat_map(lines).collect() };
    assert_eq!(
        spread(&shown["rules"]),
        spread(&objects.named("ClusterRole", NAME)["rules"])
    );
}
