//! The requests' server over real sockets: TLS, both versions of HTTP, slow and rude callers, and the end.

mod end;

use std::net::SocketAddr;

use axum::body::Bytes;
use http::StatusCode;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::requests::connections::MOST_OF_PEER;
use crate::requests::serve;
use crate::testing::MintFault;

/// A server name at which the server panics.
const PANICS: &str = "panics.test";

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        assert_ne!(hello.server_name(), Some(PANICS), "by the test");
        Some(Arc::clone(&self.0))
    }
}

struct Served {
    address: SocketAddr,
    api: FakeApi,
    provider: FakeProvider,
    metrics: Arc<Metrics>,
    roots: Arc<RootCertStore>,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

impl Served {
    async fn new() -> Self {
        let _ = aws_lc_rs::default_provider().install_default();
        let Made { cert, signing_key } = generate_simple_self_signed(vec!["operator.test".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let certificate = Arc::new(Fixed(Arc::new(CertifiedKey::new(vec![cert.der().clone()], key))));

        // The objects are those of World.
        let world = World::new(json!({"subject": "Optional"})).await;
        let (api, provider) = (world.api.clone(), world.provider.clone());
        drop(world);
        let (metrics, health) = (Arc::new(Metrics::new(true)), Arc::new(Health::default()));
        health.wait_for(None);
        let mut options = options(&api, &provider, &metrics, &health);
        options.certificate = certificate;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(serve(options, listener, shutdown.clone()));
        tokio::task::yield_now().await;
        while health.unready().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            address,
            api,
            provider,
            metrics,
            roots: Arc::new(roots),
            shutdown,
            ended,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::builder()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("operator.test").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, self.connect().await)
            .await
    }

    /// A connection on which requests are sent one after the other.
    async fn http1(&self) -> http1::SendRequest<Body> {
        let stream = self.tls(&["http/1.1"]).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn http2(&self) -> http2::SendRequest<Body> {
        let stream = self.tls(&["h2"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    fn open(&self) -> u64 {
        let text = self.metrics.render();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("realtime_token_request_connections "));
        value.unwrap().parse().unwrap()
    }

    /// Waits until so many connections are open.
    async fn until_open(&self, number: u64) {
        let reached = async {
            while self.open() != number {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "{} are open", self.open());
    }
}

/// The request as it goes over HTTP/1.1.
fn text() -> String {
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: operator.test\r\nauthorization: Bearer {BEARER}\r\ncontent-length: 0\r\n\r\n"
    )
}

async fn token(response: http::Response<hyper::body::Incoming>) -> String {
    let status = response.status();
    let body: Bytes = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX)
        .await
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body["token"].as_str().unwrap().to_owned()
}

/// One request over each version, with a subject.
pub(super) async fn ask_over_both_versions() {
    let served = Served::new().await;
    let asked = || request(BEARER, json!({"subject": "canary-subject"}));
    token(served.http1().await.send_request(asked()).await.unwrap()).await;
    token(served.http2().await.send_request(asked()).await.unwrap()).await;
}

#[tokio::test]
async fn both_versions_of_http_over_tls() {
    let served = Served::new().await;
    let mut one = served.http1().await;
    let first = token(one.send_request(request(BEARER, Value::Null)).await.unwrap()).await;
    let second = token(one.send_request(request(BEARER, Value::Null)).await.unwrap()).await;
    let mut two = served.http2().await;
    let asked = (0..20).map(|_| two.send_request(request(BEARER, Value::Null)));
    let mut tokens = std::collections::HashSet::from([first, second]);
    for response in futures::future::join_all(asked).await {
        tokens.insert(token(response.unwrap()).await);
    }
    assert_eq!(tokens.len(), 22, "each caller has its own");
    assert_eq!(served.open(), 2);
    drop((one, two));
    served.until_open(0).await;
}

#[tokio::test]
async fn plain_http_and_old_tls_are_refused() {
    let served = Served::new().await;
    let mut plain = served.connect().await;
    plain.write_all(text().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // A ClientHello of TLS 1.1 with a cipher suite and a signature that the server has.
    let hello = [
        &b"\x16\x03\x01\x00\x37\x01\x00\x00\x33\x03\x02"[..],
        &[7; 32],
        b"\x00\x00\x02\xc0\x2b\x01\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03",
    ]
    .concat();
    let mut old = served.connect().await;
    old.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    let _ = old.read_to_end(&mut answer).await;
    let is_protocol_version = matches!(answer[..], [0x15, 3, _, 0, 2, 2, 70]);
    assert!(is_protocol_version, "a fatal alert, protocol_version: {answer:?}");
    served.until_open(0).await;
    assert_eq!(served.provider.count(), 0);
}

#[tokio::test]
async fn headers_are_bounded() {
    let served = Served::new().await;
    let with = |bytes: usize| {
        let (mut parts, body) = request(BEARER, Value::Null).into_parts();
        parts.headers.insert("x-long", "x".repeat(bytes).parse().unwrap());
        Request::from_parts(parts, body)
    };
    let mut one = served.http1().await;
    assert_eq!(one.send_request(with(8 << 10)).await.unwrap().status(), 201);
    let response = served.http1().await.send_request(with(64 << 10)).await;
    assert!(response.is_err() || response.unwrap().status() == 431);
    let mut two = served.http2().await;
    assert_eq!(two.send_request(with(8 << 10)).await.unwrap().status(), 201);
    let response = two.send_request(with(64 << 10)).await;
    assert!(response.is_err() || response.unwrap().status() == 431);
    assert_eq!(served.provider.count(), 2);
}

/// With paused time the clock goes on as soon as nothing else happens.
#[tokio::test(start_paused = true)]
async fn who_is_slow_is_let_go() {
    let served = Served::new().await;
    let start = Instant::now();
    let mut silent = served.connect().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0, "no handshake");
    assert_eq!(start.elapsed().as_secs(), 10);

    let start = Instant::now();
    let mut idle = served.tls(&["http/1.1"]).await.unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0, "no request");
    assert!((10..=11).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());

    let start = Instant::now();
    let mut half = served.tls(&["http/1.1"]).await.unwrap();
    half.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let _ = half.read_to_end(&mut Vec::new()).await;
    assert!(
        start.elapsed() <= Duration::from_secs(60),
        "half a request: {:?}",
        start.elapsed()
    );

    let start = Instant::now();
    let mut kept = served.tls(&["http/1.1"]).await.unwrap();
    kept.write_all(text().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = kept.read_to_end(&mut answer).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 201"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert!(
        (59..=62).contains(&start.elapsed().as_secs()),
        "idle: {:?}",
        start.elapsed()
    );
}

/// Connections without a request keep no other from being answered.
#[tokio::test]
async fn one_peer_can_not_take_all_connections() {
    let served = Served::new().await;
    let mut mine = Vec::new();
    for _ in 0..MOST_OF_PEER {
        mine.push(served.connect().await);
    }
    served.until_open(MOST_OF_PEER as u64).await;
    let refused = served.tls(&["http/1.1"]).await;
    assert!(refused.is_err());
    // Another address of this machine.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let _other = other.connect(served.address).await.unwrap();
    served.until_open(MOST_OF_PEER as u64 + 1).await;
    mine.clear();
    served.until_open(1).await;
    assert_eq!(
        served
            .http1()
            .await
            .send_request(request(BEARER, Value::Null))
            .await
            .unwrap()
            .status(),
        201
    );
}

#[tokio::test]
async fn a_thousand_idle_connections_of_many_pods_leave_room() {
    let served = Served::new().await;
    let mut idle = Vec::new();
    for pod in 2..10u8 {
        for _ in 0..MOST_OF_PEER {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, pod], 0))).unwrap();
            idle.push(socket.connect(served.address).await.unwrap());
        }
    }
    served.until_open(1024).await;
    let answer = served
        .http1()
        .await
        .send_request(request(BEARER, Value::Null))
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(served.open(), 1024, "one of theirs made room");
}

/// A caller that hangs up leaves nothing behind, and the mint that had begun is heard out.
#[tokio::test]
async fn who_hangs_up_is_forgotten() {
    let served = Served::new().await;
    for _ in 0..10 {
        let mut stream = served.tls(&["http/1.1"]).await.unwrap();
        stream.write_all(text().as_bytes()).await.unwrap();
        drop(stream);
    }
    served.until_open(0).await;
    let mut sender = served.http1().await;
    let last = token(sender.send_request(request(BEARER, Value::Null)).await.unwrap()).await;
    assert_eq!(
        last,
        format!("token-{}", served.provider.tokens()),
        "nobody's token is kept for a later caller"
    );
}

#[tokio::test]
async fn a_panic_leaves_no_connection_counted() {
    let served = Served::new().await;
    let roots = RootCertStore::clone(&served.roots);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let panics = ServerName::try_from(PANICS).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    assert!(connector.connect(panics, served.connect().await).await.is_err());
    served.until_open(0).await;
}
