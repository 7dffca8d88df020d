//! What people do: edit, delete, suspend, ask for a renewal.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_deleted_or_edited_secret_is_healed_with_one_mint() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.pass(2).await;
    fleet.assert_settled("voice", "deleted");
    assert_eq!(fleet.provider.count(), 2);
    fleet.pass(30).await;
    let edit = json!({"data": {"token": base64("mine")}});
    fleet.api.edit("secrets", NAMESPACE, "voice", &edit);
    fleet.pass(2).await;
    fleet.assert_settled("voice", "edited");
    assert_eq!(fleet.provider.count(), 3);
    assert_eq!(
        fleet.events("voice"),
        ["Issued", "SecretRecreated"],
        "the second is a count of the first"
    );
}

/// A token in memory is written again: the provider isn't asked within ten seconds.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_deleted_at_once_is_written_again() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(2).await;
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.pass(2).await;
    fleet.assert_settled("voice", "deleted");
    assert_eq!(fleet.provider.count(), 1);
}

/// The Secret lacks the new key until the next token. It was not edited.
#[tokio::test(start_paused = true)]
async fn a_key_added_to_the_template_is_no_tamper_alarm() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    let template = json!({"data": {".env": "TOKEN={{ token }}"}});
    fleet.edit("voice", json!({"spec": {"target": {"template": template}}}));
    fleet.pass(2).await;
    fleet.assert_settled("voice", "template");
    assert_eq!(fleet.secret("voice").unwrap()["data"][".env"], base64("TOKEN=token-2"));
    assert_eq!(fleet.events("voice"), ["Issued"]);
}

/// What is said of a token changes no token.
#[tokio::test(start_paused = true)]
async fn how_often_a_token_may_be_used_is_said_and_mints_nothing() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    let freshness = || fleet.condition("voice", ConditionType::FreshnessGuaranteed);
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    for reuse in [json!(null), json!("Single")] {
        fleet.edit("voice", json!({"spec": {"openai": {"reuse": reuse}}}));
        fleet.pass(2).await;
        assert_eq!(freshness(), is("False", "SingleUseToken"), "{reuse}");
    }
    fleet.edit("voice", json!({"spec": {"openai": {"reuse": "Multiple"}}}));
    fleet.pass(2).await;
    assert_eq!(freshness(), is("True", "LifetimeSufficient"));
    assert_eq!(fleet.events("voice"), ["Issued", "SingleUseToken"]);
    assert_eq!(fleet.provider.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_label_is_written_and_mints_nothing() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.api.forget_requests();
    let labels = |labels: Value| json!({"spec": {"target": {"template": {"metadata": {"labels": labels}}}}});
    fleet.edit("voice", labels(json!({"team": "voice"})));
    fleet.pass(5).await;
    assert_eq!(fleet.secret("voice").unwrap()["metadata"]["labels"]["team"], "voice");
    assert_eq!(fleet.api.count("patch", "secrets"), 1);
    fleet.edit("voice", labels(json!({"team": null})));
    fleet.pass(5).await;
    assert_eq!(
        fleet.secret("voice").unwrap()["metadata"]["labels"]["team"],
        Value::Null
    );
    assert_eq!(fleet.provider.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_is_obeyed_once() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    let asked = json!({"metadata": {"annotations": {crate::api::RENEW_REQUESTED_AT: "now"}}});
    fleet.edit("voice", asked);
    fleet.pass(60).await;
    assert_eq!(fleet.provider.count(), 2);
    assert_eq!(fleet.status("voice").last_handled_renew_request.as_deref(), Some("now"));
    assert!(fleet.events("voice").contains(&"RenewalForced".to_owned()));
}

/// Suspension comes first: of a suspended RealtimeToken nothing else is looked at.
#[tokio::test(start_paused = true)]
async fn nothing_is_minted_while_suspended() {
    let fleet = Fleet::new(600);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.edit("voice", json!({"spec": {"suspend": true}}));
    fleet.api.delete("secrets", NAMESPACE, "openai");
    fleet.pass(600).await;
    assert_eq!(
        fleet.condition("voice", ConditionType::Ready),
        ("False".into(), "Suspended".into())
    );
    assert_eq!(fleet.provider.count(), 1);
    fleet.api.create(key_secret(NAMESPACE, "openai"));
    fleet.edit("voice", json!({"spec": {"suspend": false}}));
    fleet.pass(15).await;
    fleet.assert_settled("voice", "resumed");
    assert_eq!(fleet.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_another_owner_is_left_alone_until_it_is_gone() {
    let fleet = Fleet::new(600);
    fleet.api.create(key_secret(NAMESPACE, "voice"));
    fleet.create("voice");
    fleet.pass(60).await;
    assert_eq!(
        fleet.condition("voice", ConditionType::Ready),
        ("False".into(), "SecretConflict".into())
    );
    assert_eq!((fleet.provider.count(), fleet.api.count("patch", "secrets")), (0, 0));
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.pass(35).await;
    fleet.assert_settled("voice", "conflict over");
}

/// The garbage collector's deletion of the Secret is seen before the deletion of the RealtimeToken that it follows from.
#[tokio::test(start_paused = true)]
async fn no_token_is_minted_for_a_realtimetoken_whose_deletion_is_not_seen_yet() {
    for life in [2, 30] {
        let fleet = Fleet::new(1800);
        fleet.create("voice");
        fleet.pass(life).await;
        fleet.api.pause_watches("realtimetokens");
        fleet.api.delete("realtimetokens", NAMESPACE, "voice");
        fleet.api.delete("secrets", NAMESPACE, "voice");
        fleet.pass(20).await;
        assert_eq!(fleet.secret("voice"), None, "deleted {life} s after its creation");
        fleet.api.resume_watches("realtimetokens");
        fleet.pass(20).await;
        assert_eq!(fleet.secret("voice"), None);
        assert_eq!(fleet.provider.count(), 1);
        // Another one of its name has a token of its own.
        fleet.create("voice");
        fleet.pass(20).await;
        fleet.assert_settled("voice", "created anew");
        assert_eq!(fleet.provider.count(), 2);
    }
}

/// The key `provider` never changes, so a patch never makes it ours again.
#[tokio::test(start_paused = true)]
async fn an_edit_that_was_taken_back_while_suspended_costs_one_mint() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.edit("voice", json!({"spec": {"suspend": true}}));
    fleet.pass(5).await;
    for value in ["x", "openai"] {
        let edit = json!({"data": {"provider": base64(value)}});
        fleet.api.edit("secrets", NAMESPACE, "voice", &edit);
    }
    fleet.edit("voice", json!({"spec": {"suspend": false}}));
    fleet.pass(300).await;
    fleet.assert_settled("voice", "taken back");
    assert_eq!(fleet.provider.count(), 2);
}

/// One that can't be read, and one whose mint hangs, delay no other.
#[tokio::test(start_paused = true)]
async fn one_bad_resource_delays_no_other() {
    let fleet = Fleet::new(600);
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "broken", "namespace": NAMESPACE}, "spec": {"openai": []},
    }));
    fleet.provider.fail_nth(1, crate::testing::MintFault::Hang);
    fleet.create("hangs");
    fleet.pass(1).await;
    fleet.create("voice");
    fleet.pass(3).await;
    fleet.assert_settled("voice", "beside others");
    let broken = fleet.api.get("realtimetokens", NAMESPACE, "broken").unwrap();
    assert_eq!(broken["status"]["conditions"][0]["reason"], "InvalidSpec");
    fleet.pass(60).await;
    fleet.assert_settled("hangs", "after its time-out");
}

/// What is remembered of a RealtimeToken ends with it.
#[tokio::test(start_paused = true)]
async fn one_created_anew_begins_anew() {
    let fleet = Fleet::new(600);
    fleet.provider.fail(crate::testing::MintFault::Rejected);
    fleet.create("voice");
    fleet.pass(5).await;
    assert_eq!(fleet.status("voice").failed_mint_attempts, Some(1));
    fleet.provider.recover();
    fleet.api.delete("realtimetokens", NAMESPACE, "voice");
    fleet.create("voice");
    fleet.pass(5).await;
    fleet.assert_settled("voice", "created anew");
}

/// While the provider refuses, a spec that changes all the time leads to no flood of calls.
#[tokio::test(start_paused = true)]
async fn a_spec_that_keeps_changing_is_asked_for_once_in_ten_seconds() {
    let fleet = Fleet::new(600);
    fleet.provider.fail(crate::testing::MintFault::Rejected);
    fleet.create("voice");
    for edit in 0..500 {
        fleet.edit("voice", json!({"spec": {"openai": {"model": format!("model-{edit}")}}}));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let calls = fleet.provider.count();
    assert!((4..=6).contains(&calls), "{calls} calls in 50 s");
}
