//! Leader and replicas over an API in memory, with paused time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::content::{Content, Data};
use super::make::apply;
use super::plan::Change;
use super::*;
use crate::clock::now;
use crate::testing::{FakeApi, Fault};

const NAMESPACE: &str = "ops";
const SECRET: &str = "rto-requests-tls";
const HOST: &str = "rto.ops.svc";
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
const HOUR: Duration = Duration::from_secs(3600);

struct Replica {
    certificate: Certificate,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    keep: Option<AbortOnDropHandle<()>>,
}

fn own() -> Source {
    Source::Own {
        secret: SECRET.to_owned(),
        names: BTreeSet::from([HOST.to_owned()]),
        ca_life: YEAR,
    }
}

fn replica(api: &FakeApi, source: Source) -> Replica {
    let health = Arc::new(Health::default());
    health.wait_for(None);
    let metrics = Arc::new(Metrics::new(true));
    let certificate = Certificate::follow(Options {
        client: api.client(),
        namespace: NAMESPACE.to_owned(),
        address: Address {
            url: format!("https://{HOST}"),
            host: HOST.to_owned(),
        },
        source,
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
    });
    Replica {
        certificate,
        health,
        metrics,
        keep: None,
    }
}

fn leader(api: &FakeApi) -> Replica {
    let mut replica = replica(api, own());
    replica.lead();
    replica
}

impl Replica {
    fn lead(&mut self) {
        self.keep = Some(AbortOnDropHandle::new(tokio::spawn(self.certificate.keep())));
    }

    /// The published bundle, once there is one that the condition holds for.
    async fn bundle(&self, is: impl Fn(&str) -> bool) -> String {
        let mut connection = self.certificate.connection();
        let known = connection.wait_for(|connection| {
            let bundle = connection.as_ref().and_then(|connection| connection.ca_bundle.as_ref());
            bundle.is_some_and(|bundle| is(bundle))
        });
        let known = tokio::time::timeout(3 * HOUR, known).await;
        let known = known.expect("a bundle within hours").unwrap();
        known.clone().unwrap().ca_bundle.unwrap()
    }

    fn served(&self) -> Option<CertificateDer<'static>> {
        let key = self.certificate.served.current()?;
        Some(key.cert.first().unwrap().clone())
    }
}

fn count(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

fn stored(api: &FakeApi) -> Option<Value> {
    api.get("secrets", NAMESPACE, SECRET)
}

fn value(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn object(data: &Data) -> Value {
    let data = data
        .iter()
        .map(|(key, value)| (key.clone(), STANDARD.encode(value.expose_secret())));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": NAMESPACE, "name": SECRET,
            "labels": {"app.kubernetes.io/component": "requests-certificate"}},
        "data": data.collect::<std::collections::BTreeMap<_, _>>(),
    })
}

/// What was made so long ago.
fn made(ago: SignedDuration) -> Content {
    let names = BTreeSet::from([HOST.to_owned()]);
    apply(Change::Begin, None, &names, YEAR, now() - ago).unwrap()
}

/// The served certificate is signed by one of the bundle, and is for our host.
fn trusts(bundle: &str, served: &CertificateDer<'_>) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap));
    let served = rustls::server::ParsedCertificate::try_from(served).unwrap();
    let time = Duration::from_secs(now().as_second().unsigned_abs());
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &served,
        &roots,
        &[],
        rustls::pki_types::UnixTime::since_unix_epoch(time),
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all,
    )
    .is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_leader_makes_it_and_every_replica_serves_it() {
    let api = FakeApi::new();
    let standby = replica(&api, own());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(stored(&api).is_none(), "only the leader makes it");
    let waiting = standby.health.unready().unwrap();
    assert!(
        waiting.contains("ops/rto-requests-tls") && waiting.contains("leader"),
        "{waiting}"
    );
    assert!(!standby.metrics.render().contains("certificate_not_after"));

    let leader = leader(&api);
    let bundle = standby.bundle(|_| true).await;
    assert_eq!(leader.bundle(|_| true).await, bundle);
    assert_eq!(standby.health.unready(), None);
    let secret = stored(&api).unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(value(&secret, "ca.crt"), bundle);
    let labels = secret["metadata"]["labels"].as_object().unwrap();
    assert!(
        !labels.contains_key("app.kubernetes.io/managed-by"),
        "the watch of target Secrets would see it"
    );
    let served = leader.served().unwrap();
    assert_eq!(standby.served(), Some(served.clone()));
    assert!(trusts(&bundle, &served));
    assert_eq!(
        standby.certificate.connection().borrow().as_ref().unwrap().url,
        "https://rto.ops.svc"
    );
    let metrics = standby.metrics.render();
    let not_after = now().as_second() + 90 * 24 * 3600;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("realtime_token_requests_certificate_not_after_seconds "));
    let value: i64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((value - not_after).abs() < 120, "{value} {not_after}");
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_kept_by_the_next_leader() {
    let api = FakeApi::new();
    let first = leader(&api);
    first.bundle(|_| true).await;
    drop(first);
    let before = stored(&api);
    let second = leader(&api);
    second.bundle(|_| true).await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(stored(&api), before, "nothing was due");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_made_anew_at_once() {
    let api = FakeApi::new();
    let leader = leader(&api);
    let before = leader.bundle(|_| true).await;
    api.delete("secrets", NAMESPACE, SECRET);
    let start = tokio::time::Instant::now();
    let after = leader.bundle(|bundle| bundle != before).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(trusts(&after, &leader.served().unwrap()));
    assert_eq!(leader.health.unready(), None, "what was loaded was served meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_ca_is_replaced_without_a_client_that_does_not_trust_what_is_served() {
    let api = FakeApi::new();
    let old = made(SignedDuration::from_hours(250 * 24));
    api.create(object(&old.data()));
    let (leader, standby) = (leader(&api), replica(&api, own()));
    let both = standby.bundle(|bundle| count(bundle) == 2).await;
    let start = tokio::time::Instant::now();
    assert!(both.starts_with(&old.bundle()));
    let before = leader.served().unwrap();
    assert!(
        trusts(&old.bundle(), &before),
        "renewed by the CA that all clients know"
    );

    let promoted = standby.bundle(|bundle| *bundle != both).await;
    assert!(
        (HOUR..HOUR + Duration::from_secs(30)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    let after = standby.served().unwrap();
    assert_ne!(after, before);
    assert!(trusts(&both, &after) && !trusts(&old.bundle(), &after));
    assert!(trusts(&promoted, &before), "another replica may serve it still");

    let last = standby.bundle(|bundle| count(bundle) == 1).await;
    assert!(
        (2 * HOUR..2 * HOUR + Duration::from_secs(60)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    assert!(promoted.starts_with(&last));
    assert_eq!(leader.served(), Some(after));
}

/// The old leader published the next CA in the second before it ended: nobody has written it into the Secrets.
#[tokio::test(start_paused = true)]
async fn a_new_leader_waits_for_the_distribution_anew() {
    let api = FakeApi::new();
    api.create(object(&made(SignedDuration::from_hours(250 * 24)).data()));
    let first = leader(&api);
    let both = first.bundle(|bundle| count(bundle) == 2).await;
    drop(first);
    tokio::time::sleep(2 * HOUR).await;
    let second = leader(&api);
    second.bundle(|_| true).await;
    tokio::time::sleep(HOUR - Duration::from_secs(60)).await;
    assert_eq!(value(&stored(&api).unwrap(), "ca.crt"), both);
    second.bundle(|bundle| *bundle != both).await;
}

#[tokio::test(start_paused = true)]
async fn two_that_take_themselves_for_the_leader_agree() {
    let api = FakeApi::new();
    let (one, other) = (leader(&api), leader(&api));
    one.bundle(|_| true).await;
    other.bundle(|_| true).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(one.bundle(|_| true).await, other.bundle(|_| true).await);
    assert_eq!(one.served(), other.served());
    assert_eq!(api.count("update", "secrets"), 0, "the second found the first one's");
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_others_is_not_touched() {
    let api = FakeApi::new();
    let mut foreign = object(&made(SignedDuration::ZERO).data());
    foreign["metadata"]["labels"] = json!({"app": "theirs"});
    let before = api.create(foreign);
    let leader = leader(&api);
    tokio::time::sleep(HOUR).await;
    assert_eq!(stored(&api), Some(before));
    let waiting = leader.health.unready().unwrap();
    assert!(
        waiting.contains("not the operator's") && waiting.contains("--requests-ca-secret"),
        "{waiting}"
    );
    assert_eq!(leader.served(), None, "nor served");
    api.delete("secrets", NAMESPACE, SECRET);
    leader.bundle(|_| true).await;
    assert_eq!(leader.health.unready(), None);
}

#[tokio::test(start_paused = true)]
async fn damage_is_repaired_and_what_was_loaded_is_served_meanwhile() {
    let api = FakeApi::new();
    let leader = leader(&api);
    let bundle = leader.bundle(|_| true).await;
    let before = leader.served();
    let edit = |patch: Value| drop(api.edit("secrets", NAMESPACE, SECRET, &json!({"data": patch})));
    edit(json!({"tls.crt": STANDARD.encode("hello"), "tls.key": null}));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let after = leader.served();
    assert_ne!(after, before);
    assert_eq!(leader.bundle(|_| true).await, bundle, "the CA stays");
    assert!(trusts(&bundle, &after.unwrap()));

    // An empty Secret, such as one that was created for the sake of RBAC.
    edit(json!({"tls.crt": null, "tls.key": null, "ca.crt": null, "ca.key": null}));
    let anew = leader.bundle(|now| now != bundle).await;
    assert!(trusts(&anew, &leader.served().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_asked_again() {
    let api = FakeApi::new();
    api.fail_nth_of(|request| request.verb == "create", 1, Fault::Status(500));
    api.fail_nth_of(|request| request.verb == "create", 2, Fault::ResetAfter);
    let leader = leader(&api);
    let bundle = leader.bundle(|_| true).await;
    api.go_away();
    tokio::time::sleep(HOUR).await;
    assert!(
        trusts(&bundle, &leader.served().unwrap()),
        "what was loaded is served further"
    );
    let waiting = leader.health.unready().unwrap();
    assert!(
        waiting.starts_with("Secret ops/rto-requests-tls, not seen for "),
        "{waiting}"
    );
    api.recover();
    api.delete("secrets", NAMESPACE, SECRET);
    leader.bundle(|now| now != bundle).await;
    assert_eq!(leader.health.unready(), None);
}

fn given() -> Source {
    Source::Given {
        secret: SECRET.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_cert_manager_is_loaded_at_each_change_and_never_written() {
    let api = FakeApi::new();
    let mut replica = replica(&api, given());
    replica.lead();
    tokio::time::sleep(HOUR).await;
    let waiting = replica.health.unready().unwrap();
    assert!(waiting.contains("--requests-tls-secret"), "{waiting}");

    let mut data = made(SignedDuration::ZERO).data();
    data.retain(|key, _| ["tls.crt", "tls.key", "ca.crt"].contains(&key.as_str()));
    api.create(object(&data));
    let bundle = replica.bundle(|_| true).await;
    let first = replica.served().unwrap();
    assert_eq!(replica.health.unready(), None);

    // It may be made of two writes, and people may edit it.
    for wrong in [json!({"tls.key": STANDARD.encode("hello")}), json!({"tls.crt": null})] {
        api.edit("secrets", NAMESPACE, SECRET, &json!({"data": wrong}));
        tokio::time::sleep(HOUR).await;
        assert_eq!(replica.served().as_ref(), Some(&first));
        assert_eq!(replica.bundle(|_| true).await, bundle);
    }
    let renewed = object(&made(SignedDuration::ZERO).data());
    api.edit("secrets", NAMESPACE, SECRET, &json!({"data": renewed["data"]}));
    let bundle = replica.bundle(|now| now != bundle).await;
    assert!(trusts(&bundle, &replica.served().unwrap()));
    for verb in ["create", "update", "patch", "delete"] {
        assert_eq!(api.count(verb, "secrets"), 0, "{verb}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_shows_in_debug_output() {
    let content = made(SignedDuration::ZERO);
    let key = content.authority.key.expose_secret().lines().nth(1).unwrap().to_owned();
    let api = FakeApi::new();
    api.create(object(&content.data()));
    let replica = replica(&api, own());
    replica.bundle(|_| true).await;
    let text = format!(
        "{content:?} {:?} {:?}",
        replica.certificate.observed.borrow(),
        replica.certificate.served
    );
    assert!(!text.contains(&key));
}
