//! The rules of each provider, from its file in `tests/conformance`.

use serde_json::{Value, json};
use testkit::conformance;

use super::{ApiServer, Kind};

#[tokio::test]
async fn each_provider_lets_pass_and_refuses() {
    let server = ApiServer::new().await;
    for file in conformance::all().unwrap() {
        server.accepts(Kind::Token, &with_key(&file.example)).await;
        for spec in &file.rules.accept {
            server.accepts(Kind::Token, &with_key(spec)).await;
        }
        for refused in &file.rules.refuse {
            server
                .refuses(Kind::Token, &with_key(&refused.spec), &refused.at, &refused.says)
                .await;
        }
        for refused in &file.rules.refuse_account {
            server
                .refuses(Kind::Provider, &with_key(&refused.spec), &refused.at, &refused.says)
                .await;
        }
    }
}

/// The messages that the files test.
pub(super) fn messages() -> Vec<String> {
    let files = conformance::all().unwrap();
    let refused = files
        .into_iter()
        .flat_map(|file| [file.rules.refuse, file.rules.refuse_account].concat());
    refused.map(|refused| refused.says).collect()
}

fn with_key(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("credentials").is_none() {
        spec["credentials"] = json!({"secretRef": {"name": "key"}});
    }
    spec
}
