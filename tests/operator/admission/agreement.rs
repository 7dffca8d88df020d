//! What `mint` says of a manifest is what the API server says of it: the same verdict, the same complaints in the same
//! words, the same defaults. Held for every object that the tests of this folder create, for the examples, and for what
//! no other test has.

use std::fs;
use std::path::Path;

use realtime_token_operator::admission::admit;
use serde_json::{Value, json};

use super::{ApiServer, Complaint, Kind, merge, object};

impl ApiServer {
    /// Creates the object as a dry run, strictly, and fails unless `mint` says of it what the API server says.
    pub(super) async fn agrees_with_mint(&self, kind: Kind, object: &Value) {
        let url = format!("{}?dryRun=All&fieldValidation=Strict", self.url(kind));
        match (admit(object), self.send("POST", &url, object).await) {
            (Ok(ours), Ok(theirs)) => assert_eq!(sorted(&ours["spec"]), sorted(&theirs["spec"]), "{object}"),
            (Err(ours), Err(theirs)) => {
                let mut ours: Vec<_> = ours.into_iter().map(|it| (it.field, it.message)).collect();
                let mut theirs: Vec<_> = theirs.iter().flat_map(complaints).collect();
                ours.sort();
                theirs.sort();
                assert_eq!(ours, theirs, "{object}");
            }
            (ours, theirs) => panic!("{object}\nmint: {ours:#?}\nAPI server: {theirs:#?}"),
        }
    }
}

/// A complaint as `mint` has it: several unknown fields come in one text.
fn complaints(complaint: &Complaint) -> Vec<(String, String)> {
    if let Some((_, unknown)) = complaint.text.split_once("strict decoding error: ") {
        let unknown = unknown.split(", ");
        return unknown.map(|text| (String::new(), text.to_owned())).collect();
    }
    let field = complaint.field.trim_start_matches("<nil>").to_owned();
    vec![(field, complaint.text.clone())]
}

/// Whole numbers may come with a fraction, and fields in any order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

#[tokio::test]
async fn what_no_other_test_has() {
    let server = ApiServer::new().await;
    let token = |change: Value| merge(&Kind::Token.spec(), &change);
    for spec in [
        token(json!({"openai": {"modle": "m"}, "expirationSecond": 60, "target": {"template": {"label": {}}}})),
        token(json!({"openai": {"model": 5, "kind": "Text", "endpoint": ["a"]}, "expirationSeconds": "60"})),
        token(json!({"expirationSeconds": 0, "elevenlabs": {"agentId": "a"}})),
        token(json!({"expirationSeconds": 0.5})),
        token(json!({"suspend": [[[]]], "renewal": [], "credentials": "key"})),
        token(json!({"openai": {"session": [1]}})),
        token(json!({"openai": {"session": {"a": [null, {"b": null}]}}})),
        token(json!({"target": {"template": {"data": {"k": null, "..x": "", "token": "", "a b": ""}}}})),
        token(json!({"openai": null, "livekit": {"identity": "u", "attributes": {"a": 5}, "grants": {"nope": true}}})),
        token(json!({"openai": null, "iceServers": {"kind": "Coturn", "urls": ["turn:a", "http://b", null]}})),
        token(json!({"openai": null, "iceServers": {"kind": "Coturn", "urls": ["turn:[::1]:3478", "stun:a"]}})),
        token(json!({"openai": null, "twilio": {"identity": "a"}})),
        json!({"openai": {"model": "m"}}),
        json!({}),
        json!("spec"),
        json!([]),
    ] {
        server
            .agrees_with_mint(Kind::Token, &object(Kind::Token, "voice", &spec))
            .await;
    }
    for name in ["Voice", "a.b", "a..b", "-a", "a_b", &"a".repeat(254)] {
        let object = object(Kind::Token, name, &Kind::Token.spec());
        server.agrees_with_mint(Kind::Token, &object).await;
    }
    let with = |pointer: &str, value: Value| {
        let mut object = object(Kind::Token, "voice", &Kind::Token.spec());
        object[pointer] = value;
        object
    };
    for object in [
        with("specs", json!({})),
        with("status", json!({"revision": 7})),
        with("status", json!({"revison": 7})),
        with("metadata", json!({})),
        with("metadata", json!({"generateName": "voice-"})),
        with(
            "metadata",
            json!({"name": "voice", "label": {}, "labels": {}, "annotations": null}),
        ),
        with("spec", Value::Null),
    ] {
        server.agrees_with_mint(Kind::Token, &object).await;
    }
}

#[tokio::test]
async fn the_examples() {
    let server = ApiServer::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut tried = 0;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // Patches of kustomize and Helm values are no manifests.
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_default();
            for mut document in documents {
                let Some(kind) = Kind::ALL.into_iter().find(|kind| document["kind"] == kind.name()) else {
                    continue;
                };
                // Its name is the cluster's, and other tests create the examples.
                if kind == Kind::Provider {
                    document["metadata"]["name"] = json!("of-the-agreement");
                }
                server.agrees_with_mint(kind, &document).await;
                tried += 1;
            }
        }
    }
    assert!(tried >= 8, "only {tried} manifests were found");
}
