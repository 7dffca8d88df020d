//! Tenants who mean no good, and people who make mistakes.

use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use realtime_token_operator::api::RealtimeToken;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::MissedTickBehavior;

use crate::world::{Expected, KEY, Setup, World};

/// Twenty RealtimeTokens of another namespace on the same ClusterRealtimeProvider, which may mint 60 times a minute, are
/// edited twenty times a second. Every edit changes what is to be minted, and every other one can't be.
#[tokio::test]
async fn twenty_edits_a_second_on_a_shared_key() {
    let setup = Setup {
        shared_key: true,
        ..Setup::new("hostile-edits")
    };
    let world = World::start(setup).await;
    let hostile = world.hostile.as_ref().unwrap();
    let tokens: Api<RealtimeToken> = hostile.api();
    for nth in 0..20 {
        let token: RealtimeToken = serde_json::from_value(world.manifest(&format!("hostile-{nth}"))).unwrap();
        tokens.create(&PostParams::default(), &token).await.unwrap();
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut edits = 0;
    while world.since_issued() < Duration::from_secs(140) {
        ticks.tick().await;
        let model = if edits % 2 == 0 {
            "gpt-realtime-2.1"
        } else {
            "refused-model"
        };
        let session = json!({"instructions": format!("Edit {edits}.")});
        let patch = json!({"spec": {"openai": {"model": model, "session": session}}});
        let name = format!("hostile-{}", edits % 20);
        tokens
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
        edits += 1;
    }
    println!("hostile-edits: {edits} edits");
    let hostile_mints: usize = world
        .standin
        .mints()
        .iter()
        .filter(|(name, _)| name.starts_with("hostile"))
        .map(|(_, mints)| mints.len())
        .sum();
    let mints: usize = world.standin.mints().values().map(Vec::len).sum();
    println!("hostile-edits: {hostile_mints} of {mints} mints were theirs");
    let expected = Expected {
        // Their own mints aside: see World::extra_mints.
        extra_mints: 0,
        // There are some 2,800 edits.
        requests: 3_500,
        refusals: true,
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// Twenty RealtimeTokens of a megabyte: refused at admission, or read without more memory than a pod has.
#[tokio::test]
async fn objects_of_a_megabyte() {
    // What they cost the API server is not for others to bear.
    let world = World::start_alone(Setup::new("big-objects")).await;
    let mut accepted = 0;
    for nth in 0..20 {
        let mut big = world.manifest(&format!("big-{nth}"));
        let filler: Vec<Value> = (0..100_000).map(|nth| json!({"a": nth})).collect();
        big["spec"]["openai"]["session"] = json!({"tools": filler});
        let answer = tokio::time::timeout(Duration::from_secs(60), world.try_create(big)).await;
        accepted += usize::from(answer.expect("an answer of the API server within a minute").is_ok());
    }
    println!("big-objects: {accepted} of 20 accepted");
    let mut most = 0;
    while world.since_issued() < Duration::from_secs(100) {
        most = most.max(world.pods[0].operator().await.rss_bytes().unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("big-objects: at most {} MB", most / 1_000_000);
    assert!(most < 200_000_000, "{most} bytes");
    world
        .finish(&Expected {
            floor: 40,
            ..Expected::default()
        })
        .await;
}

/// A thousand connections that say a byte now and then. The kubelet's question is answered all the same.
#[tokio::test]
async fn a_thousand_slow_connections_to_the_port() {
    let world = World::start(Setup::new("slow-connections")).await;
    let addr = world.pods[0].operator().await.health_addr();
    let mut open = Vec::new();
    for nth in 0..1000_u16 {
        // From a hundred addresses, as pods have them.
        let socket = TcpSocket::new_v4().unwrap();
        let [_, last] = (nth % 100 + 2).to_be_bytes();
        socket.bind(([127, 0, 1, last], 0).into()).unwrap();
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), socket.connect(addr)).await {
            open.push(stream);
        }
    }
    let opened = open.len();
    let (mut asked, mut missed, mut in_a_row) = (0, 0, 0);
    while world.since_issued() < Duration::from_secs(90) {
        for stream in &mut open {
            let _ = stream.write_all(b"G").await;
        }
        let answer = tokio::time::timeout(Duration::from_secs(1), testkit::fetch::get(addr, "/livez")).await;
        let answered = matches!(answer, Ok(Ok(_)));
        asked += 1;
        missed += usize::from(!answered);
        in_a_row = if answered { 0 } else { in_a_row + 1 };
        assert!(in_a_row < 3, "the kubelet would end the process: {answer:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("slow-connections: {opened} opened, {missed} of {asked} probes not answered within a second");
    drop(open);
    world
        .finish(&Expected {
            floor: 40,
            ..Expected::default()
        })
        .await;
}

/// The key's Secret is deleted, comes back, is wrong, and is right again, every two seconds.
#[tokio::test]
async fn a_key_that_comes_and_goes() {
    let world = World::start(Setup::new("key-flaps")).await;
    world.at(40).await;
    let mut flaps = 0;
    while world.since_issued() < Duration::from_secs(80) {
        match flaps % 4 {
            0 => {
                world
                    .secrets()
                    .delete("openai", &DeleteParams::default())
                    .await
                    .unwrap();
            }
            2 => world.put_key("sk-test-wrong").await,
            _ => world.put_key(KEY).await,
        }
        flaps += 1;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    world.put_key(KEY).await;
    let calls = world.standin.count();
    assert!(calls <= 200, "{calls} calls for 10 tokens");
    let expected = Expected {
        converged: Duration::from_secs(35),
        // A token whose key was changed while it was minted is not stored.
        extra_mints: 10,
        requests: 800,
        refusals: true,
        ..Expected::default()
    };
    world.finish(&expected).await;
}
