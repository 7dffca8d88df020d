//! Who may open a connection: bounded in all and for each peer. Pure bookkeeping; what closes a connection is given to it.
//!
//! A full server ends a connection of the peer that has the most, so that one peer can't keep the others out. Behind a
//! Service the address of a peer is the pod's; behind a proxy all callers share one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Connections of all peers.
pub(super) const MOST: usize = 1024;
/// Connections of one peer.
pub(super) const MOST_OF_PEER: usize = 128;

/// The open connections. `H` closes one.
#[derive(Debug)]
pub(super) struct Connections<H> {
    peers: HashMap<IpAddr, VecDeque<(u64, H)>>,
    open: usize,
    last_id: u64,
}

/// A connection that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    peer: IpAddr,
    number: u64,
}

/// The peer has as many connections as it may have, or the server is full and no peer has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl<H> Default for Connections<H> {
    fn default() -> Self {
        Self {
            peers: HashMap::new(),
            open: 0,
            last_id: 0,
        }
    }
}

impl<H> Connections<H> {
    /// Counts a connection in. Returns what closes the connection that must make room, if one must.
    pub(super) fn open(&mut self, peer: IpAddr, close: H) -> Result<(Id, Option<H>), Refused> {
        let of_peer = self.peers.get(&peer).map_or(0, VecDeque::len);
        if of_peer >= MOST_OF_PEER {
            return Err(Refused);
        }
        let evicted = if self.open < MOST {
            None
        } else {
            Some(self.evict(of_peer).ok_or(Refused)?)
        };
        self.last_id += 1;
        self.open += 1;
        let number = self.last_id;
        self.peers.entry(peer).or_default().push_back((number, close));
        Ok((Id { peer, number }, evicted))
    }

    /// Takes out the oldest connection of the peer with the most, if that has more than the newcomer would have.
    fn evict(&mut self, of_newcomer: usize) -> Option<H> {
        let (_, largest) = self.peers.iter_mut().max_by_key(|(_, open)| open.len())?;
        if largest.len() <= of_newcomer + 1 {
            return None;
        }
        let (_, close) = largest.pop_front()?;
        self.open -= 1;
        Some(close)
    }

    /// Counts a connection out, unless it was made to close.
    pub(super) fn closed(&mut self, id: Id) {
        let Some(of_peer) = self.peers.get_mut(&id.peer) else {
            return;
        };
        let before = of_peer.len();
        of_peer.retain(|(number, _)| *number != id.number);
        self.open -= before - of_peer.len();
        if of_peer.is_empty() {
            self.peers.remove(&id.peer);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u16) -> IpAddr {
        let [a, b] = n.to_be_bytes();
        IpAddr::from([10, 0, a, b])
    }

    #[test]
    fn a_peer_has_so_many_and_no_more() {
        let mut all = Connections::default();
        let mut ids = Vec::new();
        for n in 0..MOST_OF_PEER {
            ids.push(all.open(peer(1), n).unwrap().0);
        }
        assert_eq!(all.open(peer(1), 0), Err(Refused));
        assert!(all.open(peer(2), 0).is_ok());
        all.closed(ids[0]);
        all.closed(ids[0]); // counted once
        assert_eq!(all.len(), MOST_OF_PEER);
        assert!(all.open(peer(1), 0).is_ok());
    }

    #[test]
    fn a_full_server_makes_room_at_the_cost_of_the_greediest() {
        let mut all = Connections::default();
        let mut opened = 0;
        for greedy in 0..8 {
            for _ in 0..MOST_OF_PEER {
                opened += 1;
                assert_eq!(all.open(peer(greedy), opened).unwrap().1, None);
            }
        }
        assert_eq!(all.len(), MOST);
        for modest in 100..200 {
            let (_, evicted) = all.open(peer(modest), 0).unwrap();
            assert!(evicted.is_some_and(|number| number > 0), "one of the greedy");
            assert_eq!(all.len(), MOST);
        }
    }

    #[test]
    fn with_equal_shares_a_newcomer_is_refused_and_nothing_is_left_of_the_closed() {
        let mut all = Connections::default();
        let ids: Vec<Id> = (0..1024).map(|n| all.open(peer(n), n).unwrap().0).collect();
        assert_eq!(all.open(peer(5000), 0), Err(Refused));
        ids.into_iter().for_each(|id| all.closed(id));
        assert_eq!((all.len(), all.peers.len()), (0, 0));
    }
}
