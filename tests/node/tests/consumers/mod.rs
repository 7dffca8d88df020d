//! Real consumers: the operator writes a Secret, it is mounted as the kubelet would, and an application's own code uses
//! what it finds there: TanStack Start with TanStack's realtime client, plain Node.js, plain Python. What fails here
//! says so without the tokens.

mod app;
mod documented;
mod edge;
mod package;
mod packages;
mod requests;
mod script;
mod strict;
mod volume;
mod world;

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;
use testkit::{cache, node::Node};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use app::{App, EXAMPLES};
use edge::Edge;
use script::Script;
use volume::Volume;
use world::{SOON, Team, world};

/// TanStack's client refreshes this long before the end of a token.
const REFRESH_MARGIN_MS: i64 = 60_000;

/// Four rotations, each picked up by one call: the life leaves 25 s until the client asks again, and each renewal is in
/// the file ten seconds before that.
#[tokio::test]
async fn tanstacks_client_gets_each_token_once_from_the_server_function() {
    let world = world().await;
    let team = world.team().await;
    let folder = tempfile::tempdir().unwrap();
    let volume = team.mount("voice", folder.path().join("token"));
    let app = App::build("start-rotates");
    let (_server, url) = app.start(volume.folder()).await;
    team.openai("voice", 85).await;
    mounted(&team, &volume, "voice", 1).await;

    let mut client = app.client(&["start", &url, &app.kiosk_function()]);
    let mut tokens: Vec<String> = Vec::new();
    let mut opened = Vec::new();
    while tokens.len() < 5 {
        let event = event(&mut client).await;
        match event["event"].as_str().unwrap() {
            "token" => {
                let left = event["left"].as_i64().unwrap();
                assert!(
                    left > REFRESH_MARGIN_MS,
                    "with {left} ms left it would ask again at once"
                );
                let revision = tokens.len() + 1;
                let stored = team.token_json("voice", revision as u32).await;
                let given = event["token"].to_string();
                assert!(
                    given == stored,
                    "revision {revision} was due, and it was given something else"
                );
                tokens.push(event["token"]["token"].as_str().unwrap().to_owned());
                team.renew("voice", &revision.to_string()).await;
            }
            "session" => opened.push(event["bearer"].as_str().unwrap().to_owned()),
            "status" => assert_ne!(event["status"], "error", "{}", client.complaints()),
            _ => panic!("{}", event["message"]),
        }
    }
    // It was handed five tokens by five calls: had it asked twice between two rotations, a revision would be missing.
    assert!(opened == tokens[..1], "not one session, opened with the first token");
    world.standin.redeem(tokens.last().unwrap()).unwrap();
    let rest = client.finish().await;
    assert!(!rest.iter().any(|it| it.contains("error")), "an error at the end");

    let mut stranger = app.client(&["stranger", &url, &app.kiosk_function()]);
    let refused = event_named(&mut stranger, "error").await;
    assert_eq!(refused["message"], "sign in first");
}

/// The same in Chromium: the page, Start's own call of the server function, real WebRTC, and one refresh of the token.
#[tokio::test]
async fn the_page_talks_in_a_browser_and_refreshes_its_token() {
    let world = world().await;
    let team = world.team().await;
    let folder = tempfile::tempdir().unwrap();
    let volume = team.mount("page", folder.path().join("token"));
    let app = App::build("start-page");
    let (_server, url) = app.start(volume.folder()).await;
    let mut page = app.page(&format!("{url}/kiosk"), "ada");
    event_named(&mut page, "ready").await;
    team.openai("page", 85).await;
    let first = mounted(&team, &volume, "page", 1).await;
    page.type_line("talk").await;

    let given = event_named(&mut page, "token").await;
    assert!(given["body"].as_str().unwrap().contains(&first), "not what is mounted");
    team.renew("page", "now").await;
    let session = event_named(&mut page, "session").await;
    assert!(session["bearer"] == *first, "opened with something else");
    world.standin.redeem(&first).unwrap();
    event_named(&mut page, "heard").await;

    let second = mounted(&team, &volume, "page", 2).await;
    let given = event_named(&mut page, "token").await;
    assert!(given["body"].as_str().unwrap().contains(&second), "not what is mounted");
    let rest = page.finish().await;
    assert_eq!(rest.len(), 1, "more than the page's text at the end");
    let text = "Stop\\n\\nconnected, listening\\n\\nassistant: hello";
    assert!(rest[0].contains(text), "{rest:?}");
}

/// The reason for the floor: with less than a minute left, TanStack's client asks without pause. The example's server
/// function refuses to hand such a token out.
#[tokio::test]
async fn below_a_minute_tanstacks_client_asks_without_pause_and_the_server_function_refuses() {
    let world = world().await;
    let team = world.team().await;
    let folder = tempfile::tempdir().unwrap();
    let volume = team.mount("short", folder.path().join("token"));
    team.openai("short", 59).await;
    mounted(&team, &volume, "short", 1).await;
    let file = volume.file("token.json");
    let app = App::build("start-refuses");

    let mut client = app.client(&["file", file.to_str().unwrap()]);
    event_named(&mut client, "token").await;
    let started = Instant::now();
    for _ in 0..50 {
        event_named(&mut client, "token").await;
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "50 calls in {took:?} are no tight loop");

    let (_server, url) = app.start(volume.folder()).await;
    let mut client = app.client(&["start", &url, &app.kiosk_function()]);
    let refused = event_named(&mut client, "error").await;
    let message = "no realtime token at the moment, try again in a minute";
    assert_eq!(refused["message"], message);
    let events = client.finish().await;
    let given = events.iter().any(|it| it.contains("\"token\""));
    assert!(!given, "it was given a token after all");
}

/// TypeScript judges the very JSON that the operator wrote.
#[tokio::test]
async fn token_json_is_tanstacks_type_and_the_example_is_what_is_committed() {
    let world = world().await;
    let team = world.team().await;
    team.openai("voice", 1800).await;
    team.elevenlabs("agent").await;
    let voice = team.token_json("voice", 1).await;
    let agent = team.token_json("agent", 1).await;
    let app = App::build("start-types");

    app.check("tsconfig.json").unwrap();
    let judge = |token: &str| {
        let source = format!(
            "import type {{ RealtimeToken }} from '@tanstack/ai'\nexport const token: RealtimeToken = {token}\n"
        );
        std::fs::write(app.folder.join("check/token.mts"), source).unwrap();
        app.check("check/tsconfig.json")
    };
    judge(&voice).unwrap();
    judge(&agent).unwrap();
    let wrong = judge(&voice.replace("\"expiresAt\":", "\"expires_at\":")).unwrap_err();
    assert!(wrong.contains("expires_at"), "{wrong}");
    let wrong = judge(&voice.replacen("\"openai\"", "7", 1)).unwrap_err();
    assert!(wrong.contains("TS2322"), "{wrong}");

    let routes = "src/routeTree.gen.ts";
    let committed = std::fs::read_to_string(Path::new(EXAMPLES).join("tanstack-start").join(routes));
    let built = std::fs::read_to_string(app.folder.join(routes));
    assert_eq!(built.unwrap(), committed.unwrap(), "commit the new {routes}");
    for server_only in [
        "token.json",
        "x-forwarded-user",
        "node:fs",
        "node:crypto",
        "SUBJECT_SALT",
        "request-url",
    ] {
        assert!(
            !app.browser_bundle().contains(server_only),
            "the browser gets {server_only}"
        );
    }
}

#[tokio::test]
async fn plain_node_reads_the_token_anew_for_each_session() {
    let mut command = Node::find().unwrap().node().unwrap();
    command.arg(Path::new(EXAMPLES).join("node/consumer.mjs"));
    rereads(command, "ask-node").await;
}

#[tokio::test]
async fn plain_python_reads_the_token_anew_for_each_session() {
    let folder = Path::new(EXAMPLES).join("python");
    let requirements = folder.join("requirements.txt");
    let name = std::fs::read_to_string(&requirements).unwrap();
    let packages = cache::entry(&name.trim().replace("==", "-"), "websockets", |target| {
        let pip = "-m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target";
        let mut command = Command::new("python3");
        command
            .args(pip.split(' '))
            .arg(target)
            .arg("--requirement")
            .arg(&requirements);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "pip failed: {said}");
        Ok(())
    });
    let mut command = Command::new("python3");
    command.arg(folder.join("consumer.py"));
    command
        .env("PYTHONPATH", packages.unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    rereads(command, "ask-python").await;
}

/// The few lines in `examples/deployment.yaml` that stand for an application, as they are but for folder and port.
#[tokio::test]
async fn the_deployments_command_serves_what_is_mounted() {
    let world = world().await;
    let team = world.team().await;
    let folder = tempfile::tempdir().unwrap();
    let volume = team.mount("served", folder.path());
    team.openai("served", 600).await;
    mounted(&team, &volume, "served", 1).await;

    let manifest = std::fs::read_to_string(Path::new(EXAMPLES).join("deployment.yaml")).unwrap();
    let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
    let container = &manifest["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"][1], "-e");
    let script = container["command"][2].as_str().unwrap();
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let listen = ".listen(0, '127.0.0.1', function () { console.log(this.address().port) })";
    let script = script.replace(mount, folder.path().to_str().unwrap());
    let script = script.replace(".listen(8080)", listen);

    let mut command = Node::find().unwrap().node().unwrap();
    command.args(["-e", &script]);
    let mut server = Script::start(command);
    let port = server.line(SOON).await;
    for revision in [1, 2] {
        let answer = get(&format!("127.0.0.1:{port}")).await;
        let stored = team.token_json("served", revision).await;
        assert!(answer.ends_with(&stored), "not what is mounted");
        assert!(answer.contains("content-type: application/json"));
        if revision == 1 {
            team.renew("served", "now").await;
            mounted(&team, &volume, "served", 2).await;
        }
    }
}

/// The whole answer to one plain request.
async fn get(addr: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A plain consumer waits for its first token, opens a session with it, and the next one with the next token.
async fn rereads(mut consumer: Command, name: &str) {
    let world = world().await;
    let team = world.team().await;
    let edge = Edge::start(world.standin.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let volume = team.mount(name, folder.path().join("token"));
    consumer.env("REALTIME_TOKEN_FILE", volume.file("token.json"));
    consumer.env("OPENAI_REALTIME_URL", edge.url());
    let mut consumer = Script::start(consumer);

    consumer.type_line("one").await;
    testkit::wait::until("a complaint about the missing token", SOON, async || {
        Ok(consumer.complaints().contains("no token in").then_some(()))
    })
    .await
    .unwrap();
    team.openai(name, 600).await;
    assert_eq!(consumer.line(SOON).await, "heard one");

    team.renew(name, "now").await;
    let second = mounted(&team, &volume, name, 2).await;
    consumer.type_line("two").await;
    assert_eq!(consumer.line(SOON).await, "heard two");

    let bearers = edge.bearers();
    assert_eq!(bearers.len(), 2, "one session a line");
    assert!(bearers[0] != bearers[1], "the second session has the first's token");
    assert!(bearers[1] == second, "not the token that is mounted");
    consumer.finish().await;
}

/// Waits until a revision has reached the mounted file: its token.
async fn mounted(team: &Team<'_>, volume: &Volume, name: &str, revision: u32) -> String {
    let stored = team.token_json(name, revision).await;
    testkit::wait::until("the file to follow the Secret", SOON, async || {
        let there = std::fs::read_to_string(volume.file("token.json"))?;
        Ok((there == stored).then_some(()))
    })
    .await
    .unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    stored["token"].as_str().unwrap().to_owned()
}

/// The next event of a client.
async fn event(client: &mut Script) -> Value {
    serde_json::from_str(&client.line(SOON).await).unwrap()
}

/// The next event of one kind.
async fn event_named(client: &mut Script, name: &str) -> Value {
    loop {
        let event = event(client).await;
        if event["event"] == name {
            return event;
        }
    }
}
