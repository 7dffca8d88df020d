//! The ports of a running operator, while a pod floods them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use testkit::fetch;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::world::World;

/// All of 127.0.0.0/8 is this machine, so that others than the kubelet have addresses of their own.
async fn half_a_request(from: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((IpAddr::from([127, 0, 7, from]), 0).into())?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n").await?;
    Ok(stream)
}

#[tokio::test]
async fn a_flood_of_connections_stops_neither_probes_nor_mints() {
    let world = World::with_own_operator("flooded", &[]).await;
    let case = world.case("flooded").await;
    let (health, metrics) = {
        let operator = world.operator.lock().await;
        (operator.health_addr(), operator.metrics_addr())
    };
    let (mut flood, mut slowest) = (Vec::new(), Duration::ZERO);
    for n in 0..2000_u16 {
        // Beyond the most that may be open the operator ends some, perhaps while they are still written to.
        flood.extend(half_a_request(n as u8 % 4, if n % 2 == 0 { health } else { metrics }).await);
        if n % 200 == 199 {
            let began = Instant::now();
            fetch::get(health, "/livez").await.unwrap(); // within 5 s, as the chart's probes
            slowest = slowest.max(began.elapsed());
        }
    }
    assert!(flood.len() > 1000, "{}", flood.len());
    println!("the slowest probe took {slowest:?}");
    case.create("voice", case.openai()).await;
    case.revision("voice", 1).await;
    fetch::get(health, "/readyz").await.unwrap();
    assert!(
        fetch::get(metrics, "/metrics")
            .await
            .unwrap()
            .contains("realtime_token_build_info")
    );
}
