//! The roles view, edit and admin with what the chart adds to them: people ask, and the API server answers.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use realtime_token_operator::api::{ClusterRealtimeProvider, RealtimeToken};
use serde_json::json;
use testkit::wait;

use super::setup::Setup;
use super::tenant::{SOON, Tenant};

/// The namespace that the people have their rights in.
const NAMESPACE: &str = "office";

/// In a cluster with a release, and before an operator runs that would answer what is created here.
pub async fn who_may_do_what(setup: &Setup) {
    let tenant = setup.tenant(NAMESPACE).await;
    for role in ["view", "edit", "admin"] {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={role}er"));
        setup.kubectl(&["create", "rolebinding", &user[7..], "-n", NAMESPACE, &role, &user]);
    }
    // An administrator of all namespaces, who is no cluster-admin.
    setup.kubectl(&[
        "create",
        "clusterrolebinding",
        "all",
        "--clusterrole=admin",
        "--user=all",
    ]);
    wait_for_aggregation(setup).await;

    let tokens = "realtimetokens.realtime-token.dev";
    let providers = "clusterrealtimeproviders.realtime-token.dev";
    let reads = ["get", "list", "watch"];
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    for verb in reads {
        setup.may("viewer", verb, tokens, true).await;
        setup.may("viewer", verb, "secrets", false).await;
        setup.may("editer", verb, tokens, true).await;
        setup.may("stranger", verb, tokens, false).await;
    }
    for verb in writes {
        setup.may("viewer", verb, tokens, false).await;
        setup.may("editer", verb, tokens, true).await;
        setup.may("adminer", verb, tokens, true).await;
        for user in ["viewer", "editer", "adminer", "all"] {
            setup.may(user, verb, providers, false).await;
        }
        // What the operator says of a token is its own to say.
        let status = "realtimetokens.realtime-token.dev/status";
        setup.may("adminer", verb, status, false).await;
        setup.may("system:admin-of-the-cluster", verb, providers, true).await;
    }
    // Tokens on request are for whom they were granted to by name.
    let requests = "realtimetokens.realtime-token.dev/token";
    for user in ["viewer", "editer", "adminer", "all", "stranger"] {
        setup.may(user, "create", requests, false).await;
    }
    nobody_grants_what_they_lack(setup).await;

    // And so it is with real requests.
    let editor = setup.client_of("editer").await;
    let own = serde_json::from_value(Tenant::manifest("voice", tenant.own())).unwrap();
    let tokens = Api::<RealtimeToken>::namespaced(editor.clone(), NAMESPACE);
    tokens.create(&PostParams::default(), &own).await.unwrap();
    let viewer = setup.client_of("viewer").await;
    let seen = Api::<RealtimeToken>::namespaced(viewer.clone(), NAMESPACE);
    assert_eq!(seen.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let secrets = Api::<Secret>::namespaced(viewer.clone(), NAMESPACE);
    forbidden(secrets.get("openai").await);
    forbidden(secrets.list(&ListParams::default()).await);
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    forbidden(seen.patch("voice", &PatchParams::default(), &suspend).await);
    tokens.patch("voice", &PatchParams::default(), &suspend).await.unwrap();
    let provider: ClusterRealtimeProvider = serde_json::from_value(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "mine"},
        "spec": {"openai": {}, "credentials": {"secretRef": {"name": "openai"}}, "namespaceSelector": {}},
    }))
    .unwrap();
    let lent = Api::<ClusterRealtimeProvider>::all(setup.client_of("all").await);
    forbidden(lent.create(&PostParams::default(), &provider).await);
    tokens.delete("voice", &DeleteParams::default()).await.unwrap();
}

/// The right to ask for tokens doesn't come with the right to write Roles.
async fn nobody_grants_what_they_lack(setup: &Setup) {
    let role: Role = serde_json::from_value(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "request-voice-tokens"},
        "rules": [{
            "apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"],
            "resourceNames": ["voice"], "verbs": ["create"],
        }],
    }))
    .unwrap();
    let roles = async |user| Api::<Role>::namespaced(setup.client_of(user).await, NAMESPACE);
    let params = PostParams::default();
    forbidden(roles("adminer").await.create(&params, &role).await);
    let allowed = roles("system:admin-of-the-cluster").await.create(&params, &role).await;
    allowed.unwrap();
}

impl Setup {
    /// A client of a user, who is a cluster-admin only by that name.
    pub async fn client_of(&self, user: &str) -> Client {
        let groups: &[&str] = match user {
            "system:admin-of-the-cluster" => &["system:masters"],
            _ => &["system:authenticated"],
        };
        let config = self.cluster.config_as(user, groups).await.unwrap();
        Client::try_from(config).unwrap()
    }

    /// What `kubectl auth can-i` would say, in [`NAMESPACE`].
    async fn may(&self, user: &str, verb: &str, resource: &str, expected: bool) {
        use k8s_openapi::api::authorization::v1::{
            ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
        };
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(NAMESPACE.to_owned()),
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = Api::<SelfSubjectAccessReview>::all(self.client_of(user).await)
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        let allowed = answer.status.unwrap().allowed;
        assert_eq!(allowed, expected, "{user} {verb} {resource}/{subresource}");
    }
}

fn forbidden<T>(answer: kube::Result<T>) {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was allowed"),
    }
}

/// A controller copies the rules into `view`, `edit` and `admin`.
async fn wait_for_aggregation(setup: &Setup) {
    let roles: Api<ClusterRole> = Api::all(setup.client.clone());
    for name in ["view", "edit", "admin"] {
        wait::object_when(&roles, name, SOON, |role: &ClusterRole| {
            let rules = role.rules.iter().flatten();
            rules
                .flat_map(|rule| rule.resources.iter().flatten())
                .any(|resource| resource == "realtimetokens")
        })
        .await
        .unwrap();
    }
}
