//! The `process_*` metrics that all Prometheus clients have. Read from /proc at each scrape; absent where there is no
//! /proc.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The unit of the times in /proc/self/stat: `USER_HZ` of proc(5), which is 100 whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut put = |name, help, metric: &dyn EncodeMetric| {
            let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(encoder)
        };
        if let Some(times) = times() {
            put(
                "process_cpu_seconds",
                "Processor time used, of user and system.",
                &ConstCounter::new(times.cpu),
            )?;
            if let Some(boot_time) = boot_time() {
                put(
                    "process_start_time_seconds",
                    "When the process started, seconds since the epoch.",
                    &ConstGauge::new(boot_time + times.start),
                )?;
            }
        }
        if let Some(bytes) = resident_memory() {
            put(
                "process_resident_memory_bytes",
                "Memory that the process holds.",
                &ConstGauge::new(bytes),
            )?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            put(
                "process_open_fds",
                "Open files and connections.",
                &ConstGauge::new(i64::try_from(files.count()).unwrap_or(i64::MAX)),
            )?;
        }
        Ok(())
    }
}

struct Times {
    cpu: f64,
    start: f64, // since the boot
}

fn times() -> Option<Times> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, and may contain spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |number: usize| {
        let ticks: f64 = fields.get(number - 3)?.parse().ok()?;
        Some(ticks / TICKS_PER_SECOND)
    };
    Some(Times {
        cpu: seconds(14)? + seconds(15)?,
        start: seconds(22)?,
    })
}

/// Seconds since the epoch.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// Bytes.
fn resident_memory() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?;
    Some(kilobytes.trim().parse::<i64>().ok()? * 1024)
}
