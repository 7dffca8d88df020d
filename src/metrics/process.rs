//! The process itself, under the names that all Prometheus clients use. Read from /proc when somebody asks; elsewhere
//! than on Linux there is nothing.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Of the times in /proc; part of Linux' interface, whatever the kernel's own clock (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut put = |name, help, metric: &dyn EncodeMetric| {
            let of_its_type = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(of_its_type)
        };
        if let Some(times) = times() {
            put(
                "process_cpu_seconds",
                "Processor time used, of user and system.",
                &ConstCounter::new(times.cpu),
            )?;
            if let Some(booted) = booted() {
                put(
                    "process_start_time_seconds",
                    "When the process started, seconds since the epoch.",
                    &ConstGauge::new(booted + times.started),
                )?;
            }
        }
        if let Some(memory) = memory() {
            put(
                "process_resident_memory_bytes",
                "Memory that the process holds.",
                &ConstGauge::new(memory),
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
    started: f64,
}

fn times() -> Option<Times> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may hold spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |number: usize| {
        let ticks: f64 = fields.get(number - 3)?.parse().ok()?;
        Some(ticks / TICKS_PER_SECOND)
    };
    Some(Times {
        cpu: seconds(14)? + seconds(15)?,
        started: seconds(22)?,
    })
}

/// Seconds since the epoch.
fn booted() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// Bytes.
fn memory() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?;
    Some(kilobytes.trim().parse::<i64>().ok()? * 1024)
}
