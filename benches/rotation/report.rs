//! What is printed: a table for people, and the same as JSON.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    thread::available_parallelism,
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use testkit::{cluster::RequestCounts, standin::Mint};

use crate::mark;

/// The figures. Times in the unit of their name, sizes in 10^6 bytes.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    pub(crate) tokens: usize,
    cores: usize,
    pub(crate) life_s: i64,
    /// As many RealtimeTokens are created at a time; as many are best for the bare client.
    pub(crate) bare_concurrency: usize,
    /// None if it was left out.
    pub(crate) bare_s: Option<f64>,
    pub(crate) first_secret_s: f64,
    pub(crate) all_secrets_s: f64,
    /// As first seen, some time after it was so.
    pub(crate) all_statuses_s: f64,
    pub(crate) create_cpu_ms: f64,
    /// Of the API server and etcd, as all processor times and memory of the control plane here.
    pub(crate) create_control_plane_cpu_ms: f64,
    pub(crate) create_mints_needless: usize,
    pub(crate) requests_per_rotation: Requests,
    pub(crate) writes_per_rotation: f64,
    /// What it uses while it waits included.
    pub(crate) rotate_cpu_ms: f64,
    pub(crate) rotate_control_plane_cpu_ms: f64,
    pub(crate) idle_cpu_ms_per_s: f64,
    pub(crate) rotate_mints_needless: usize,
    pub(crate) rotate_mints_missing: usize,
    pub(crate) lateness: Lateness,
    pub(crate) rss_idle_mb: f64,
    pub(crate) rss_mb: f64,
    pub(crate) rss_rotated_mb: f64,
    pub(crate) rss_restarted_mb: f64,
    /// After rotating.
    pub(crate) control_plane_rss_mb: f64,
    pub(crate) restart_ready_s: f64,
    pub(crate) restart_cpu_ms: f64,
    pub(crate) restart_mints: usize,
    pub(crate) restart_writes: u64,
    pub(crate) restart_requests: Requests,
    /// What makes figures doubtful.
    warnings: Vec<String>,
}

impl Report {
    pub(crate) fn new(tokens: usize) -> Self {
        Self {
            tokens,
            cores: available_parallelism().map_or(0, Into::into),
            bare_concurrency: 16,
            ..Self::default()
        }
    }

    /// Notes it if something that should lie ahead has begun.
    pub(crate) fn check_quiet(&mut self, warning: &str, begins: Timestamp) {
        if begins <= Timestamp::now() {
            self.warnings.push(format!("{warning}: the figures of two phases mix"));
        }
    }

    /// Notes it if the machine works on something else: a control plane at rest takes a few percent.
    pub(crate) fn check_idle(&mut self, busy: f64) {
        if busy > 0.15 {
            let percent = (busy * 100.0).round();
            self.warnings.push(format!(
                "with everything at rest, {percent} % of the processors were busy with other work: no time here is worth much"
            ));
        }
    }

    fn rate(&self, seconds: f64) -> f64 {
        self.tokens as f64 / seconds
    }
}

/// Requests by verb and resource, with their answer where it wasn't a success.
#[derive(Default, Serialize)]
pub(crate) struct Requests(BTreeMap<String, f64>);

impl Requests {
    pub(crate) fn per(counts: &RequestCounts, divisor: f64) -> Self {
        let mut requests = BTreeMap::new();
        for (request, count) in counts.iter().filter(|(request, _)| mark::relevant(request)) {
            let mut name = format!("{} {}", request.verb, request.resource);
            if !request.subresource.is_empty() {
                name = format!("{name}/{}", request.subresource);
            }
            if request.code >= 300 {
                name = format!("{name} -> {}", request.code);
            }
            *requests.entry(name).or_default() += count as f64 / divisor;
        }
        Self(requests)
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (number, (name, count)) in self.0.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            let shown = (count * 1e4).round() / 1e4;
            write!(f, "{comma}{shown} {name}")?;
        }
        Ok(())
    }
}

/// From the planned renewal to the moment when the request for the new token reached the provider.
#[derive(Default, Serialize)]
pub(crate) struct Lateness {
    p50_ms: i64,
    p99_ms: i64,
    max_ms: i64,
    /// Less than nothing would be a renewal before its time.
    min_ms: i64,
    /// The most renewals that were due within a second: they come as fast as the tokens were created, and where that
    /// is more than the API server can write, all are late.
    due_in_a_second: usize,
}

impl Lateness {
    pub(crate) fn new(plan: &HashMap<String, Timestamp>, mints: &HashMap<String, Vec<Mint>>) -> Self {
        let late = |(name, due): (&String, &Timestamp)| {
            let second = mints.get(name)?.get(1)?;
            i64::try_from(second.time.duration_since(*due).as_millis()).ok()
        };
        let mut late: Vec<i64> = plan.iter().filter_map(late).collect();
        late.sort_unstable();
        // The smallest that at least so many percent don't exceed.
        let at = |percent: usize| {
            let rank = (late.len() * percent).div_ceil(100).max(1) - 1;
            late.get(rank).copied().unwrap_or_default()
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
            min_ms: late.first().copied().unwrap_or_default(),
            due_in_a_second: most_in_a_second(plan.values().copied().collect()),
        }
    }
}

fn most_in_a_second(mut due: Vec<Timestamp>) -> usize {
    due.sort_unstable();
    let until = |from: &Timestamp| *from + SignedDuration::from_secs(1);
    let counts = due
        .iter()
        .enumerate()
        .map(|(first, from)| due[first..].partition_point(|at| *at < until(from)));
    counts.max().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, goal: &str, value: String| writeln!(f, "{what:<30} {value:<42} {goal}");
        let title = format!("{} tokens, {} cores", self.tokens, self.cores);
        row("", "goal", title)?;

        if let Some(s) = self.bare_s {
            let (bare, at_a_time) = (self.rate(s), self.bare_concurrency);
            let value = format!("{s:.1} s, {bare:.0}/s, {at_a_time} at a time");
            row("bare client, same writes", "", value)?;
        }
        let value = format!("{:.3} s", self.first_secret_s);
        row("first Secret", "", value)?;
        let ours = self.rate(self.all_secrets_s);
        let (s, statuses) = (self.all_secrets_s, self.all_statuses_s);
        let value = format!("{s:.1} s, {ours:.0}/s, statuses {statuses:.1} s");
        row("all Secrets", "", value)?;
        if let Some(s) = self.bare_s {
            let value = format!("{:.2}", ours / self.rate(s));
            row("rate beside the bare client's", ">= 0.8", value)?;
        }
        let (ms, control_plane) = (self.create_cpu_ms, self.create_control_plane_cpu_ms);
        let value = format!("{ms:.2} ms, control plane {control_plane:.2} ms");
        row("CPU per new token", "", value)?;

        let value = format!("{:.4}", self.writes_per_rotation);
        row("API writes per rotation", "2", value)?;
        let (ms, idle) = (self.rotate_cpu_ms, self.idle_cpu_ms_per_s);
        let value = format!("{ms:.2} ms (waiting: {idle:.2} ms per s)");
        row("CPU per rotation", "<= 1.3 ms", value)?;
        let value = format!("{:.2} ms", self.rotate_control_plane_cpu_ms);
        row("the control plane's", "", value)?;
        let late = &self.lateness;
        let (p50, p99, max, min) = (late.p50_ms, late.p99_ms, late.max_ms, late.min_ms);
        let value = format!("{p50}, {p99}, {max} ms (least {min})");
        row("lateness p50, p99, max", "p99 < 1 s", value)?;
        let value = format!("{} in a second", late.due_in_a_second);
        row("most renewals due", "", value)?;
        let (creating, rotating) = (self.create_mints_needless, self.rotate_mints_needless);
        let value = format!("{creating} creating, {rotating} rotating");
        row("mints beyond those due", "0", value)?;
        row("mints missing", "0", self.rotate_mints_missing.to_string())?;

        let value = format!("{:.1} MB", self.rss_idle_mb);
        row("RSS idle", "<= 15 MB", value)?;
        let (all, rotated) = (self.rss_mb, self.rss_rotated_mb);
        let value = format!("{all:.1} MB, after rotating {rotated:.1} MB");
        row("RSS with all tokens", "<= 80 MB at 10,000", value)?;
        row(
            "the control plane's",
            "",
            format!("{:.0} MB", self.control_plane_rss_mb),
        )?;

        let (mints, writes) = (self.restart_mints, self.restart_writes);
        let value = format!("{mints} mints, {writes} writes");
        row("restart", "0, 0", value)?;
        let (s, cpu, rss) = (self.restart_ready_s, self.restart_cpu_ms, self.rss_restarted_mb);
        let value = format!("ready after {s:.2} s, {cpu:.0} ms CPU, {rss:.1} MB");
        row("", "", value)?;

        writeln!(f, "requests per rotation: {}", self.requests_per_rotation)?;
        writeln!(f, "requests of the restart: {}", self.restart_requests)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
