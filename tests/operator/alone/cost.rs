//! What a token costs, by the API server's audit log and the provider's own count.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::cluster::Audited;

use crate::world::{Case, World, holds};

const TOKENS: usize = 10;
const RESTARTS: usize = 5;

fn names(prefix: &str) -> Vec<String> {
    (0..TOKENS).map(|n| format!("{prefix}-{n}")).collect()
}

/// How many of these requests are of this verb, on objects of this kind and name.
fn count(requests: &[Audited], verb: &str, resource: &str, name: &str) -> usize {
    let same = |it: &&Audited| it.verb == verb && it.resource == resource && it.name == name;
    requests.iter().filter(same).count()
}

/// The requests that change one of these objects, or its Secret.
fn writes<'a>(requests: &'a [Audited], names: &[String]) -> Vec<&'a Audited> {
    let ours = |it: &&Audited| it.verb != "get" && names.contains(&it.name);
    requests.iter().filter(ours).collect()
}

async fn suspend(case: &Case<'_>, name: &str, suspended: bool) {
    case.patch(name, json!({"spec": {"suspend": suspended}})).await;
}

/// Each rotation is one call to the provider, one write of the Secret and one of the status.
fn assert_costs(case: &Case<'_>, requests: &[Audited], name: &str) {
    let mints = case.calls_of(name).len();
    let of = |verb: &str, resource: &str| count(requests, verb, resource, name);
    assert_eq!(of("create", "secrets"), 1, "{name}");
    assert_eq!(of("patch", "secrets"), mints - 1, "{name}");
    // One for each token and one as it was suspended, which may be one with the last.
    let statuses = of("patch", "realtimetokens/status");
    assert!(
        (mints..=mints + 1).contains(&statuses),
        "{name}: {statuses} for {mints} mints"
    );
    let stored = requests.iter().position(|it| it.verb == "create" && it.name == name);
    let later = &requests[stored.unwrap()..];
    assert_eq!(count(later, "get", "secrets", name), 0, "{name}: no target is read");
}

#[tokio::test]
async fn a_rotation_costs_one_call_and_two_writes_and_a_restart_nothing() {
    let world = World::with_own_operator("cost", &[]).await;
    let case = world.case("cost").await;
    let (resting, rotating) = (names("rests"), names("rotates"));
    let short = |mut spec: Value| {
        // Renewal after 14 to 15 s, and as long again for a busy machine.
        spec["expirationSeconds"] = json!(30);
        spec["renewal"] = json!({"minRemainingSeconds": 1, "propagationSeconds": 0});
        spec
    };
    for name in &rotating {
        case.create(name, short(case.spec(name))).await;
    }
    for name in &resting {
        case.create(name, case.spec(name)).await;
    }
    for name in &resting {
        case.condition(name, "Ready", "True", "Issued").await;
    }

    // Waiting costs nothing, though each object's own writes and a label edit wake it.
    let before = world.requests().len();
    let edited = json!({"metadata": {"labels": {"edited": "yes"}}});
    case.patch(&resting[0], edited).await;
    case.settle().await;
    let requests = world.requests().split_off(before);
    assert_eq!(writes(&requests, &resting), [] as [&Audited; 0]);

    for name in &rotating {
        case.calls_of_reach(name, 2).await;
        // A call comes before its writes, and a token whose mint is under way is not written while suspended.
        case.revision(name, 2).await;
        suspend(&case, name, true).await;
        case.status_when(name, |s| holds(s, "Renewing", "False", "Suspended"))
            .await;
    }
    let requests = world.requests();
    for name in &rotating {
        assert_costs(&case, &requests, name);
    }
    let keys = count(&requests, "get", "secrets", "openai");
    assert!(keys <= 4, "the key is read once a minute for all its tokens: {keys}");
    // The start asks for the API server's version and the kinds that it serves.
    let of_objects = requests.iter().filter(|it| !it.resource.is_empty());
    let kinds: BTreeSet<_> = of_objects.map(|it| (&*it.verb, &*it.resource)).collect();
    let expected = [
        ("create", "events"),
        ("create", "secrets"),
        ("get", "secrets"),
        ("patch", "realtimetokens/status"),
        ("patch", "secrets"),
    ];
    assert_eq!(kinds, BTreeSet::from(expected));

    // Restarts with live tokens: nothing is minted, nothing is written.
    let before = requests.len();
    let minted = case.calls().len();
    for _ in 0..RESTARTS {
        world.restart().await;
    }
    case.settle().await;
    let requests = world.requests().split_off(before);
    assert_eq!(writes(&requests, &resting), [] as [&Audited; 0]);
    // Tokens of 30 s may end during five restarts of a busy machine, and their statuses say so.
    let mut of_rotating = writes(&requests, &rotating);
    of_rotating.retain(|it| it.resource != "realtimetokens/status");
    assert_eq!(of_rotating, [] as [&Audited; 0]);
    assert_eq!(case.calls().len(), minted);
    // And the restarted one goes on with the schedule.
    let mints = case.calls_of("rotates-0").len();
    suspend(&case, "rotates-0", false).await;
    case.calls_of_reach("rotates-0", mints + 1).await;
}
