//! `mint`, as `main` calls it.

use std::path::PathBuf;

use realtime_token_operator::cli::endpoints::EndpointArgs;
use realtime_token_operator::cli::mint::{MintArgs, MintCliError, mint};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::standin::{Fault, StandIn};

use crate::{ELEVENLABS_KEY, OPENAI_KEY, start};

struct Desk {
    dir: TempDir,
    standin: StandIn,
}

impl Desk {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            standin: start(),
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn args(&self, spec: &Value, key: &str) -> MintArgs {
        let manifest = json!({
            "apiVersion": "realtime-token.dev/v1alpha1",
            "kind": "RealtimeToken",
            "metadata": {"name": "voice"},
            "spec": spec,
        });
        MintArgs {
            filename: self.file("token.json", &manifest.to_string()),
            name: None,
            subject: None,
            output_dir: None,
            api_key_file: Some(self.file("key", &format!("{key}\n"))),
            credentials_dir: None,
            explain: false,
            endpoints: allowed(vec![self.standin.url()]),
        }
    }

    fn openai(&self) -> MintArgs {
        let block = json!({"model": "gpt-realtime-2.1", "endpoint": self.standin.url()});
        self.args(
            &json!({"credentials": {"secretRef": {"name": "key"}}, "openai": block, "expirationSeconds": 60}),
            OPENAI_KEY,
        )
    }
}

fn allowed(allow_endpoints: Vec<String>) -> EndpointArgs {
    EndpointArgs {
        allow_endpoints,
        ca_bundle: None,
    }
}

#[tokio::test]
async fn prints_the_file_of_the_secret() {
    let desk = Desk::new();
    let json = mint(desk.openai()).await.unwrap().unwrap();
    let token = desk.standin.issued().remove(0);
    let expires_at = serde_json::from_str::<Value>(&json).unwrap()["expiresAt"].clone();
    assert_eq!(
        json,
        format!(
            r#"{{"provider":"openai","token":"{token}","expiresAt":{expires_at},"config":{{"model":"gpt-realtime-2.1"}}}}"#
        )
    );
    assert_eq!(desk.standin.calls()[0].json()["expires_after"]["seconds"], 60);

    let block = json!({"agentId": "agent_1", "endpoint": desk.standin.url()});
    let args = desk.args(
        &json!({"credentials": {"secretRef": {"name": "key"}}, "elevenlabs": block}),
        ELEVENLABS_KEY,
    );
    let json = mint(args).await.unwrap().unwrap();
    assert!(
        json.starts_with(r#"{"provider":"elevenlabs","token":"wss://api.elevenlabs.io/"#),
        "{json}"
    );
    assert!(
        json.ends_with(r#","config":{"providerOptions":{"agentId":"agent_1"}}}"#),
        "{json}"
    );
}

/// The hints are for the person at the terminal: the file or variable, no Secret, no operator that asks again.
#[tokio::test]
async fn the_provider_refuses() {
    let desk = Desk::new();
    let key = desk.dir.path().join("key");
    let in_the_key = format!("Check the API key in the file {}", key.display());
    for (status, hint) in [
        (401, in_the_key.as_str()),
        (403, in_the_key.as_str()),
        (429, "wait, then try again"),
        (500, "try again later"),
    ] {
        desk.standin.fail_next(1, Fault::status(status));
        let error = mint(desk.openai()).await.unwrap_err();
        assert!(matches!(error, MintCliError::Mint(_)), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(&format!("answered {status}")) && error.contains(hint),
            "{error}"
        );
        assert!(!error.contains("Secret") && !error.contains("operator"), "{error}");
    }
}

/// As it would be for the caller of a request.
#[tokio::test]
async fn a_token_for_a_subject() {
    let desk = Desk::new();
    let spec = |subject: &str, block: Value| {
        let mut spec = json!({"credentials": {"secretRef": {"name": "key"}}, "requests": {"subject": subject}});
        spec.as_object_mut().unwrap().extend(block.as_object().unwrap().clone());
        spec
    };
    let openai = json!({"openai": {"model": "m", "safetyIdentifier": "kiosk", "endpoint": desk.standin.url()}});
    for (subject, sent) in [("Required", "u_5f3a"), ("Ignored", "kiosk")] {
        let args = MintArgs {
            subject: Some("u_5f3a".into()),
            ..desk.args(&spec(subject, openai.clone()), OPENAI_KEY)
        };
        mint(args).await.unwrap();
        let call = desk.standin.calls().pop().unwrap();
        assert_eq!(call.identity.as_deref(), Some(sent), "{subject}");
    }

    let jwt = json!({"jwt": {"algorithm": "HS256", "claims": {"sub": "{{ subject }}"}}});
    let shared = desk.args(&spec("Required", jwt.clone()), "signing");
    let refused = mint(shared).await.unwrap_err().to_string();
    assert!(refused.contains("set target.content to Connection"), "{refused}");
    let mut always = spec("Required", jwt);
    always["target"] = json!({"content": "Connection"});
    let refused = mint(desk.args(&always, "signing")).await.unwrap_err().to_string();
    assert!(refused.contains("name one with --subject"), "{refused}");
    let explained = MintArgs {
        subject: Some("u_5f3a".into()),
        explain: true,
        ..desk.args(&always, "signing")
    };
    let explained = mint(explained).await.unwrap().unwrap();
    assert!(explained.contains(r#""sub":"u_5f3a""#), "{explained}");
}

/// The names and bytes are those of the Secret's data.
#[tokio::test]
async fn writes_the_files_of_the_secret() {
    let desk = Desk::new();
    let folder = desk.dir.path().join("out");
    let block = json!({"model": "gpt-realtime-2.1", "endpoint": desk.standin.url()});
    let template = json!({"data": {".env": "TOKEN={{ token }}\nMODEL={{ config.model }}\n"}});
    let spec = json!({
        "credentials": {"secretRef": {"name": "key"}}, "openai": block, "target": {"template": template},
    });
    for nth in 0..2 {
        let args = MintArgs {
            output_dir: Some(folder.clone()),
            ..desk.args(&spec, OPENAI_KEY)
        };
        assert_eq!(mint(args).await.unwrap(), None);
        let token = desk.standin.issued().remove(nth);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("token"), token);
        assert_eq!(read("provider"), "openai");
        assert_eq!(read(".env"), format!("TOKEN={token}\nMODEL=gpt-realtime-2.1\n"));
        let json: Value = serde_json::from_str(&read("token.json")).unwrap();
        let expires_at = jiff::Timestamp::from_millisecond(json["expiresAt"].as_i64().unwrap()).unwrap();
        assert_eq!(read("expires-at"), expires_at.to_string());
        assert_eq!(json["token"], token.as_str());
    }
    let args = MintArgs {
        output_dir: Some(desk.dir.path().to_owned()),
        ..desk.args(&spec, OPENAI_KEY)
    };
    let error = mint(args).await.unwrap_err().to_string();
    assert!(
        error.starts_with("--output-dir: ") && error.contains("didn't write"),
        "{error}"
    );
    assert_eq!(desk.standin.count(), 2, "a folder that can't be used costs no token");
}

#[tokio::test]
async fn an_endpoint_must_be_allowed_here_too() {
    let desk = Desk::new();
    let error = mint(MintArgs {
        endpoints: EndpointArgs::default(),
        ..desk.openai()
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("--allow-endpoint"), "{error}");
    let error = mint(MintArgs {
        endpoints: allowed(vec!["gateway.example".into()]),
        ..desk.openai()
    })
    .await
    .unwrap_err();
    assert!(
        error.to_string().starts_with("--allow-endpoint: ") && error.to_string().contains("no scheme"),
        "{error}"
    );
    assert_eq!(desk.standin.count(), 0);
}

#[tokio::test]
async fn files_that_are_not_there() {
    let desk = Desk::new();
    let none = desk.dir.path().join("none");
    for args in [
        MintArgs {
            filename: none.clone(),
            ..desk.openai()
        },
        MintArgs {
            api_key_file: Some(none.clone()),
            ..desk.openai()
        },
        MintArgs {
            endpoints: EndpointArgs {
                ca_bundle: Some(none.clone()),
                ..desk.openai().endpoints
            },
            ..desk.openai()
        },
    ] {
        let error = mint(args).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("can't read {}: ", none.display())),
            "{error}"
        );
    }
    let not_pem = desk.file("ca.pem", "no certificate");
    let error = mint(MintArgs {
        endpoints: EndpointArgs {
            ca_bundle: Some(not_pem),
            ..desk.openai().endpoints
        },
        ..desk.openai()
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("PEM"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_none_is_named() {
    let desk = Desk::new();
    let filename = desk.file("other.yaml", "apiVersion: v1\nkind: Secret\n");
    let error = mint(MintArgs {
        filename: filename.clone(),
        ..desk.openai()
    })
    .await
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("{}: is kind \"Secret\"", filename.display())),
        "{error}"
    );
    assert_eq!(desk.standin.count(), 0);
}
