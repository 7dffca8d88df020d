//! The limits of a RealtimeToken and of its subjects, at two replicas of which one or the other is killed: each replica
//! counts by itself, and forgets when it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::caller::Caller;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Site, until_status};

const REPLICAS: usize = 2;
const KILLS: usize = 4;
const BETWEEN_KILLS: Duration = Duration::from_secs(4);
const ELECTED: [&str; 2] = ["--leader-elect", "--lease-duration-seconds=9"];
const SUBJECTS: usize = 12;
/// So many ask for the first subject, which is over its own limit all the time; one asks for each of the others.
const FOR_THE_FIRST: usize = 6;

#[derive(Clone, Copy)]
struct Limit {
    per_minute: u32,
    burst: u32,
}

/// Less than what all subjects together may have.
const OF_ALL: Limit = Limit {
    per_minute: 240,
    burst: 20,
};
const OF_SUBJECT: Limit = Limit {
    per_minute: 30,
    burst: 3,
};

impl Limit {
    fn spec(self) -> Value {
        json!({"requestsPerMinute": self.per_minute, "burst": self.burst})
    }

    /// The most that replicas hand out within this time if that many processes of them were started.
    fn most(self, starts: usize, time: Duration) -> usize {
        let refilled = REPLICAS as f64 * f64::from(self.per_minute) / 60.0 * time.as_secs_f64();
        starts * self.burst as usize + refilled.ceil() as usize
    }
}

/// What one client was answered.
#[derive(Default)]
struct Answered {
    tokens: usize,
    /// 429s, by what they say.
    limited: BTreeMap<String, usize>,
}

#[tokio::test]
async fn limits_hold_for_each_subject_and_for_all_while_replicas_are_killed() {
    let site = Site::new().await;
    site.token(
        "voice",
        json!({"subject": "Required", "rateLimit": OF_ALL.spec(), "subjectRateLimit": OF_SUBJECT.spec()}),
    );
    let mut replicas = [site.replica(&ELECTED).await, site.replica(&ELECTED).await];
    let (ca, bearer) = (site.ca("voice").await, site.bearer("app").await);
    let callers = replicas.each_ref().map(|replica| {
        let bearer = bearer.clone();
        Caller::new(replica.address, &ca, site.apps.name(), "voice", bearer).unwrap()
    });
    // Without a subject nothing is counted: that both replicas know the RealtimeToken is seen by the status.
    for caller in &callers {
        until_status(caller, 422).await;
    }

    let (done, began) = (CancellationToken::new(), Instant::now());
    let mut clients = JoinSet::new();
    for nth in 0..SUBJECTS + FOR_THE_FIRST - 1 {
        let subject = format!("user-{}", nth.saturating_sub(FOR_THE_FIRST - 1));
        clients.spawn(client(callers.clone(), subject, nth, done.clone()));
    }
    for nth in 0..KILLS {
        tokio::time::sleep(BETWEEN_KILLS).await; // the limits are of time
        let replica = &mut replicas[nth % REPLICAS];
        replica.operator.kill().unwrap();
        *replica = site.ready(site.started_at(replica.address, &ELECTED)).await;
    }
    tokio::time::sleep(BETWEEN_KILLS).await;
    done.cancel();
    let all = clients.join_all().await;
    let (time, starts) = (began.elapsed(), REPLICAS + KILLS);

    let (mut of_subject, mut limited) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
    for (subject, answered) in all {
        *of_subject.entry(subject).or_default() += answered.tokens;
        for (said, count) in answered.limited {
            *limited.entry(said).or_default() += count;
        }
    }
    println!("{time:?}: {of_subject:?} {limited:?}");
    let total: usize = of_subject.values().sum();
    assert!(total <= OF_ALL.most(starts, time), "{total} in {time:?}");
    for (subject, tokens) in &of_subject {
        assert!(
            *tokens <= OF_SUBJECT.most(starts, time),
            "{tokens} for {subject} in {time:?}"
        );
    }
    // What was handed out and not received counts, too.
    let mut minted = BTreeMap::<_, usize>::new();
    for call in site.standin.calls() {
        *minted.entry(call.identity.unwrap()).or_default() += usize::from(call.token.is_some());
    }
    assert!(
        minted.values().sum::<usize>() <= OF_ALL.most(starts, time),
        "{minted:?}"
    );
    assert!(minted["user-0"] <= OF_SUBJECT.most(starts, time), "{minted:?}");

    // Both limits were reached, and the answers say which; and neither is lower than it says.
    for limit in ["requests.rateLimit", "requests.subjectRateLimit"] {
        let said = limited.iter().filter(|(said, _)| said.contains(limit));
        assert!(said.map(|(_, count)| count).sum::<usize>() > 20, "{limit}: {limited:?}");
    }
    assert!(total >= REPLICAS * OF_ALL.burst as usize, "{total}");
    assert!(of_subject["user-0"] > 2 * OF_SUBJECT.burst as usize, "{of_subject:?}");
}

/// Asks as fast as an impatient client does, in turn at both replicas.
async fn client(
    callers: [Caller; REPLICAS],
    subject: String,
    nth: usize,
    done: CancellationToken,
) -> (String, Answered) {
    let body = json!({"subject": subject}).to_string();
    let mut answered = Answered::default();
    for caller in callers.iter().cycle().skip(nth % REPLICAS) {
        if done.is_cancelled() {
            break;
        }
        match caller.ask(body.clone()).await {
            Ok(answer) if answer.status == 201 => answered.tokens += 1,
            Ok(answer) if answer.status == 429 => {
                assert_eq!(answer.body["reason"], "RateLimited");
                assert!(answer.retry_after.is_some(), "{}", answer.body);
                let said = answer.body["detail"].as_str().unwrap().to_owned();
                *answered.limited.entry(said).or_default() += 1;
            }
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.body), // while it starts
            Err(_) => {}                                                     // it was killed
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (subject, answered)
}
