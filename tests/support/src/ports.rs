//! Free loopback ports.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Below the range from which Linux takes the ports of outgoing connections (32768 and up), unlike what `bind(0)` gives:
/// a port there may be taken while its server is down, and a client that keeps knocking at it may even connect to itself.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// An address on 127.0.0.1 that nobody listens on just now. Someone may take it before you do: be ready to try again.
pub fn free() -> io::Result<SocketAddr> {
    let mut last = None;
    for _ in 0..100 {
        // `RandomState` is the standard library's only source of random numbers, and enough here.
        let offset = RandomState::new().hash_one(()) % u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + offset as u16;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match TcpListener::bind(addr) {
            Ok(_) => return Ok(addr),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}
