//! The port for requests of a running operator, while pods hold all the connections that it lets them have: the Secrets'
//! tokens are renewed in time, probes are answered, and so is an application that asks with a right.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use testkit::{fetch, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::mounted;
use super::{Replica, Site, token_of};
use crate::world::DEADLINE;

/// Between two connections of one attacker: what the machine has left is for the other tests.
const PAUSE: Duration = Duration::from_secs(2);
/// An answer to `/livez` takes less than this, as the chart's probe wants it.
const PROBE: Duration = Duration::from_secs(5);

/// What a pod does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Attack {
    /// Begins the TLS handshake and sends no more. Without a byte it would not notice that the kernel, whose queue a flood
    /// fills, has dropped the connection.
    HalfOpen,
    /// Completes the TLS handshake and asks for nothing.
    Idle,
    /// Sends one header after the other, and never the last.
    Dripping,
    /// Sets up HTTP/2 and asks for nothing.
    IdleHttp2,
    /// Offers TLS 1.1 and nothing newer.
    OldTls,
    /// Sends a header of 64 KiB.
    HugeHeader,
}

/// So many connections of each kind at a time, 128 of them or fewer from one address. The idle ones alone are a thousand;
/// all together are more than the operator has open.
const FLOOD: [(Attack, usize); 6] = [
    (Attack::Idle, 1000),
    (Attack::HalfOpen, 120),
    (Attack::Dripping, 60),
    (Attack::IdleHttp2, 60),
    (Attack::OldTls, 8),
    (Attack::HugeHeader, 8),
];
const OF_ONE_ADDRESS: usize = 125;

/// How often an attack came to its end: the operator closed the connection, or answered.
#[derive(Debug, Default)]
struct Ended([AtomicUsize; FLOOD.len()]);

impl Ended {
    fn count(&self, attack: Attack) {
        let place = FLOOD.iter().position(|(kind, _)| *kind == attack).unwrap();
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }

    fn all(&self) -> Vec<(Attack, usize)> {
        let ended = FLOOD.iter().zip(&self.0);
        ended
            .map(|((attack, _), count)| (*attack, count.load(Ordering::Relaxed)))
            .collect()
    }
}

struct Attacker {
    from: IpAddr,
    to: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Attacker {
    async fn tcp(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        socket.connect(self.to).await
    }

    async fn tls(&self, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::clone(&self.tls);
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, self.tcp().await?)
            .await
    }

    /// One connection, until the operator has closed it.
    async fn attack(&self, attack: Attack) -> std::io::Result<()> {
        match attack {
            Attack::HalfOpen => {
                let mut stream = self.tcp().await?;
                stream.write_all(b"\x16").await?;
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Attack::Idle => {
                self.tls(b"http/1.1").await?.read_to_end(&mut Vec::new()).await?;
            }
            Attack::Dripping => {
                let mut stream = self.tls(b"http/1.1").await?;
                stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").await?;
                for nth in 0.. {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    stream.write_all(format!("x-{nth}: y\r\n").as_bytes()).await?;
                    stream.flush().await?;
                }
            }
            Attack::IdleHttp2 => {
                let mut stream = self.tls(b"h2").await?;
                let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
                stream.write_all(settings).await?;
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Attack::OldTls => {
                // A ClientHello of TLS 1.1 with a cipher suite and a signature that the operator has.
                let hello = [
                    &b"\x16\x03\x01\x00\x37\x01\x00\x00\x33\x03\x02"[..],
                    &[7; 32],
                    b"\x00\x00\x02\xc0\x2b\x01\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03",
                ]
                .concat();
                let mut stream = self.tcp().await?;
                stream.write_all(&hello).await?;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await?;
                assert!(matches!(answer[..], [] | [0x15, 3, _, 0, 2, 2, 70]), "{answer:?}");
            }
            Attack::HugeHeader => {
                let mut stream = self.tls(b"http/1.1").await?;
                let header = format!("POST / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(64 << 10));
                // It may be refused before all of it is sent.
                let _ = stream.write_all(header.as_bytes()).await;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await?;
                assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
            }
        }
        Ok(())
    }

    /// One connection after the other.
    async fn go_on(self, attack: Attack, ended: Arc<Ended>) {
        loop {
            let _ = self.attack(attack).await;
            ended.count(attack);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Everything at once, until it is dropped.
fn flood(to: SocketAddr, ca: &str, ended: &Arc<Ended>) -> JoinSet<()> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = Arc::new(tls);
    let mut flood = JoinSet::new();
    for (kind, (attack, count)) in (0_u8..).zip(FLOOD) {
        for nth in 0..count {
            // All of 127.0.0.0/8 is this machine, so that each pod has an address of its own.
            let pod = u8::try_from(nth / OF_ONE_ADDRESS).unwrap();
            let attacker = Attacker {
                from: IpAddr::from([127, 0, 20 + kind, 1 + pod]),
                to,
                tls: Arc::clone(&tls),
            };
            flood.spawn(attacker.go_on(attack, Arc::clone(ended)));
        }
    }
    flood
}

async fn open(replica: &Replica) -> usize {
    let metrics = replica.operator.metrics().await.unwrap();
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("realtime_token_request_connections "));
    value.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_at_the_port_for_requests_delays_no_renewal_and_no_probe() {
    let site = Site::new().await;
    let many = json!({"requestsPerMinute": 600, "burst": 50});
    site.token("voice", json!({"subject": "Ignored", "rateLimit": many}));
    for object in mounted::objects(&site.standin.url()) {
        site.apply(object);
    }
    let replica = site.replica(&[]).await;
    let ca = site.ca("voice").await;
    token_of(&site.caller(&replica, "app", "voice").await.ask("").await.unwrap());

    let ended = Arc::new(Ended::default());
    let flood = flood(replica.address, &ca, &ended);
    wait::until("the connections of the flood", DEADLINE, async || {
        Ok((open(&replica).await >= 1000).then_some(()))
    })
    .await
    .unwrap();
    let (mut slowest_probe, mut slowest_answer) = (Duration::ZERO, Duration::ZERO);
    let mut most = 0;
    let asking = async {
        loop {
            let began = Instant::now();
            fetch::get(replica.operator.health_addr(), "/livez").await.unwrap();
            slowest_probe = slowest_probe.max(began.elapsed());
            // A pod that has no connection yet is let in, at the cost of one that has many.
            let answer = site.caller(&replica, "app", "voice").await.ask("").await.unwrap();
            token_of(&answer);
            slowest_answer = slowest_answer.max(answer.took);
            most = most.max(open(&replica).await);
            tokio::time::sleep(Duration::from_millis(500)).await; // between two looks of a kubelet
        }
    };
    tokio::select! {
        () = mounted::watch(&site.apps, |renewals| renewals >= 2) => {}
        () = asking => {}
    }
    drop(flood);
    println!("the slowest probe took {slowest_probe:?}, the slowest answer {slowest_answer:?}; {most} open, {ended:?}");
    assert!(slowest_probe < PROBE, "{slowest_probe:?}");
    for (attack, count) in ended.all() {
        assert!(count > 0, "the operator ended no connection of {attack:?}");
    }

    wait::until("the connections of the flood to be closed", DEADLINE, async || {
        Ok((open(&replica).await < 10).then_some(()))
    })
    .await
    .unwrap();
    token_of(&site.caller(&replica, "app", "voice").await.ask("").await.unwrap());
    fetch::get(replica.operator.health_addr(), "/readyz").await.unwrap();
}
