//! Connections: accepted, refused, cut or frozen, whatever is in them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use super::relay::{End, Relay, serve};

/// What holds for connections, by their numbers: they are counted from 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    accepted: u64,
    /// Connections of smaller numbers are reset.
    cut_below: u64,
    /// In connections of smaller numbers nothing moves.
    frozen_below: u64,
    refusing: bool,
}

impl Link {
    pub(super) fn cut(&mut self) {
        self.cut_below = self.accepted;
    }

    pub(super) fn refuse(&mut self) {
        self.cut();
        self.refusing = true;
    }

    pub(super) fn freeze(&mut self) {
        self.frozen_below = self.accepted;
    }

    pub(super) fn freeze_all(&mut self) {
        self.frozen_below = u64::MAX;
    }

    pub(super) fn heal(&mut self) {
        if self.frozen_below > 0 {
            self.cut_below = self.cut_below.max(self.frozen_below.min(self.accepted));
        }
        self.frozen_below = 0;
        self.refusing = false;
    }
}

pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    link: watch::Sender<Link>,
    relay: Arc<Relay>,
) {
    let next = AtomicU64::new(0);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: wait for some to come back.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        if link.borrow().refusing {
            let _ = stream.set_zero_linger(); // dropped now: a reset instead of an orderly end
            continue;
        }
        let _ = stream.set_nodelay(true);
        let number = next.fetch_add(1, Ordering::Relaxed);
        link.send_modify(|link| link.accepted = number + 1);
        let connection = Connection {
            number,
            link: link.subscribe(),
        };
        tokio::spawn(connection.run(stream, tls.clone(), Arc::clone(&relay)));
    }
}

/// One connection of a client.
struct Connection {
    number: u64,
    link: watch::Receiver<Link>,
}

impl Connection {
    async fn run(self, mut stream: TcpStream, tls: Option<TlsAcceptor>, relay: Arc<Relay>) {
        let (near, far) = duplex(64 << 10);
        let reset = {
            let mut serving = pin!(serve(far, tls, relay));
            let mut pumping = pin!(self.pump(&mut stream, near));
            let ended = tokio::select! {
                end = &mut serving => Some(end),
                () = &mut pumping => None,
                () = self.cut() => Some(End::Reset),
            };
            if matches!(ended, Some(End::Orderly)) {
                pumping.await; // what it has said must still get out
            }
            matches!(ended, Some(End::Reset))
        };
        if reset {
            // Closing without lingering sends RST instead of FIN.
            let _ = stream.set_zero_linger();
        }
    }

    /// Until it is to be reset.
    async fn cut(&self) {
        let mut link = self.link.clone();
        if link.wait_for(|link| self.number < link.cut_below).await.is_err() {
            std::future::pending().await
        }
    }

    /// Until nothing holds it up. False if the proxy ends.
    async fn moves(&self) -> bool {
        let mut link = self.link.clone();
        link.wait_for(|link| self.number >= link.frozen_below).await.is_ok()
    }

    /// Until either side ends.
    async fn pump(&self, stream: &mut TcpStream, near: DuplexStream) {
        let (from_client, to_client) = stream.split();
        let (from_proxy, to_proxy) = split(near);
        tokio::select! {
            () = self.copy(from_client, to_proxy) => {}
            () = self.copy(from_proxy, to_client) => {}
        }
    }

    async fn copy(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if !self.moves().await || to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }
}
