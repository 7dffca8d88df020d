//! What people type, edit and forget.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{LocalError, Machine};

async fn refused(machine: &Machine) -> LocalError {
    let error = machine.run(CancellationToken::new()).await.unwrap_err();
    assert!(!machine.path("kept").exists(), "nothing was written: {error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    error
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_wrong_ends_it_at_once() {
    let machine = Machine::new(600);
    for (spec, says) in [
        (json!({"openai": {"modle": "m"}}), "unknown field \"spec.openai.modle\""),
        (
            json!({"openai": {"model": "m", "endpoint": "http://127.0.0.1:1"}}),
            "--allow-endpoint",
        ),
        (
            json!({"expirationSeconds": 5}),
            "expirationSeconds: OpenAI client secrets live 10 to 7200 seconds",
        ),
        (
            json!({"target": {"template": {"data": {"a": "{{ nothing }}"}}}}),
            "unknown variable; there are token",
        ),
        (
            json!({"requests": {}, "target": {"content": "Connection"}}),
            "say where with --listen 127.0.0.1:8099",
        ),
    ] {
        machine.write_manifest(spec);
        let error = refused(&machine).await;
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.to_string().contains("token.json"), "{error}");
        assert_eq!(error.exit_code(), 2, "{error}");
    }
    std::fs::remove_file(machine.path("token.json")).unwrap();
    let error = refused(&machine).await;
    assert!(error.to_string().starts_with("can't read "), "{error}");
    // Whatever isn't a file: a pipe would be read to its end, and then again.
    std::fs::create_dir(machine.path("token.json")).unwrap();
    let error = refused(&machine).await;
    assert!(error.to_string().ends_with("name a file with -f"), "{error}");
    assert_eq!(machine.provider.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_there_ends_it_at_once() {
    let machine = Machine::new(600);
    machine.write(".env", "");
    let error = refused(&machine).await;
    assert!(
        error
            .to_string()
            .starts_with("there is no OPENAI_API_KEY: set the variable"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_ends_it_at_once() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let machine = Machine::new(600);
    let address = taken.local_addr().unwrap();
    let error = LocalError::Listen(address, tokio::net::TcpListener::bind(address).await.unwrap_err());
    let expected = format!("--listen {address}: another program listens there: end it, or name another port");
    assert_eq!((error.to_string(), error.exit_code()), (expected, 1));
    drop(machine);
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_taken_up_and_a_wrong_one_is_not() {
    let machine = Machine::started(600).await;
    machine.pass(60).await;
    machine.write_manifest(json!({"openai": {"model": "other-model", "reuse": "Multiple"}}));
    machine.pass(15).await;
    assert_eq!(machine.token(), "token-2");
    machine.assert_says(&["token.json was changed and is taken up"]);
    machine.write_manifest(json!({"openai": {"modle": "x"}}));
    machine.pass(15).await;
    machine.assert_says(&["unknown field", "The manifest is kept as it was"]);
    assert_eq!((machine.token(), machine.provider.count()), ("token-2".to_owned(), 2));
    let renamed = std::fs::read_to_string(machine.path("token.json")).unwrap();
    machine.write_manifest(json!({}));
    let renamed = renamed.replace("\"voice\"", "\"other\"").replace("modle", "model");
    machine.write("token.json", &renamed);
    machine.pass(15).await;
    machine.assert_says(&["has another name now: voice is kept as it was until this is restarted"]);
    assert_eq!(machine.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_annotation_asks_for_a_new_token() {
    let machine = Machine::started(600).await;
    machine.pass(60).await;
    let text = std::fs::read_to_string(machine.path("token.json")).unwrap();
    let mut token: Value = serde_json::from_str(&text).unwrap();
    token["metadata"]["annotations"] = json!({"realtime-token.dev/renew-requested-at": "now"});
    machine.write("token.json", &token.to_string());
    machine.pass(15).await;
    assert_eq!(machine.token(), "token-2");
    machine.pass(60).await;
    assert_eq!(machine.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn suspension_mints_nothing_and_leaves_the_token() {
    let machine = Machine::started(600).await;
    machine.write_manifest(json!({"suspend": true}));
    machine.pass(700).await;
    assert_eq!((machine.token(), machine.provider.count()), ("token-1".to_owned(), 1));
    machine.assert_says(&["spec.suspend is true"]);
    machine.write_manifest(json!({}));
    machine.pass(5).await;
    assert_eq!(machine.token(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn the_directory_of_another_token_is_left_alone() {
    let mut machine = Machine::started(600).await;
    machine.stop().await;
    let text = std::fs::read_to_string(machine.path("token.json")).unwrap();
    machine.write("token.json", &text.replace("\"voice\"", "\"other\""));
    let error = machine.run(CancellationToken::new()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("keeps another token (written for RealtimeToken voice)"),
        "{error}"
    );
    assert_eq!((machine.token(), error.exit_code()), ("token-1".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_different_without_a_cluster_is_said() {
    let mut machine = Machine::new(600);
    let lent = json!({"providerRef": {"name": "team"}});
    machine.write_manifest(json!({"openai": {"model": "m"}, "credentials": lent, "requests": {}}));
    machine.start();
    machine.pass(1).await;
    machine.assert_says(&["note: ClusterRealtimeProvider team can't be looked up without a cluster"]);
    machine.assert_says(&["note: spec.requests is of no use without --listen"]);
    assert_eq!(machine.token(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_weakness_of_the_token_is_said_once() {
    let mut machine = Machine::new(600);
    machine.write_manifest(json!({"openai": {"model": "m"}}));
    machine.start();
    machine.pass(1).await;
    machine.assert_says(&["note: ", "spec.requests"]);
    machine.restart().await;
    assert!(!machine.screen().contains("note: "), "{}", machine.screen());
}
