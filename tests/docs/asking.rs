//! The application of `examples/requests` runs, and asks as the operator expects it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::front::Front;
use testkit::guard::Guarded;
use testkit::node::Node;
use testkit::{ports, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const PATH: &str = "/v1alpha1/namespaces/shop/realtimetokens/voice/token";
const ACCOUNT: &str = "eyJ-account";
const SALT: &str = "salt";

/// The script in the Deployment's pod.
fn script() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/requests/deployment.yaml");
    let deployment: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"][0], "node");
    container["command"][2].as_str().unwrap().to_owned()
}

/// One request, whose body is JSON: its head and its body.
async fn receive(stream: &mut TcpStream) -> (String, Value) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut body = Vec::new();
    loop {
        // Node sends a short body in chunks if it isn't told its length.
        body.push(stream.read_u8().await.unwrap());
        let text = String::from_utf8_lossy(&body);
        let json = text
            .find('{')
            .and_then(|at| text[at..].find('}').map(|end| &text[at..=at + end]));
        if let Some(json) = json {
            return (head, serde_json::from_str(json).unwrap());
        }
    }
}

/// Answers each request with a token of its own, and refuses the third.
async fn operator() -> (SocketAddr, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (asked, asks) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            number += 1;
            asked.send(receive(&mut stream).await).unwrap();
            let (status, body) = match number {
                3 => (403, json!({"reason": "Forbidden", "detail": "bind a Role"})),
                _ => (
                    201,
                    json!({"provider": "openai", "token": format!("ek_{number}"), "expiresAt": 1, "config": {}}),
                ),
            };
            let body = body.to_string();
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (addr, asks)
}

fn start(folder: &Path, addr: SocketAddr) -> Guarded {
    let node = Node::find().unwrap().node().unwrap();
    let mut command = testkit::guard::command(Path::new(node.get_program()), None);
    command.args(["-e", &script()]);
    command.env("CONNECTION", folder).env("ACCOUNT", folder);
    command.env("PORT", addr.port().to_string()).env("SUBJECT_SALT", SALT);
    command.stderr(Stdio::piped());
    Guarded::spawn(&mut command).unwrap()
}

#[tokio::test]
async fn each_user_gets_a_token_of_their_own() {
    let (upstream, mut asks) = operator().await;
    let front = Front::start(upstream, "localhost").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in [
        ("request-url", format!("https://localhost:{}{PATH}", front.addr.port())),
        ("request-ca.crt", front.ca.clone()),
        ("token", format!("{ACCOUNT}\n")),
    ] {
        std::fs::write(folder.path().join(file), content).unwrap();
    }
    let addr = ports::free().unwrap();
    let mut app = start(folder.path(), addr);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |user: Option<&str>| {
        let mut request = http.get(format!("http://{addr}"));
        if let Some(user) = user {
            request = request.header("x-forwarded-user", user);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        anyhow::Ok((status, answer.text().await?))
    };
    let nobody = wait::until("the application", Duration::from_secs(30), async || {
        Ok(Some(ask(None).await?))
    });
    assert_eq!(nobody.await.unwrap().0, 401, "without a user there is no token");

    let mut subjects = Vec::new();
    for (user, token) in [("ada", "ek_1"), ("bob", "ek_2")] {
        let (status, body) = ask(Some(user)).await.unwrap();
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["token"], token);
        let (head, asked) = asks.recv().await.unwrap();
        assert!(head.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")), "{head}");
        let head = head.to_lowercase();
        let bearer = format!("authorization: bearer {}\r\n", ACCOUNT.to_lowercase());
        assert!(head.contains(&bearer), "{head}");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        let subject = asked["subject"].as_str().unwrap().to_owned();
        subjects.push(subject);
    }
    // HMAC-SHA256 with the salt, as much of it as Daily takes: 36 characters.
    assert_eq!(
        subjects,
        [
            "eea2850d559a1b7c80da278f4a293ffa47a4",
            "876ccb7de6bc3ec9b3a2cdc487035159f012"
        ]
    );

    // What the operator says goes into the application's log, and not to the user.
    assert_eq!(ask(Some("eve")).await.unwrap(), (503, String::new()));
    // Without the file the system's CAs count, which have not signed this certificate.
    std::fs::remove_file(folder.path().join("request-ca.crt")).unwrap();
    assert_eq!(ask(Some("eve")).await.unwrap().0, 503);
    let mut log = app.child().stderr.take().unwrap();
    drop(app);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut log, &mut said).unwrap();
    let (refused, untrusted) = said.split_once('\n').unwrap();
    assert_eq!(refused, "403 Forbidden: bind a Role");
    assert!(untrusted.contains("certificate"), "{untrusted}");
}
