//! Free loopback ports.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{Mutex, PoisonError},
};

/// Below the range from which Linux takes the ports of outgoing connections (32768 and up), unlike what `bind(0)` gives:
/// a port there may be taken while its server is down, and a client that keeps knocking at it may even connect to itself.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// An address on 127.0.0.1 that no process listens on, and that no other call gives, of this process or of another one
/// on this machine, until this process ends.
///
/// Between this call and the server's start the port is free for others. A UDP socket of the same number, which doesn't
/// stand in the server's way, tells the next call that it is taken.
pub fn free() -> io::Result<SocketAddr> {
    static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let mut last = None;
    for _ in 0..100 {
        // `RandomState` is the standard library's only source of random numbers, and enough here.
        let offset = RandomState::new().hash_one(()) % u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + offset as u16;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Not by listening for a moment: a process that another thread starts just then inherits the listener and keeps
        // the port until it has begun its program.
        match UdpSocket::bind(addr) {
            Ok(mark) if TcpStream::connect(addr).is_err() => {
                TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
                return Ok(addr);
            }
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_is_given_once_and_can_be_listened_on() -> io::Result<()> {
        let mut all = Vec::new();
        for _ in 0..200 {
            let addr = free()?;
            assert!(!all.contains(&addr), "{addr} was given before");
            TcpListener::bind(addr)?;
            all.push(addr);
        }
        Ok(())
    }
}
