//! The figures.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Answer times of one phase.
#[derive(Serialize)]
pub(crate) struct Phase {
    pub(crate) count: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Of the operator; of Node where that asks the provider itself.
    pub(crate) cpu_ms_per_request: f64,
    /// As many as the CPU for each allows.
    pub(crate) per_second_and_core: f64,
}

impl Phase {
    pub(crate) fn of(mut took: Vec<Duration>, cpu: Duration) -> Self {
        took.sort_unstable();
        let at = |share: f64| {
            let place = (took.len() as f64 * share).ceil() as usize;
            took.get(place.saturating_sub(1))
                .map_or(0.0, |it| it.as_secs_f64() * 1000.0)
        };
        let cpu_ms_per_request = cpu.as_secs_f64() * 1000.0 / took.len().max(1) as f64;
        Self {
            count: took.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            cpu_ms_per_request,
            per_second_and_core: 1000.0 / cpu_ms_per_request.max(0.001),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) provider_ms: u64,
    pub(crate) node: Phase,
    pub(crate) minted: Phase,
    pub(crate) pool: Phase,
    pub(crate) load: Phase,
    pub(crate) load_per_s: f64,
    /// Requests in turn beside 1,000 idle connections.
    pub(crate) under_idle: Phase,
    pub(crate) rss_before_mb: f64,
    pub(crate) rss_idle_mb: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the provider answers after {} ms", self.provider_ms)?;
        writeln!(
            f,
            "{:<36}{:>9}{:>9}{:>9}{:>9}{:>14}{:>15}",
            "", "requests", "p50 ms", "p99 ms", "max ms", "CPU ms each", "1/s per core"
        )?;
        for (title, phase) in [
            ("realtimeToken() in Node, direct", &self.node),
            ("on request, minted", &self.minted),
            ("on request, from the pool, 500/s", &self.pool),
            ("on request, as many as come", &self.load),
            ("minted, beside 1,000 idle connections", &self.under_idle),
        ] {
            writeln!(
                f,
                "{title:<36}{:>9}{:>9.1}{:>9.1}{:>9.1}{:>14.2}{:>15.0}",
                phase.count,
                phase.p50_ms,
                phase.p99_ms,
                phase.max_ms,
                phase.cpu_ms_per_request,
                phase.per_second_and_core,
            )?;
        }
        writeln!(f, "as many as come: {:.0} a second on this machine", self.load_per_s)?;
        writeln!(
            f,
            "memory of the operator: {:.1} MB, {:.1} MB with 1,000 idle connections",
            self.rss_before_mb, self.rss_idle_mb
        )
    }
}
