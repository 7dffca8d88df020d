//! Providers, keys and files that are not in order.

use jiff::SignedDuration;

use super::Machine;
use crate::testing::MintFault;

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_asked_again_until_it_is_back() {
    let machine = Machine::started(600).await;
    machine.provider.fail(MintFault::Unavailable);
    machine.pass(400).await;
    assert_eq!(machine.token(), "token-1", "the token that is there stays");
    machine.assert_says(&["the fake provider is to fail mint 2", "attempt 1; the next at"]);
    assert!(machine.provider.count() > 2);
    machine.provider.recover();
    machine.pass(120).await;
    assert_eq!(machine.token(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_forget_a_backoff() {
    let mut machine = Machine::new(600);
    machine.provider.fail(MintFault::Rejected);
    machine.start();
    machine.pass(1).await;
    let asked = machine.provider.count();
    machine.restart().await;
    assert_eq!(machine.provider.count(), asked);
    machine.assert_says(&["the fake provider is to fail mint 1", "attempt 1; the next at"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_says_when_the_next_attempt_is() {
    let mut machine = Machine::new(600);
    let fault = MintFault::Throttled(Some(SignedDuration::from_secs(120)));
    machine.provider.fail_nth(1, fault);
    machine.start();
    machine.pass(100).await;
    machine.assert_says(&["attempt 1; the next at 20"]);
    assert_eq!(machine.provider.count(), 1);
    machine.pass(60).await;
    assert_eq!(machine.token(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_put_right_is_tried_at_once() {
    let mut machine = Machine::new(600);
    machine
        .provider
        .fail_where(MintFault::KeyRejected, |call| call.key != "sk-22");
    machine.start();
    machine.pass(1).await;
    machine.assert_says(&["or as soon as the spec or the key changes"]);
    machine.write(".env", "OPENAI_API_KEY=sk-22\n");
    machine.pass(12).await;
    assert_eq!(machine.token(), "token-1", "{}", machine.screen());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_goes_away_leaves_the_token() {
    let machine = Machine::started(600).await;
    machine.write(".env", "");
    machine.pass(500).await;
    assert_eq!((machine.token(), machine.provider.count()), ("token-1".to_owned(), 1));
    machine.assert_says(&["there is no OPENAI_API_KEY: set the variable, write a line OPENAI_API_KEY=… into"]);
    machine.write(".env", "OPENAI_API_KEY=sk-333\n");
    machine.pass(5).await;
    assert_eq!(machine.token(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_description_costs_a_token_and_is_said() {
    for damage in ["", "{", "[]", r#"{"annotations": 5}"#, "{}"] {
        let mut machine = Machine::started(600).await;
        machine.stop().await;
        machine.write("kept/..data/..secret.json", damage);
        machine.start();
        machine.pass(30).await;
        assert_eq!(
            (machine.token(), machine.provider.count()),
            ("token-2".to_owned(), 2),
            "{damage}"
        );
        machine.assert_says(&["..secret.json is damaged: the files are written anew"]);
        machine.restart().await;
        assert_eq!(machine.provider.count(), 2, "it is whole again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_status_costs_nothing_and_is_said() {
    let mut machine = Machine::started(600).await;
    machine.stop().await;
    machine.write("kept/..status.json", "{\"revision\": ");
    machine.start();
    machine.pass(30).await;
    assert_eq!(machine.provider.count(), 1);
    machine.assert_says(&["..status.json is damaged: what failed before is not known any more"]);
    assert!(machine.read("..status.json").unwrap().contains("usableUntil"));
}

#[tokio::test(start_paused = true)]
async fn files_that_others_change_are_put_right() {
    let machine = Machine::started(600).await;
    std::fs::remove_file(machine.path("kept/token.json")).unwrap();
    machine.pass(2).await;
    assert!(
        machine.read("token.json").unwrap().contains("token-1"),
        "a token just minted is written again"
    );
    machine.assert_says(&["token.json is not as it was written: the files are written anew"]);
    machine.pass(60).await;
    std::fs::remove_file(machine.path("kept/..data/token")).unwrap();
    machine.pass(30).await;
    assert_eq!((machine.token(), machine.provider.count()), ("token-2".to_owned(), 2));
    machine.pass(60).await;
    std::fs::remove_dir_all(machine.path("kept")).unwrap();
    machine.pass(30).await;
    assert_eq!(machine.token(), "token-3", "{}", machine.screen());
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_written_is_said_and_tried_again() {
    let machine = Machine::started(600).await;
    machine.pass(60).await;
    std::fs::remove_dir_all(machine.path("kept")).unwrap();
    machine.write("kept", "in the way");
    machine.pass(60).await;
    machine.assert_says(&["the files can't be written: can't make the folder", "The token is kept"]);
    let asked = machine.provider.count();
    std::fs::remove_file(machine.path("kept")).unwrap();
    machine.pass(120).await;
    assert_eq!(
        (machine.token(), machine.provider.count()),
        ("token-2".to_owned(), asked),
        "{}",
        machine.screen()
    );
}
