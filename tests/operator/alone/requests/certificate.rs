//! The operator's own CA and certificate, as clients see them through the Secret of their RealtimeToken.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::json;
use testkit::caller::Caller;
use testkit::wait;

use super::{Replica, Site, token_of};
use crate::world::{DEADLINE, data};

const SECRET: &str = "realtime-token-operator-requests-tls";
const ELECTED: [&str; 2] = ["--leader-elect", "--lease-duration-seconds=9"];

async fn site() -> Site {
    let site = Site::new().await;
    serve(&site);
    site
}

fn serve(site: &Site) {
    let many = json!({"requestsPerMinute": 60000, "burst": 1000});
    site.token("voice", json!({"subject": "Ignored", "rateLimit": many, "ready": 10}));
}

async fn caller(site: &Site, replica: &Replica, ca: &str) -> Caller {
    let bearer = site.bearer("app").await;
    Caller::new(replica.address, ca, site.apps.name(), "voice", bearer).unwrap()
}

/// Whether a client that trusts this bundle alone gets a token.
async fn trusts(site: &Site, replica: &Replica, ca: &str) -> bool {
    match caller(site, replica, ca).await.ask("").await {
        Ok(answer) => {
            token_of(&answer);
            true
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_deleted_secret_is_made_anew_and_the_mounted_bundle_follows() {
    let site = site().await;
    let leader = site.replica(&ELECTED).await;
    let standby = site.replica(&ELECTED).await;
    let old = site.ca("voice").await;
    for replica in [&leader, &standby] {
        assert!(trusts(&site, replica, &old).await);
    }
    let secrets: Api<Secret> = site.platform.api();
    secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
    let new = site.ca_when("voice", |ca| ca != old).await;
    let own = secrets.get(SECRET).await.unwrap();
    assert_eq!(data(&own, "ca.crt"), new);
    assert_eq!(own.type_.as_deref(), Some("kubernetes.io/tls"));
    for replica in [&leader, &standby] {
        wait::until("the new certificate", DEADLINE, async || {
            Ok(trusts(&site, replica, &new).await.then_some(()))
        })
        .await
        .unwrap();
        assert!(!trusts(&site, replica, &old).await, "the old CA is revoked");
    }
    for replica in [leader, standby] {
        let logs = replica.operator.logs();
        for key in ["tls.key", "ca.key"] {
            let key = data(&own, key);
            assert!(!logs.contains(key.lines().nth(1).unwrap()), "a key is in the logs");
        }
    }
}

/// A CA of two and a half minutes, past two thirds of them, so that the change takes seconds instead of an hour.
fn old_ca() -> (String, serde_json::Value) {
    let (ca, data) = issued(40);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "labels": {"app.kubernetes.io/component": "requests-certificate"}},
        "stringData": data,
    });
    (ca, secret)
}

/// A CA and a certificate of it that were made 110 s ago and are valid for so many seconds more.
fn issued(left: i64) -> (String, serde_json::Value) {
    let now = time::OffsetDateTime::now_utc();
    let validity = |params: &mut CertificateParams| {
        params.not_before = now - time::Duration::seconds(110);
        params.not_after = now + time::Duration::seconds(left);
    };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "an old CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    validity(&mut params);
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::from_params(&params, &key);
    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    validity(&mut leaf);
    let data = json!({
        "ca.crt": ca, "ca.key": key.serialize_pem(),
        "tls.crt": leaf.signed_by(&leaf_key, &issuer).unwrap().pem(), "tls.key": leaf_key.serialize_pem(),
    });
    (ca, data)
}

/// As cert-manager keeps it: without the CA's key, replaced by its owner, and never written by the operator.
#[tokio::test]
async fn the_certificate_of_another_controller_is_served_and_followed() {
    const ISSUED: &str = "issued";
    let site = Site::with_values(&[&format!("requests.tls.secretName={ISSUED}")]).await;
    serve(&site);
    let keep = |left: i64| {
        let (ca, mut data) = issued(left);
        data.as_object_mut().unwrap().remove("ca.key");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": ISSUED},
            "stringData": data,
        });
        site.apply_in(site.platform.name(), &secret);
        ca
    };
    let first = keep(3600);
    let replica = site.replica(&[&format!("--requests-tls-secret={ISSUED}")]).await;
    assert_eq!(site.ca("voice").await, first);
    assert!(trusts(&site, &replica, &first).await);
    let second = keep(7200);
    assert_eq!(site.ca_when("voice", |ca| ca != first).await, second);
    wait::until("the new certificate", DEADLINE, async || {
        Ok(trusts(&site, &replica, &second).await.then_some(()))
    })
    .await
    .unwrap();
    let secrets: Api<Secret> = site.platform.api();
    let managers = secrets.get(ISSUED).await.unwrap().metadata.managed_fields.unwrap();
    let managers: Vec<_> = managers.into_iter().filter_map(|entry| entry.manager).collect();
    assert_eq!(managers, ["kubectl-client-side-apply"], "only its owner has written it");
    assert_eq!(secrets.get_opt(SECRET).await.unwrap(), None, "and no CA is made");
}

#[tokio::test]
async fn a_ca_is_renewed_and_no_client_is_turned_away() {
    let site = site().await;
    let (old, secret) = old_ca();
    site.apply_in(site.platform.name(), &secret);
    let leader = site.replica(&ELECTED).await;
    let standby = site.replica(&ELECTED).await;
    let count = |ca: &str| ca.matches("BEGIN CERTIFICATE").count();
    let both = site.ca_when("voice", |ca| count(ca) == 2).await;
    assert!(both.contains(old.trim()), "the old one is trusted still");
    assert!(trusts(&site, &standby, &old).await, "and signs");

    // A client that read the bundle now, until the old CA has ended.
    let start = Instant::now();
    let (mut promoted, mut asked) = (false, 0);
    while start.elapsed() < Duration::from_secs(45) {
        for replica in [&leader, &standby] {
            assert!(trusts(&site, replica, &both).await, "after {:?}", start.elapsed());
            asked += 1;
        }
        promoted |= !trusts(&site, &standby, &old).await;
        tokio::time::sleep(Duration::from_millis(500)).await; // between the questions of one client
    }
    assert!(promoted && asked > 20, "{promoted} {asked}");
    let last = site.ca_when("voice", |ca| count(ca) == 1).await;
    assert!(both.contains(last.trim()));
    for replica in [&leader, &standby] {
        assert!(trusts(&site, replica, &last).await);
    }
}
