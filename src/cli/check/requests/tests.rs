use std::net::SocketAddr;

use testkit::front::Front;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const BEARER: &str = "eyJ-service-account";

/// Answers every request with `status` and `body`, and says what it was asked.
async fn operator(status: u16, body: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (asked, asks) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                request.push(stream.read_u8().await.unwrap());
            }
            asked.send(String::from_utf8(request).unwrap()).unwrap();
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (addr, asks)
}

struct Asked {
    result: Result<String, RequestsError>,
    request: Option<String>,
    url: String,
}

/// Behind TLS, with the files of a pod.
async fn ask(status: u16, body: &'static str, realtime_token: Option<&str>) -> Asked {
    let (upstream, mut asks) = operator(status, body).await;
    let front = Front::start(upstream, "localhost").await.unwrap();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("ca.crt"), &front.ca).unwrap();
    std::fs::write(files.path().join("token"), format!("{BEARER}\n")).unwrap();
    let url = format!("https://localhost:{}/", front.addr.port());
    let args = RequestsArgs {
        requests_url: Some(url.clone()),
        requests_ca: Some(files.path().join("ca.crt")),
        requests_token_file: files.path().join("token"),
        requests_realtime_token: realtime_token.map(|text| namespace_and_name(text).unwrap()),
    };
    Asked {
        result: tokens_are_handed_out(&args, &url, "platform").await,
        request: asks.try_recv().ok(),
        url,
    }
}

const FORBIDDEN: &str = r#"{"title":"Forbidden","status":403,"reason":"Forbidden","detail":"no\nright"}"#;

#[tokio::test]
async fn being_refused_shows_that_all_is_in_place() {
    let Asked { result, request, url } = ask(403, FORBIDDEN, None).await;
    let expected = format!(
        "{url}v1alpha1/namespaces/platform/realtimetokens/none-of-this-name/token answers, watches this cluster, and \
         refuses whom it should (403)"
    );
    assert_eq!(result.unwrap(), expected);
    let request = request.unwrap();
    let line = "POST /v1alpha1/namespaces/platform/realtimetokens/none-of-this-name/token HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
    assert!(
        request.contains(&format!("authorization: Bearer {BEARER}\r\n")),
        "{request}"
    );
}

#[tokio::test]
async fn a_named_realtimetoken_must_answer_with_a_token() {
    let token = r#"{"provider":"openai","token":"ek_secret","expiresAt":1,"config":{}}"#;
    let asked = ask(201, token, Some("shop/voice")).await;
    let said = asked.result.unwrap();
    assert!(
        said.ends_with("/namespaces/shop/realtimetokens/voice/token handed out a token"),
        "{said}"
    );
    assert!(asked.request.unwrap().ends_with(r#"{"subject":"helm-test"}"#));

    let said = |asked: Asked| asked.result.unwrap_err().to_string();
    let refused = said(ask(403, FORBIDDEN, Some("shop/voice")).await);
    assert!(refused.ends_with("answered 403, Forbidden: no right"), "{refused}");
    let other = said(ask(201, r#"{"token":"ek_secret"}"#, Some("shop/voice")).await);
    assert!(other.ends_with("without provider, token and expiresAt"), "{other}");
    assert!(!other.contains("ek_secret"), "{other}");
}

#[tokio::test]
async fn it_says_what_is_wrong() {
    let said = async |status, body| ask(status, body, None).await.result.unwrap_err().to_string();
    let unknown = said(
        401,
        r#"{"reason":"Unauthenticated","detail":"the token has another audience"}"#,
    )
    .await;
    assert!(
        unknown.contains("watches another cluster than the one that issued the token"),
        "{unknown}"
    );
    assert!(unknown.contains("the token has another audience"), "{unknown}");
    let away = said(503, r#"{"reason":"NotReady","detail":"the API server doesn't answer"}"#).await;
    assert!(
        away.ends_with("answered 503, NotReady: the API server doesn't answer"),
        "{away}"
    );
    let path = said(404, r#"{"reason":"NoSuchPath","detail":"there is only POST"}"#).await;
    assert!(path.ends_with("answered 404, NoSuchPath: there is only POST"), "{path}");
    // Of something else nothing is repeated: it may be anything in the network.
    let foreign = said(403, "<html>internal</html>").await;
    assert!(foreign.contains("something else is listening there"), "{foreign}");
    assert!(!foreign.contains("internal"), "{foreign}");
    let open = said(201, r#"{"provider":"x","token":"y","expiresAt":1}"#).await;
    assert!(open.contains("should not exist, and got a token"), "{open}");
    for message in [unknown, away, foreign, open] {
        assert!(!message.contains(BEARER), "{message}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let (upstream, mut asks) = operator(403, FORBIDDEN).await;
    let front = Front::start(upstream, "localhost").await.unwrap();
    let other = Front::start(upstream, "localhost").await.unwrap();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("ca.crt"), &other.ca).unwrap();
    std::fs::write(files.path().join("token"), BEARER).unwrap();
    let url = format!("https://localhost:{}", front.addr.port());
    for ca in ["ca.crt", "not-there"] {
        let args = RequestsArgs {
            requests_url: Some(url.clone()),
            requests_ca: Some(files.path().join(ca)),
            requests_token_file: files.path().join("token"),
            requests_realtime_token: None,
        };
        let said = tokens_are_handed_out(&args, &url, "platform")
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains("can't be reached"), "{said}");
        assert!(said.contains("invalid peer certificate"), "{said}");
    }
    assert!(asks.try_recv().is_err(), "the ServiceAccount's token was sent");
}

#[test]
fn a_realtimetoken_is_named_with_its_namespace() {
    assert!(namespace_and_name("shop/voice").is_ok());
    for text in [
        "voice",
        "/voice",
        "shop/",
        "shop/voice/token",
        "shop/../x?",
        "Shop/voice",
    ] {
        assert!(namespace_and_name(text).is_err(), "{text}");
    }
}
