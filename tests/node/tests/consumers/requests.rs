//! A token for each user: the example's page in real browsers, and the npm package, ask the operator.

use std::collections::HashSet;

use testkit::node::Node;

use super::{
    app::App,
    event_named, package,
    script::Script,
    world::{SOON, world},
};

/// Each browser, with a user of its own, gets a token that no other gets, and talks with it.
#[tokio::test]
async fn two_users_in_two_browsers_talk_with_a_token_each() {
    let world = world().await;
    let team = world.team().await;
    let folder = tempfile::tempdir().unwrap();
    team.on_request("voice").await;
    let (_volume, pod) = team.pod("voice", folder.path()).await;
    team.grant(&team.role("voice")).await;
    let app = App::build("start-users");
    let (server, url) = app.start_in(&pod).await;

    let mut tokens = Vec::new();
    for user in ["ada@example.org", "bob@example.org"] {
        let mut page = app.page(&url, user);
        event_named(&mut page, "ready").await;
        page.type_line("talk").await;
        let given = event_named(&mut page, "token").await;
        let session = event_named(&mut page, "session").await;
        let token = session["bearer"].as_str().unwrap().to_owned();
        assert!(
            given["body"].as_str().unwrap().contains(&token),
            "opened with something else"
        );
        event_named(&mut page, "heard").await;
        page.finish().await;
        tokens.push(token);
    }
    assert!(tokens[0] != tokens[1], "both have one token");
    let calls = world.standin.calls();
    let subjects: HashSet<_> = tokens
        .iter()
        .map(|token| {
            let mut minted = calls.iter().filter(|call| call.token.as_ref() == Some(token));
            let subject = minted.next().unwrap().identity.clone().unwrap();
            assert!(minted.next().is_none());
            subject
        })
        .collect();
    assert_eq!(subjects.len(), 2, "one safety identifier for each user");
    for subject in subjects {
        assert_eq!(subject.len(), 43, "{subject} is no hash");
        assert!(!server.complaints().contains(&subject));
    }
}

/// Without a Role the error has the one to apply. With it, each call gets a token that is good for one session.
#[tokio::test]
async fn the_package_says_what_to_apply_and_then_gets_a_token_for_each_call() {
    let world = world().await;
    let team = world.team().await;
    let folder = tempfile::tempdir().unwrap();
    team.on_request("voice").await;
    let (volume, pod) = team.pod("voice", folder.path()).await;
    assert!(!volume.file("token.json").exists(), "a token was minted for nobody");

    let node = Node::find().unwrap();
    let modules = folder.path().join("node_modules");
    package::install(&node, &folder.path().join("package"), &modules);
    let script = folder.path().join("ask.mjs");
    std::fs::write(&script, ASK).unwrap();
    let ask = || {
        let mut command = node.node().unwrap();
        command.arg(&script);
        command.env("REALTIME_TOKEN_DIRECTORY", &pod.directory);
        command.env("REALTIME_TOKEN_CALLER_TOKEN_FILE", &pod.token_file);
        Script::start(command)
    };
    let mut refused = ask();
    refused.type_line("u_ada 600").await;
    let answer = event_named(&mut refused, "error").await;
    assert_eq!(answer["reason"], "Forbidden");
    let message = answer["message"].as_str().unwrap();
    let (_, manifests) = message.split_once("apply\n").unwrap();
    team.grant(manifests).await;

    // A grant counts once the refusal is forgotten.
    let mut asking = ask();
    let mut tokens = HashSet::new();
    testkit::wait::until("the grant to count", SOON, async || {
        asking.type_line("u_ada 600").await;
        let answer = super::event(&mut asking).await;
        Ok((answer["event"] == "token").then(|| tokens.insert(answer["token"]["token"].clone())))
    })
    .await
    .unwrap();
    for line in ["u_ada 60", "u_bob 600", "u_eve 600"] {
        asking.type_line(line).await;
        let answer = event_named(&mut asking, "token").await;
        let left = answer["left"].as_i64().unwrap();
        let life: i64 = line.split_once(' ').unwrap().1.parse().unwrap();
        assert!(
            left <= life * 1000 && left > (life - 30) * 1000,
            "{left} ms of {life} s"
        );
        let token = answer["token"]["token"].clone();
        world.standin.redeem(token.as_str().unwrap()).unwrap();
        assert!(tokens.insert(token), "a token twice");
    }

    // More in a row than a user may have by default.
    let mut refused = None;
    for _ in 0..8 {
        asking.type_line("u_ada 600").await;
        let answer = super::event(&mut asking).await;
        if answer["event"] == "error" {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused["status"], 429);
    assert!(refused["retryAfterMs"].as_i64().unwrap() > 0);
}

/// Asks for each line, `<subject> <seconds of life>`.
const ASK: &str = r"
import { createInterface } from 'node:readline/promises'
import { requestedRealtimeToken } from '@realtime-token/client'

const say = (event, more) => console.log(JSON.stringify({ event, ...more }))
for await (const line of createInterface({ input: process.stdin })) {
  const [subject, life] = line.split(' ')
  const overrides = { expirationSeconds: Number(life) }
  try {
    const token = await requestedRealtimeToken({ subject, overrides, timeoutMs: 5000 }).generateToken()
    say('token', { token, left: token.expiresAt - Date.now() })
  } catch ({ message, reason, status, retryAfterMs }) {
    say('error', { message, reason, status, retryAfterMs })
  }
}
";
