use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_334_400 + second).unwrap()
}

fn provider() -> ClusterRealtimeProvider {
    serde_json::from_value(json!({
        "metadata": {"name": "openai", "generation": 3},
        "spec": {"openai": {}, "credentials": {"secretRef": {"name": "openai"}}, "namespaceSelector": {}},
    }))
    .unwrap()
}

fn health(revision: &str, result: Result<(), &str>) -> CredentialHealth {
    CredentialHealth {
        verdict: Some(KeyVerdict {
            revision: revision.to_owned(),
            result: result.map_err(|message| Blocked::new(Reason::CredentialRejected, message)),
        }),
        ..CredentialHealth::default()
    }
}

/// The status of [`provider`] with a key of revision `r1`.
fn status(prior: &ClusterRealtimeProviderStatus, health: &CredentialHealth, now: i64) -> ClusterRealtimeProviderStatus {
    status_of(&provider(), prior, Ok("r1"), health, now)
}

fn status_of(
    provider: &ClusterRealtimeProvider,
    prior: &ClusterRealtimeProviderStatus,
    revision: Result<&str, &Blocked>,
    health: &CredentialHealth,
    now: i64,
) -> ClusterRealtimeProviderStatus {
    provider_status(&ProviderFindings {
        provider,
        prior,
        found: "found the key api-key of Secret rto/openai",
        revision,
        health,
        now: at(now),
    })
}

/// Ready and CredentialValid: status and reason.
fn brief(status: &ClusterRealtimeProviderStatus) -> [(&str, &str, &str); 2] {
    let brief = |n: usize| {
        let it = &status.conditions[n];
        assert_eq!(it.observed_generation, status.observed_generation);
        (it.type_.as_str(), it.status.as_str(), it.reason.as_str())
    };
    assert_eq!(status.conditions.len(), 2);
    [brief(0), brief(1)]
}

const READY: (&str, &str, &str) = ("Ready", "True", "CredentialFound");
const UNTESTED: (&str, &str, &str) = ("CredentialValid", "Unknown", "CredentialUntested");
const ACCEPTED: (&str, &str, &str) = ("CredentialValid", "True", "CredentialAccepted");
const REJECTED: (&str, &str, &str) = ("CredentialValid", "False", "CredentialRejected");

#[test]
fn from_missing_to_accepted_to_rejected() {
    let none = ClusterRealtimeProviderStatus::default();
    let missing = Blocked::new(Reason::CredentialNotFound, "Secret rto/openai does not exist");
    let unknown = CredentialHealth::default();
    let first = status_of(&provider(), &none, Err(&missing), &unknown, 0);
    assert_eq!(brief(&first), [("Ready", "False", "CredentialNotFound"), UNTESTED]);
    assert_eq!(first.conditions[0].message, "Secret rto/openai does not exist");
    assert_eq!(
        new_provider_failure(&none, &first).unwrap().reason,
        "CredentialNotFound"
    );

    let found = status(&first, &unknown, 10);
    assert_eq!(brief(&found), [READY, UNTESTED]);
    assert_eq!(
        found.conditions[0].message,
        "found the key api-key of Secret rto/openai"
    );
    assert_eq!(found.conditions[0].last_transition_time.0, at(10));
    assert_eq!(found.conditions[1].last_transition_time.0, at(0));
    assert_eq!(new_provider_failure(&first, &found), None);

    let accepted = status(&found, &health("r1", Ok(())), 20);
    assert_eq!(brief(&accepted), [READY, ACCEPTED]);

    let rejected = status(&accepted, &health("r1", Err("401: wrong key")), 30);
    assert_eq!(brief(&rejected), [READY, REJECTED]);
    let failure = new_provider_failure(&accepted, &rejected).unwrap();
    assert_eq!(failure.message, "401: wrong key");
    let again = status(&rejected, &health("r1", Err("401: wrong key")), 40);
    assert_eq!(again, rejected, "nothing to write");
    assert_eq!(
        new_provider_failure(&rejected, &again),
        None,
        "one Event for one failure"
    );
}

#[test]
fn a_verdict_on_another_key_says_nothing() {
    let accepted = status(&ClusterRealtimeProviderStatus::default(), &health("r1", Ok(())), 0);
    let other = status(&accepted, &health("r0", Ok(())), 10);
    assert_eq!(brief(&other), [READY, UNTESTED]);
    let missing = Blocked::new(Reason::CredentialNotFound, "Secret rto/openai does not exist");
    let gone = status_of(&provider(), &accepted, Err(&missing), &health("r0", Ok(())), 10);
    assert_eq!(brief(&gone)[1], ACCEPTED, "the last key was accepted");
}

#[test]
fn after_a_restart_the_last_verdict_stands_unless_the_spec_changed() {
    let accepted = status(&ClusterRealtimeProviderStatus::default(), &health("r1", Ok(())), 0);
    let restarted = status(&accepted, &CredentialHealth::default(), 10);
    assert_eq!(restarted, accepted);
    let mut changed = provider();
    changed.metadata.generation = Some(4);
    let changed = status_of(&changed, &accepted, Ok("r1"), &CredentialHealth::default(), 10);
    assert_eq!(brief(&changed), [READY, UNTESTED]);
    assert_eq!(changed.observed_generation, Some(4));
}

#[test]
fn a_limit_is_reported_while_it_holds() {
    let none = ClusterRealtimeProviderStatus::default();
    let limited = CredentialHealth {
        limited_until: Some(at(30) + jiff::SignedDuration::from_millis(400)),
        ..CredentialHealth::default()
    };
    let reported = status(&none, &limited, 29).rate_limit.unwrap();
    assert_eq!(reported.limited_until.unwrap().0, at(30), "whole seconds");
    assert_eq!(status(&none, &limited, 31).rate_limit, None);
    let until_30 = CredentialHealth {
        limited_until: Some(at(30)),
        ..CredentialHealth::default()
    };
    assert_eq!(status(&none, &until_30, 30).rate_limit, None);
}

/// One that lasts: a status that changes with every hiccup would be written all the time.
#[test]
fn an_outage_that_lasts_is_reported_and_is_no_verdict_on_the_key() {
    let accepted = status(&ClusterRealtimeProviderStatus::default(), &health("r1", Ok(())), 0);
    let out = CredentialHealth {
        unavailable_since: Some(at(100)),
        ..health("r1", Ok(()))
    };
    assert_eq!(status(&accepted, &out, 129), accepted);
    let reported = status(&accepted, &out, 130);
    assert_eq!(brief(&reported), [("Ready", "False", "ProviderUnavailable"), ACCEPTED]);
    assert_eq!(
        status(&reported, &out, 500),
        reported,
        "nothing is written while nothing changes"
    );
    let failure = new_provider_failure(&accepted, &reported).unwrap();
    assert!(failure.message.contains("since 2026"), "{}", failure.message);
    assert_eq!(brief(&status(&reported, &health("r1", Ok(())), 501)), [READY, ACCEPTED]);
}

#[test]
fn a_provider_that_no_namespace_may_use_says_so() {
    let mut unselected = provider();
    unselected.spec.namespace_selector = None;
    let none = ClusterRealtimeProviderStatus::default();
    let message = |provider: &ClusterRealtimeProvider| {
        let status = status_of(provider, &none, Ok("r1"), &CredentialHealth::default(), 0);
        status.conditions[0].message.clone()
    };
    assert_eq!(
        message(&unselected),
        "found the key api-key of Secret rto/openai; no namespace may use it until namespaceSelector is set"
    );
    unselected.spec.namespace_selector = Some(LabelSelector::default());
    assert!(!message(&unselected).contains("namespaceSelector"));
    let selector = serde_json::json!({"matchExpressions": [{"key": "team", "operator": "Equals", "values": ["x"]}]});
    unselected.spec.namespace_selector = Some(serde_json::from_value(selector).unwrap());
    assert!(
        message(&unselected).contains("; no namespace may use it until namespaceSelector is corrected: "),
        "{}",
        message(&unselected)
    );
}

#[test]
fn a_message_is_one_line_that_commands_no_terminal() {
    let said = health("r1", Err("the model \u{1b}[31m\nReady=True \u{202e}x"));
    let status = status(&ClusterRealtimeProviderStatus::default(), &said, 0);
    assert_eq!(
        status.conditions[1].message,
        "the model \\u001b[31m\\nReady=True \\u202ex"
    );
}

#[test]
fn a_long_message_is_cut() {
    let long = "é".repeat(1000);
    let status = status(&ClusterRealtimeProviderStatus::default(), &health("r1", Err(&long)), 0);
    assert_eq!(status.conditions[1].message.len(), 1024);
}
