//! Accepts connections so that no client keeps others from being answered: half-open requests, slow readers and
//! thousands of connections cost only those who make them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// The kubelet and a few scrapers need a handful. Beyond this a new connection ends the oldest one of the peer that has
/// the most: the kubelet, with one or two of its own, is never that peer while another floods the port.
const MAX_CONNECTIONS: usize = 128;
/// From the connection or the last answer to the end of a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may last in all, so that a client that doesn't read its answer is let go.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Serves until it is dropped, which ends all connections.
pub(super) async fn serve(mut listener: TcpListener, app: Router, tls: Option<TlsAcceptor>) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN);
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<(IpAddr, AbortHandle)> = VecDeque::new();
    loop {
        let (stream, peer) = Listener::accept(&mut listener).await;
        let peer = peer.ip().to_canonical();
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|(_, open)| !open.is_finished());
        if oldest_first.len() >= MAX_CONNECTIONS
            && let Some(oldest) = one_to_end(&oldest_first, peer)
            && let Some((_, connection)) = oldest_first.remove(oldest)
        {
            connection.abort();
        }
        let (http, service) = (http.clone(), TowerToHyperService::new(app.clone()));
        let tls = tls.clone();
        let served = async move {
            let served = match tls {
                None => http.serve_connection(TokioIo::new(stream), service).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
                    Err(_) => return,
                },
            };
            drop(served); // an error is the client's end of the connection
        };
        let connection = connections.spawn(async move {
            // The end of the time: the client is too slow.
            let _ = tokio::time::timeout(ENDS_WITHIN, served).await;
        });
        oldest_first.push_back((peer, connection));
    }
}

/// The oldest connection of the peer that has the most, the newcomer's own counted.
fn one_to_end<C>(oldest_first: &VecDeque<(IpAddr, C)>, newcomer: IpAddr) -> Option<usize> {
    let mut counts = HashMap::from([(newcomer, 1)]);
    for (peer, _) in oldest_first {
        *counts.entry(*peer).or_default() += 1;
    }
    let most = *counts.values().max()?;
    oldest_first
        .iter()
        .position(|(peer, _)| counts.get(peer) == Some(&most))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::*;

    async fn server() -> (JoinSet<()>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/", get(|| async { "ok" }))
            .route("/big", get(|| async { vec![b'x'; 64 << 20] }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, app, None));
        (server, address)
    }

    async fn send(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        // A reset ends it as well as an end does.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    const WHOLE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    const HALF: &str = "GET / HTTP/1.1\r\nhost: x\r\n";

    #[tokio::test]
    async fn a_probe_is_answered_beside_any_number_of_half_open_requests() {
        let (_server, address) = server().await;
        let mut half_open = Vec::new();
        for _ in 0..MAX_CONNECTIONS * 3 {
            half_open.push(send(address, HALF).await);
        }
        let answer = rest(send(address, WHOLE).await).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(rest(half_open.remove(0)).await, "", "the oldest was ended");
        let mut newest = half_open.pop().unwrap();
        newest.write_all(b"connection: close\r\n\r\n").await.unwrap();
        let answer = rest(newest).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// As from pods with addresses of their own: all of 127.0.0.0/8 is this machine.
    async fn send_from(peer: [u8; 4], address: SocketAddr, text: &str) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from(peer), 0).into()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Even a kubelet whose request is slow to come.
    #[tokio::test]
    async fn a_flood_ends_only_connections_of_those_who_make_it() {
        let (_server, address) = server().await;
        let mut kubelet = send_from([127, 0, 0, 9], address, HALF).await;
        let mut flood = Vec::new();
        for n in 0..MAX_CONNECTIONS * 3 {
            let text = if n % 2 == 0 { HALF } else { "" };
            flood.push(send_from([127, 0, 1, n as u8 % 4], address, text).await);
        }
        kubelet.write_all(b"connection: close\r\n\r\n").await.unwrap();
        let answer = rest(kubelet).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = rest(send_from([127, 0, 0, 9], address, WHOLE).await).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[test]
    fn the_greediest_peer_loses_its_oldest() {
        let peer = |n: u8| IpAddr::from([10, 0, 0, n]);
        let open = |peers: &[u8]| peers.iter().map(|n| (peer(*n), ())).collect::<VecDeque<_>>();
        assert_eq!(
            one_to_end(&open(&[1, 2, 2, 2, 1]), peer(1)),
            Some(0),
            "a tie: the oldest"
        );
        assert_eq!(one_to_end(&open(&[1, 2, 2, 1, 2]), peer(3)), Some(1));
        assert_eq!(
            one_to_end(&open(&[1, 2, 2]), peer(2)),
            Some(1),
            "also of the newcomer itself"
        );
        assert_eq!(one_to_end(&open(&[1, 2]), peer(3)), Some(0));
    }

    /// With paused time the clock goes on as soon as nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_come_to_an_end_is_ended() {
        let (_server, address) = server().await;
        let start = Instant::now();
        rest(send(address, HALF).await).await;
        assert!(
            (HEADERS_WITHIN..ENDS_WITHIN).contains(&start.elapsed()),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_let_go() {
        let (_server, address) = server().await;
        let mut stream = send(address, "GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
        tokio::time::sleep(ENDS_WITHIN * 2).await;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        assert!(!text.is_empty() && text.len() < 64 << 20, "{} bytes", text.len());
    }
}
