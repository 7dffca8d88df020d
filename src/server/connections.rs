//! Accepts connections so that nobody who can reach the port keeps others from being answered: half-open requests,
//! slow readers and thousands of connections cost only those who make them.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The kubelet and a few scrapers need a handful. Beyond this a new connection ends the oldest: a probe sends its request
/// at once, so it is answered long before it is the oldest.
const MAX_CONNECTIONS: usize = 128;
/// From the connection or the last answer to the end of a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may last in all, so that a client that doesn't read its answer is let go.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Serves until it is dropped, which ends all connections.
pub(super) async fn serve(mut listener: TcpListener, app: Router) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN);
    let mut connections = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        let (stream, _) = Listener::accept(&mut listener).await;
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|open: &tokio::task::AbortHandle| !open.is_finished());
        if oldest_first.len() >= MAX_CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        let (http, service) = (http.clone(), TowerToHyperService::new(app.clone()));
        let connection = connections.spawn(async move {
            let served = http.serve_connection(TokioIo::new(stream), service);
            // An error or the end of the time: the client is gone or too slow.
            let _ = tokio::time::timeout(ENDS_WITHIN, served).await;
        });
        oldest_first.push_back(connection);
    }
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
        server.spawn(serve(listener, app));
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
