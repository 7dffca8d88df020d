//! Each provider's example over the wire, against the stand-in that its recording makes.

use jiff::Timestamp;
use realtime_token_operator::api::RealtimeTokenSpec;
use realtime_token_operator::providers::{
    Ask, ClientConfig, Credential, EndpointPolicy, ProviderClient,
};
use realtime_token_operator::token::resolve::{block_of, expiration};
use secrecy::ExposeSecret;
use testkit::conformance;

use crate::start;

#[tokio::test]
async fn examples_are_minted() {
    let standin = start();
    let client = ProviderClient::new(&ClientConfig {
        endpoints: EndpointPolicy::parse(standin.origins()).unwrap(),
        ..ClientConfig::default()
    })
    .unwrap();
    for file in conformance::all().unwrap() {
        let spec = file.spec_at(&standin, "key");
        let spec: RealtimeTokenSpec = serde_json::from_value(spec).unwrap();
        let block = block_of(&spec).unwrap();
        let expiration = expiration(&spec, &block, None).unwrap();
        let roles = block.provider().roles().iter();
        let values = roles.map(|role| (role.key, file.secret[role.key].as_str().unwrap().into()));
        let credential = Credential::new(values);
        let (now, calls) = (Timestamp::now(), standin.count());
        let ask = Ask { block, expiration };
        let minted = client.mint(&ask, &credential, now).await;
        assert_eq!(standin.complaints(), [""; 0], "{}", file.field);
        let minted = minted.unwrap_or_else(|error| panic!("{}: {error}", file.field));
        assert!(minted.usable_until > now, "{}", file.field);
        let asked = standin.count() > calls;
        assert_eq!(asked, file.is_asked());
        if asked {
            let issued = standin.issued();
            assert_eq!(
                issued.last().unwrap(),
                minted.value.expose_secret(),
                "{}",
                file.field
            );
        }
    }
}
