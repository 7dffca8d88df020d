//! The counters at one moment, and what lies between two.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use testkit::{
    cluster::{Cluster, Request, RequestCounts},
    operator::{Operator, cpu_time_of},
    standin::StandIn,
};

/// How busy the whole machine has been, in clock ticks.
pub(crate) struct Machine {
    idle: u64,
    all: u64,
}

impl Machine {
    /// Reads `/proc/stat`.
    pub(crate) fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        // "cpu", then user, nice, system, idle, iowait, irq, softirq, steal; guests count as users.
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = first
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let idle = ticks.iter().skip(3).take(2).sum();
        Ok(Self {
            idle,
            all: ticks.iter().sum(),
        })
    }

    /// Which share of its processors was at work since.
    pub(crate) fn busy_since(&self, earlier: &Self) -> f64 {
        let (idle, all) = (self.idle - earlier.idle, self.all - earlier.all);
        1.0 - idle as f64 / all.max(1) as f64
    }
}

/// What the operator's requests are about. The API server's own (leases, its namespaces) are about other things.
const RESOURCES: [&str; 5] = [
    "realtimetokens",
    "clusterrealtimeproviders",
    "secrets",
    "events",
    "namespaces",
];

const WRITES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

/// Counters.
pub(crate) struct Mark {
    requests: RequestCounts,
    cpu: Duration,
    control_plane_cpu: Duration,
    mints: usize,
}

/// What happened between two marks.
pub(crate) struct Spent {
    pub(crate) requests: RequestCounts,
    pub(crate) cpu: Duration,
    /// Of the API server and etcd.
    pub(crate) control_plane_cpu: Duration,
    pub(crate) mints: usize,
}

impl Mark {
    /// Reads them. Costs the API server one page of metrics.
    pub(crate) async fn set(cluster: &Cluster, operator: &Operator, standin: &StandIn) -> Result<Self> {
        Ok(Self {
            requests: cluster.apiserver_requests().await?,
            cpu: operator.cpu_time()?,
            control_plane_cpu: cluster.pids().into_iter().map(cpu_time_of).sum::<Result<_>>()?,
            mints: standin.count(),
        })
    }

    /// Waits until the operator has nothing to do, and reads them then: a second without a request, a mint or noteworthy
    /// work.
    pub(crate) async fn settled(cluster: &Cluster, operator: &Operator, standin: &StandIn) -> Result<Self> {
        const LITTLE: Duration = Duration::from_millis(50);
        let mut before = Self::set(cluster, operator, standin).await?;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = Self::set(cluster, operator, standin).await?;
            let spent = now.since(&before);
            if spent.requests.sum(relevant) == 0 && spent.mints == 0 && spent.cpu < LITTLE {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }

    /// What happened since.
    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        Spent {
            requests: self.requests.since(&earlier.requests),
            cpu: self.cpu.saturating_sub(earlier.cpu),
            control_plane_cpu: self.control_plane_cpu.saturating_sub(earlier.control_plane_cpu),
            mints: self.mints - earlier.mints,
        }
    }
}

/// Whether a request can be the operator's.
pub(crate) fn relevant(request: &Request) -> bool {
    RESOURCES.contains(&request.resource.as_str())
}

/// Whether a request can be a write of the operator.
pub(crate) fn write(request: &Request) -> bool {
    relevant(request) && WRITES.contains(&request.verb.as_str())
}
