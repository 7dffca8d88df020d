//! Each provider's example over the wire, against the stand-in that its recording makes.

use jiff::{SignedDuration, Timestamp};
use realtime_token_operator::api::Lifetime;
use realtime_token_operator::api::RealtimeTokenSpec;
use realtime_token_operator::mint::{Ask, ClientConfig, Credential, EndpointPolicy, ProviderClient};
use realtime_token_operator::resolve::{block_of, expiration};
use secrecy::ExposeSecret;
use testkit::conformance::{self, Conformance};
use testkit::standin::{Fault, StandIn};

use crate::{class, start};

/// A client that may ask the stand-in in every provider's place.
fn client(standin: &StandIn) -> ProviderClient {
    ProviderClient::new(&ClientConfig {
        endpoints: EndpointPolicy::parse(standin.origins()).unwrap(),
        ..ClientConfig::default()
    })
    .unwrap()
}

fn ask(file: &Conformance, standin: &StandIn) -> (Ask, Credential) {
    let spec = file.spec_at(standin, "key");
    let spec: RealtimeTokenSpec = serde_json::from_value(spec).unwrap();
    let block = block_of(&spec).unwrap();
    let expiration = expiration(&spec, &block, None).unwrap();
    let secret_fields = block.provider().secret_fields().iter();
    let values = secret_fields.map(|role| (role.key, file.secret[role.key].as_str().unwrap().into()));
    let credential = Credential::new(values);
    (
        Ask {
            block,
            expiration,
            namespace: "apps".to_owned(),
            subject: None,
            of_caller: false,
        },
        credential,
    )
}

#[tokio::test]
async fn examples_are_minted() {
    let standin = start();
    let client = client(&standin);
    for file in conformance::all().unwrap() {
        let (ask, credential) = ask(&file, &standin);
        let (now, calls) = (Timestamp::now(), standin.count());
        let minted = client.mint(&ask, &credential, now).await;
        assert_eq!(standin.complaints(), [""; 0], "{}", file.field);
        let minted = minted.unwrap_or_else(|error| panic!("{}: {error}", file.field));
        assert!(minted.usable_until > now, "{}", file.field);
        let asked = standin.count() > calls;
        assert_eq!(asked, file.is_asked());
        if asked {
            let issued = standin.issued();
            let issued = issued.last().unwrap();
            // All of the value, or the secret part of a list.
            let value = minted.value.expose_secret();
            let listed = serde_json::from_str::<Vec<serde_json::Value>>(value).is_ok();
            assert!(value == issued || listed && value.contains(issued), "{}", file.field);
        }
    }
}

/// Kinds that the example doesn't have among them.
#[tokio::test]
async fn the_stand_in_takes_what_is_held_against_recordings() {
    let standin = start();
    let client = client(&standin);
    let mut taken = 0;
    let files = conformance::all().unwrap();
    for mut file in files.into_iter().filter(Conformance::is_asked) {
        let (example, _) = ask(&file, &standin);
        for case in std::mem::take(&mut file.requests) {
            file.example = case.spec;
            let (ask, credential) = ask(&file, &standin);
            // Asked of another provider, for somebody, or with other keys in another way than the one that is played.
            let same_keys = ask.block.provider().secret_fields() == example.block.provider().secret_fields();
            if case.example.is_some() || case.subject.is_some() || case.after.is_some() || !same_keys {
                continue;
            }
            let minted = client.mint(&ask, &credential, Timestamp::now()).await;
            assert_eq!(standin.complaints(), [""; 0], "{}: {}", file.field, file.example);
            minted.unwrap_or_else(|error| panic!("{}: {}: {error}", file.field, file.example));
            taken += 1;
        }
    }
    assert!(taken >= 40, "only {taken}");
}

#[tokio::test]
async fn replies_that_are_none_are_refused_by_all() {
    let standin = start();
    let client = client(&standin);
    let files = conformance::all().unwrap();
    for file in files.iter().filter(|file| file.is_asked()) {
        let (ask, credential) = ask(file, &standin);
        for fault in [
            Fault::MissingToken,
            Fault::Garbage,
            Fault::Empty,
            Fault::Oversize(65 * 1024),
            Fault::Redirect("https://elsewhere.example/".into()),
            Fault::status(500),
        ] {
            standin.fail_next(1, fault.clone());
            let minted = client.mint(&ask, &credential, Timestamp::now()).await;
            let error = minted.expect_err(&format!("{}: {fault:?}", file.field));
            let is = class(&error);
            let expected = match fault {
                Fault::Status { .. } => "unavailable",
                _ => "rejected",
            };
            assert_eq!(is, expected, "{}: {fault:?}: {error}", file.field);
        }
        standin.fail_next(1, Fault::Status201);
        let created = client.mint(&ask, &credential, Timestamp::now()).await;
        created.unwrap_or_else(|error| panic!("{}: 201: {error}", file.field));
    }
}

/// Whatever is stated, a token isn't taken to live longer than was asked for or is documented.
#[tokio::test]
async fn no_expiry_is_believed_beyond_what_was_asked_for() {
    let standin = start();
    let client = client(&standin);
    let files = conformance::all().unwrap();
    for file in files.iter().filter(|file| file.is_asked()) {
        let (ask, credential) = ask(file, &standin);
        let longest = match ask.block.provider().lifetime() {
            Lifetime::Fixed(seconds) => SignedDuration::from_secs(seconds),
            Lifetime::Chosen(_) => ask.expiration,
            Lifetime::Offered(limits) if ask.expiration.is_zero() => SignedDuration::from_secs(limits.max),
            Lifetime::Offered(_) => ask.expiration,
            Lifetime::Stated | Lifetime::InBlock => SignedDuration::from_hours(24),
        };
        for fault in [
            Fault::MissingExpiry,
            Fault::ExpiryInPast,
            Fault::ExpiryAbsurd,
            Fault::ExpiryAsFloat,
            Fault::ExpiryAsString,
        ] {
            standin.fail_next(1, fault.clone());
            let now = Timestamp::now();
            match client.mint(&ask, &credential, now).await {
                Err(error) => {
                    assert_eq!(class(&error), "rejected", "{}: {error}", file.field);
                }
                Ok(minted) => {
                    let life = minted.usable_until.duration_since(now);
                    assert!(
                        life <= longest + SignedDuration::from_secs(5) && life.is_positive(),
                        "{}: {fault:?} gives {life:#}",
                        file.field
                    );
                }
            }
        }
    }
}
