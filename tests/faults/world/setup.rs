//! How a scenario begins, and what it promises.

use std::time::Duration;

use jiff::SignedDuration;

/// How a scenario begins.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    /// How many RealtimeTokens.
    pub tokens: usize,
    /// How long a token lives, in seconds.
    pub life: i64,
    /// `minRemainingSeconds`. With the default life a token is due half-way, a minute before its floor.
    pub floor: i64,
    pub replicas: usize,
    pub args: Vec<String>,
    /// Put a proxy before the provider too.
    pub provider_proxy: bool,
    /// The key is a ClusterRealtimeProvider's, which a second namespace may use too.
    pub shared_key: bool,
}

impl Setup {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            tokens: 10,
            life: 130,
            floor: 5,
            replicas: 1,
            args: Vec::new(),
            provider_proxy: false,
            shared_key: false,
        }
    }

    /// Two replicas and a Lease with the times of the chart.
    pub fn replicated(name: &'static str) -> Self {
        Self {
            replicas: 2,
            args: vec!["--leader-elect".to_owned()],
            ..Self::new(name)
        }
    }

    /// No two mints of one RealtimeToken are closer if both were due.
    pub(super) fn due_after(&self) -> SignedDuration {
        let renew_before = (self.life * 33 / 100).max(self.floor + 60).min(self.life / 2);
        let jitter = (self.life / 20).min(60) + 1;
        SignedDuration::from_secs(self.life - renew_before - jitter - 2)
    }
}

/// What must hold at the end of a scenario.
#[derive(Clone, Debug)]
pub struct Expected {
    /// From now on: every token alive and every status true.
    pub converged: Duration,
    /// Mints that came before they were due.
    pub extra_mints: usize,
    /// Requests to the API server from the start of the scenario, Leases aside.
    pub requests: u64,
    /// Requests about the Lease beyond one in two seconds for each replica: a claim takes a read and a write, and so does a
    /// renewal after a conflict.
    pub lease_requests: u64,
    /// The least life that any Secret's token had.
    pub floor: i64,
    /// The longest time for which a status said Ready=True without a living token.
    pub false_claim: Duration,
    /// Ends of processes.
    pub restarts: usize,
    /// Whether the provider has reason to refuse a request.
    pub refusals: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            converged: Duration::from_secs(30),
            extra_mints: 0,
            requests: 400,
            lease_requests: 4,
            floor: 5,
            false_claim: Duration::from_secs(3),
            restarts: 0,
            refusals: false,
        }
    }
}
