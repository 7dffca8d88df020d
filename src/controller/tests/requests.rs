//! Secrets that say where to ask for tokens, beside a token or instead of one.

mod disturbed;
mod meddled;
mod serving;

use super::*;
use crate::testing::MintFault;

const URL: &str = "https://operator.operator.svc/v1alpha1/namespaces/shop/realtimetokens/voice/token";

type Ca = watch::Sender<Option<Connection>>;

fn connection(ca: &str) -> Option<Connection> {
    Some(Connection {
        url: "https://operator.operator.svc".to_owned(),
        ca_bundle: Some(ca.to_owned()),
    })
}

/// With tokens on request, and the certificate known.
fn fleet() -> (Fleet, Ca) {
    let (ca, connection) = watch::channel(connection("ca-1"));
    (Fleet::serving(1800, Some(connection)), ca)
}

fn requested(content: &str) -> Value {
    json!({"spec": {"requests": {"subject": "Optional"}, "target": {"content": content}}})
}

impl Fleet {
    /// The RealtimeToken shop/NAME with `spec.requests`.
    fn create_requested(&self, name: &str, content: &str) {
        let openai = json!({"model": name});
        self.api.create(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "openai": openai, "credentials": {"secretRef": {"name": "openai", "key": "api-key"}},
                "requests": {}, "target": {"content": content},
            },
        }));
    }

    fn keys(&self, name: &str) -> Vec<String> {
        let secret = self.secret(name).unwrap();
        let data = secret["data"].as_object();
        let mut keys: Vec<_> = data.map(|data| data.keys().cloned().collect()).unwrap_or_default();
        keys.sort();
        keys
    }

    #[track_caller]
    fn assert_connected(&self, name: &str, ca: &str) {
        let secret = self.secret(name).unwrap();
        assert_eq!(secret["data"]["request-ca.crt"], base64(ca));
        let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
        assert_eq!(
            self.condition(name, ConditionType::Serving),
            is("True", "RequestsServed")
        );
    }

    #[track_caller]
    fn assert_only_connected(&self, ca: &str) {
        assert_eq!(self.keys("voice"), ["request-ca.crt", "request-url"]);
        assert_eq!(self.secret("voice").unwrap()["data"]["request-url"], base64(URL));
        self.assert_connected("voice", ca);
        let is = |status: &str| (status.to_owned(), "OnRequestOnly".to_owned());
        assert_eq!(self.condition("voice", ConditionType::Ready), is("True"));
        assert_eq!(self.condition("voice", ConditionType::Renewing), is("False"));
        assert_eq!(self.condition("voice", ConditionType::FreshnessGuaranteed), is("True"));
    }

    fn writes(&self) -> (usize, usize, usize) {
        let count = |verb| self.api.count(verb, "secrets");
        (
            count("create"),
            count("patch"),
            self.api.count("patch", "realtimetokens"),
        )
    }
}

/// One write of the Secret, one of the status, and no mint, ever.
#[tokio::test(start_paused = true)]
async fn a_connection_costs_one_write() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.pass(10).await;
    fleet.assert_only_connected("ca-1");
    assert_eq!(fleet.writes(), (1, 0, 1));
    let secret = fleet.secret("voice").unwrap();
    assert_eq!(secret["metadata"]["ownerReferences"][0]["kind"], "RealtimeToken");
    assert_eq!(usable_until(&secret), None);
    fleet.api.forget_requests();
    fleet.pass(20_000).await;
    assert_eq!((fleet.writes(), fleet.provider.count()), ((0, 0, 0), 0));
    assert_eq!(fleet.events("voice"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_and_where_to_ask_for_another() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Token");
    fleet.pass(10).await;
    let expected = [
        "expires-at",
        "provider",
        "request-ca.crt",
        "request-fallback",
        "request-url",
        "token",
        "token.json",
    ];
    assert_eq!(fleet.keys("voice"), expected);
    assert_eq!(fleet.writes(), (1, 0, 1));
    // Renewals leave it as it is and cost no more than without it.
    fleet.pass(1500).await;
    assert_eq!(fleet.provider.count(), 2);
    assert_eq!(
        (fleet.writes(), fleet.keys("voice")),
        ((1, 1, 2), expected.map(str::to_owned).to_vec())
    );
    fleet.assert_connected("voice", "ca-1");
    fleet.edit("voice", json!({"spec": {"requests": null}}));
    fleet.pass(5).await;
    // What is said of the token stays with it.
    let of_token = ["expires-at", "provider", "request-fallback", "token", "token.json"];
    assert_eq!(fleet.keys("voice"), of_token);
    assert_eq!(fleet.condition("voice", ConditionType::Serving), Default::default());
    assert_eq!(fleet.provider.count(), 2);
    fleet.pass(1500).await;
    assert_eq!(fleet.provider.count(), 3);
    assert_eq!(fleet.keys("voice"), ["expires-at", "provider", "token", "token.json"]);
}

/// Two users on one token is what requests exist against.
#[tokio::test(start_paused = true)]
async fn the_secret_says_whether_a_request_may_fall_back_to_its_token() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Token");
    fleet.pass(10).await;
    let fallback = || fleet.secret("voice").unwrap()["data"]["request-fallback"].clone();
    assert_eq!(fallback(), base64("none"), "OpenAI refuses the second session");
    fleet.edit("voice", json!({"spec": {"openai": {"reuse": "Multiple"}}}));
    fleet.pass(2000).await;
    assert_eq!(fallback(), base64("mounted"));
    fleet.provider.fail(MintFault::Unavailable);
    fleet.edit("voice", json!({"spec": {"openai": {"reuse": "Single"}}}));
    fleet.pass(60).await;
    assert_eq!(fallback(), base64("mounted"), "the token is still the one before");
    fleet.provider.recover();
    fleet.pass(2000).await;
    assert_eq!(fallback(), base64("none"));
}

/// As when requests are added, or when the version before wrote no such key: the Secret is whole without it.
#[tokio::test(start_paused = true)]
async fn whether_to_fall_back_is_said_with_the_next_token_and_no_earlier() {
    let (mut fleet, _ca) = fleet();
    fleet.create("voice");
    fleet.pass(10).await;
    fleet.edit("voice", requested("Token"));
    fleet.pass(10).await;
    let keys = [
        "expires-at",
        "provider",
        "request-ca.crt",
        "request-url",
        "token",
        "token.json",
    ];
    fleet.kill();
    fleet.start();
    fleet.pass(60).await;
    assert_eq!(
        (fleet.keys("voice"), fleet.provider.count()),
        (keys.map(str::to_owned).to_vec(), 1)
    );
    fleet.assert_settled("voice", "without the key");
    fleet.pass(1500).await;
    assert_eq!(fleet.provider.count(), 2);
    assert!(fleet.keys("voice").contains(&"request-fallback".to_owned()));
}

/// One write each, at a pace, and no mint.
#[tokio::test(start_paused = true)]
async fn a_new_ca_reaches_every_secret_with_requests() {
    let (fleet, ca) = fleet();
    for name in ["a", "b", "c"] {
        fleet.create_requested(name, "Connection");
    }
    fleet.create_requested("d", "Token");
    fleet.create("e");
    fleet.pass(10).await;
    fleet.api.forget_requests();
    ca.send(connection("ca-1\nca-2")).unwrap();
    fleet.pass(10).await;
    for name in ["a", "b", "c", "d"] {
        fleet.assert_connected(name, "ca-1\nca-2");
    }
    assert_eq!((fleet.writes(), fleet.provider.count()), ((0, 4, 0), 2));
    fleet.pass(400).await;
    assert_eq!(fleet.writes(), (0, 4, 0), "no loop");
}

/// The bundle is gone where the certificate's issuer is trusted anyway.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_bundle() {
    let (fleet, ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.pass(10).await;
    ca.send_modify(|connection| connection.as_mut().unwrap().ca_bundle = None);
    fleet.pass(10).await;
    assert_eq!(fleet.keys("voice"), ["request-url"]);
}

#[tokio::test(start_paused = true)]
async fn from_a_token_to_a_connection_and_back() {
    let (fleet, _ca) = fleet();
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.edit("voice", requested("Connection"));
    fleet.pass(10).await;
    fleet.assert_only_connected("ca-1");
    let secret = fleet.secret("voice").unwrap();
    for key in annotations::OF_TOKEN {
        assert_eq!(annotation(&secret, key), None, "{key}");
    }
    assert_eq!(fleet.writes(), (1, 1, 2));
    fleet.pass(4000).await;
    assert_eq!((fleet.provider.count(), fleet.status("voice").revision), (1, Some(1)));

    fleet.edit("voice", requested("Token"));
    fleet.pass(10).await;
    fleet.assert_settled("voice", "a token again");
    fleet.assert_connected("voice", "ca-1");
    assert_eq!((fleet.provider.count(), fleet.status("voice").revision), (2, Some(2)));
    assert_eq!(fleet.events("voice"), ["Issued"]);
}
