//! Many callers at once while everything goes wrong in between.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::*;
use crate::testing::MintFault;

const CLIENTS: u64 = 50;
const EACH: u64 = 40;

/// Callers hang up, the provider fails in every way, the key and the spec change: no token is handed out twice, none
/// ends too soon, and in the end callers are served.
#[tokio::test(start_paused = true)]
async fn no_token_is_handed_out_twice_and_none_ends_too_soon() {
    let limit = json!({"requestsPerMinute": 60_000, "burst": 1000});
    let requests = json!({"subject": "Optional", "ready": 10, "rateLimit": limit, "subjectRateLimit": limit});
    let world = Arc::new(World::with(requests, 60).await);
    let given = Arc::new(Mutex::new(HashSet::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(ask_again_and_again(client, Arc::clone(&world), Arc::clone(&given))))
        .collect();
    let trouble = tokio::spawn(make_trouble(Arc::clone(&world)));
    let mut served = 0;
    for client in clients {
        served += client.await.unwrap();
    }
    trouble.await.unwrap();
    world.provider.recover();
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
    assert!(served > 200, "{served} of {} were served", CLIENTS * EACH);
    assert!(world.metric("request_duration_seconds_count{source=\"pool\"}") > 100.0);
    let known: HashSet<String> = world
        .provider
        .calls()
        .into_iter()
        .filter_map(|call| call.token)
        .collect();
    assert!(given.lock().iter().all(|token| known.contains(token)));
}

async fn ask_again_and_again(client: u64, world: Arc<World>, given: Arc<Mutex<HashSet<String>>>) -> u64 {
    let mut served = 0;
    for n in 0..EACH {
        let body = match (client + n) % 4 {
            0 => json!({"subject": format!("u{client}")}),
            _ => Value::Null,
        };
        // Some hang up early, and may or may not have been served.
        let patience = match (client * 7 + n) % 5 {
            0 => Duration::from_millis((client * 3 + n) % 20),
            _ => Duration::from_secs(60),
        };
        if let Ok(answer) = tokio::time::timeout(patience, world.ask(body)).await {
            assert!([201, 429, 502, 503, 504].contains(&answer.status), "{answer:?}");
            if answer.status == 201 {
                let left = answer.body["expiresAt"].as_i64().unwrap() - crate::clock::now().as_millisecond();
                assert!(left >= 30_000, "{left} ms are left");
                assert!(given.lock().insert(answer.token().to_owned()), "twice: {answer:?}");
                served += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(500 + (client * 131 + n * 17) % 1000)).await;
    }
    served
}

async fn make_trouble(world: Arc<World>) {
    let pass = async || tokio::time::sleep(Duration::from_secs(4)).await;
    for round in 0..3 {
        pass().await;
        world
            .provider
            .fail_nth(1, MintFault::Throttled(Some(SignedDuration::from_secs(3))));
        pass().await;
        world.provider.fail(MintFault::Unavailable);
        pass().await;
        world.provider.recover();
        pass().await;
        let key = if round % 2 == 0 { "c2stMg==" } else { "c2stMQ==" };
        world
            .api
            .edit("secrets", "shop", "openai", &json!({"data": {"api-key": key}}));
        pass().await;
        world.edit(json!({"spec": {"openai": {"model": format!("model-{round}")}}}));
        world.api.break_watches("realtimetokens");
    }
}
