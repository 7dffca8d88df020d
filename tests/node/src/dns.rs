//! A name server, as a pod's resolv.conf names one: UDP, port 53, on a loopback address of its own.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::BuildHasher as _,
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

/// A running name server. It serves until the process ends.
pub struct NameServer {
    address: Ipv4Addr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Starts one that knows these names, and has no other.
    pub fn start(names: BTreeMap<String, Ipv4Addr>) -> Result<Self> {
        // A resolv.conf can't name another port than 53. All of 127.0.0.0/8 is loopback: somewhere there it is free.
        let [.., high, low] = RandomState::new().hash_one(()).to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low.clamp(1, 254));
        let socket =
            UdpSocket::bind((address, 53)).with_context(|| format!("listen on {address}:53, which needs root"))?;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let Some((name, kind, question)) = question(&packet[..length]) else {
                    continue;
                };
                let found = names.get(&name);
                log.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                let _ = socket.send_to(&answer(&packet[..2], question, found, kind), from);
            }
        });
        Ok(Self { address, asked })
    }

    /// What a pod of the namespace `default` finds in /etc/resolv.conf.
    pub fn resolv_conf(&self) -> String {
        format!(
            "nameserver {}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
            self.address
        )
    }

    /// The names that it was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const A: u16 = 1;

/// The name, the type, and the question's bytes (RFC 1035, 4.1.2).
fn question(packet: &[u8]) -> Option<(String, u16, &[u8])> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(str::from_utf8(packet.get(at..at + length)?).ok()?);
        at += length;
    }
    let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    Some((labels.join("."), kind, packet.get(12..at + 4)?))
}

fn answer(id: &[u8], question: &[u8], found: Option<&Ipv4Addr>, kind: u16) -> Vec<u8> {
    let address = found.filter(|_| kind == A);
    let mut packet = id.to_vec();
    // A response, recursion wanted and available; NXDOMAIN for names it doesn't know.
    packet.extend([0x81, if found.is_some() { 0x80 } else { 0x83 }]);
    packet.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    packet.extend(question);
    if let Some(address) = address {
        // The question's name, A, IN, 30 s, four bytes.
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        packet.extend(address.octets());
    }
    packet
}
