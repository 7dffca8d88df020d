//! Who gets a token: what the API server says of the caller, and nobody without its answer.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use rcgen::KeyPair;
use serde_json::{Value, json};
use testkit::wait;

use super::{AUDIENCE, REVIEWS_ARE_KEPT, Site, rights, said, token_of, until_status};
use crate::world::DEADLINE;

#[tokio::test]
async fn plain_rbac_says_who_may_ask() {
    let site = Site::new().await;
    let replica = site.replica(&[]).await;
    let many = json!({"requestsPerMinute": 600, "burst": 50});
    site.token("voice", json!({"subject": "Ignored", "rateLimit": many}));
    site.token("private", json!({"subject": "Ignored"}));
    site.apply(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "mounted"},
        "spec": {
            "openai": {"model": "gpt-realtime-2.1", "endpoint": site.standin.url()},
            "credentials": {"secretRef": {"name": "openai"}},
        },
    }));
    let app = site.caller(&replica, "app", "voice").await;
    let (one, other) = (app.ask("").await.unwrap(), app.ask("").await.unwrap());
    assert_ne!(token_of(&one), token_of(&other), "each request gets a token of its own");
    let fields: Vec<&String> = one.body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["provider", "token", "expiresAt", "config"]);

    // Neither a right on the RealtimeToken itself nor none at all opens the door, whether there is one or not.
    site.account("owner", &["realtimetokens", "realtimetokens/status"]);
    for name in ["voice", "private", "mounted", "missing"] {
        let answer = site.caller(&replica, "owner", name).await.ask("").await.unwrap();
        assert_eq!(said(&answer), (403, "Forbidden"), "{name}");
    }
    // With the right, one that isn't there and one that serves none look alike.
    let mut words = Vec::new();
    for name in ["mounted", "missing"] {
        let answer = site.caller(&replica, "app", name).await.ask("").await.unwrap();
        assert_eq!(said(&answer), (404, "NotFound"), "{name}");
        words.push(answer.body.to_string().replace(name, "…"));
    }
    assert_eq!(words[0], words[1]);

    // A Role can name one RealtimeToken.
    site.account("one", &["realtimetokens/token"]);
    site.apply(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "one"},
        "rules": [{
            "apiGroups": [AUDIENCE], "resources": ["realtimetokens/token"], "resourceNames": ["voice"],
            "verbs": ["create"],
        }],
    }));
    token_of(&site.caller(&replica, "one", "voice").await.ask("").await.unwrap());
    let answer = site.caller(&replica, "one", "private").await.ask("").await.unwrap();
    assert_eq!(said(&answer), (403, "Forbidden"));

    // A ServiceAccount of the same name elsewhere is another one.
    let others = site.cluster.namespace("others").await.unwrap();
    site.apply_in(
        others.name(),
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}}),
    );
    let foreign = site.cluster.token_of(others.name(), "app", &[AUDIENCE]).await.unwrap();
    let answer = site
        .caller_with(&replica, "voice", foreign)
        .await
        .ask("")
        .await
        .unwrap();
    assert_eq!(said(&answer), (403, "Forbidden"));
    let minted = site.standin.count();
    assert_eq!(minted, 4, "one in mounted's Secret, and those that were handed out");

    // All that with the operator's own ServiceAccount and what the chart grants it.
    let operator = format!("system:serviceaccount:{}:{}", site.platform.name(), rights::RELEASE);
    let mut requests = site.cluster.audit().unwrap();
    requests.retain(|request| request.user == operator);
    for review in ["tokenreviews", "subjectaccessreviews"] {
        assert!(requests.iter().any(|request| request.resource == review), "no {review}");
    }
    requests.retain(|request| request.code == 403);
    assert!(requests.is_empty(), "{requests:?}");
}

#[tokio::test]
async fn a_token_for_others_or_none_at_all_is_refused() {
    let site = Site::new().await;
    let replica = site.replica(&[]).await;
    site.token("voice", json!({"subject": "Ignored"}));
    let mut bearers = vec![String::new(), "hello".to_owned(), "a.b.c".to_owned()];
    for audiences in [&["vault"][..], &[]] {
        let bearer = site.cluster.token_of(site.apps.name(), "app", audiences).await;
        bearers.push(bearer.unwrap());
    }
    let bearer = site.bearer("app").await;
    bearers.push(signed_earlier(&site, &bearer, 7200));
    // With a changed signature.
    let mut forged = site.bearer("app").await;
    let last = forged.len() - 10;
    forged.replace_range(last..=last, if &forged[last..=last] == "A" { "B" } else { "A" });
    bearers.push(forged);
    for bearer in bearers {
        let shown = bearer.chars().take(8).collect::<String>();
        let answer = site.caller_with(&replica, "voice", bearer).await.ask("").await.unwrap();
        assert_eq!(said(&answer), (401, "Unauthenticated"), "{shown}: {}", answer.body);
    }
    assert_eq!(site.standin.count(), 0);
    // It was the time that was wrong, not the signature.
    let signed = signed_earlier(&site, &bearer, 60);
    token_of(&site.caller_with(&replica, "voice", signed).await.ask("").await.unwrap());
}

/// The same token as the API server would have signed it so many seconds ago.
fn signed_earlier(site: &Site, bearer: &str, seconds: i64) -> String {
    let (head, rest) = bearer.split_once('.').unwrap();
    let (claims, _) = rest.split_once('.').unwrap();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    for claim in ["iat", "nbf", "exp"] {
        claims[claim] = json!(claims[claim].as_i64().unwrap() - seconds);
    }
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = site.cluster.kubeconfig().with_file_name("service-accounts.key");
    let key = KeyPair::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der()).unwrap();
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_role_that_is_taken_away_bites_within_seconds() {
    let site = Site::new().await;
    let replica = site.replica(&[]).await;
    let many = json!({"requestsPerMinute": 60000, "burst": 1000});
    site.token("voice", json!({"subject": "Ignored", "rateLimit": many, "ready": 5}));
    let app = site.caller(&replica, "app", "voice").await;
    token_of(&app.ask("").await.unwrap());
    let mut kubectl = site.cluster.kubectl().unwrap();
    kubectl.args(["--namespace", site.apps.name(), "delete", "rolebinding", "app"]);
    assert!(kubectl.output().unwrap().status.success());
    let took = until_status(&app, 403).await;
    assert!(took < REVIEWS_ARE_KEPT, "{took:?}");
    site.account("app", &["realtimetokens/token"]);
    let took = until_status(&app, 201).await;
    assert!(took < REVIEWS_ARE_KEPT, "{took:?}");
}

#[tokio::test]
async fn the_token_of_a_pod_is_good_for_as_long_as_the_pod() {
    let site = Site::new().await;
    let replica = site.replica(&[]).await;
    let many = json!({"requestsPerMinute": 60000, "burst": 1000});
    site.token("voice", json!({"subject": "Ignored", "rateLimit": many, "ready": 5}));
    let pods: Api<Pod> = site.apps.api();
    let pod = json!({
        "metadata": {"name": "app-0"},
        "spec": {
            "serviceAccountName": "app", "automountServiceAccountToken": false,
            "containers": [{"name": "app", "image": "app"}],
        },
    });
    let pod = pods
        .create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    let accounts: Api<ServiceAccount> = site.apps.api();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            expiration_seconds: Some(600),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
        },
        ..TokenRequest::default()
    };
    let bound = accounts
        .create_token_request("app", &PostParams::default(), &request)
        .await;
    let app = site
        .caller_with(&replica, "voice", bound.unwrap().status.unwrap().token)
        .await;
    let answer = app.ask("").await.unwrap();
    let token = token_of(&answer).to_owned();
    let audit = wait::until("the audit line", DEADLINE, async || {
        let logs = replica.operator.logs();
        let line = logs
            .lines()
            .find(|line| line.contains("realtime_token_operator::audit"));
        Ok(line.map(str::to_owned))
    });
    let audit = audit.await.unwrap();
    let account = format!("system:serviceaccount:{}:app", site.apps.name());
    assert!(audit.contains(&account) && audit.contains("app-0"), "{audit}");
    assert!(!replica.operator.logs().contains(&token));

    pods.delete("app-0", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    // The API server keeps its own answer about a token for ten seconds, too.
    let took = until_status(&app, 401).await;
    assert!(took < 2 * REVIEWS_ARE_KEPT, "{took:?}");
}

#[tokio::test]
async fn without_an_api_server_there_is_no_token_and_no_door() {
    let mut site = Site::with_own_cluster().await;
    let replica = site.replica(&[]).await;
    let many = json!({"requestsPerMinute": 60000, "burst": 1000});
    site.token("voice", json!({"subject": "Ignored", "rateLimit": many, "ready": 5}));
    let app = site.caller(&replica, "app", "voice").await;
    let unknown = site.caller_with(&replica, "voice", "a.b.c".to_owned()).await;
    token_of(&app.ask("").await.unwrap());
    site.cluster.own().stop_apiserver().await.unwrap();
    let answer = unknown.ask("").await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.retry_after.is_some());
    let took = until_status(&app, 503).await;
    assert!(took < REVIEWS_ARE_KEPT + REVIEWS_ARE_KEPT, "{took:?}");
    site.cluster.own().start_apiserver().await.unwrap();
    until_status(&app, 201).await;
    assert_eq!(unknown.ask("").await.unwrap().status, 401);
}
