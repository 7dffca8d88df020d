//! `make bench-crd`: what one write of a RealtimeToken costs the API server, beside other kinds on the same API server.
//!
//! A bare client creates N objects of each kind and patches each status as the operator does after a rotation. The kinds
//! take turns in small batches, so that other work on the machine slows all of them alike. The CPU time is that of the
//! API server and etcd together. On a machine that does other work only the memory that the API server allocates is
//! worth comparing: most of its CPU time goes into that.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod kinds;

use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Method, Request};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};
use testkit::cluster::{Cluster, Namespace, Options};

use kinds::Kind;

/// How many objects of one kind are written before the next kind has its turn.
const BATCH: usize = 100;

/// The price of one write of each kind.
#[derive(Parser)]
struct Flags {
    /// How many objects of each kind.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    objects: usize,
    /// How many requests are under way at a time.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Statuses are replaced (PUT, with the resourceVersion that the object has) instead of patched.
    #[arg(long)]
    put: bool,
    /// Writes a profile of the API server here for `go tool pprof`, taken while statuses of RealtimeTokens alone are
    /// patched for ten seconds.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// What is profiled: `profile` for CPU time, `allocs` for what is allocated.
    #[arg(long, default_value = "profile", value_name = "PROFILE")]
    of: String,
    /// What cargo bench adds. `cargo test --benches` doesn't, and is no reason to run for minutes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the writes of one sort have cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    writes: usize,
    took: Duration,
    cpu: Duration,
    /// What the API server has allocated, in bytes.
    allocated: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    testkit::bench::run(flags.bench, "this is a benchmark: `make bench-crd`", run(&flags)).await
}

async fn run(flags: &Flags) -> Result<bool> {
    let cluster = Cluster::start(Options::default()).await?;
    let kinds = kinds::all()?;
    let folder = tempfile::tempdir()?;
    for kind in &kinds {
        let file = folder.path().join(format!("{}.yaml", kind.plural));
        fs::write(file, kind.crd.to_string())?; // JSON is YAML
    }
    cluster.apply_crds(folder.path()).await?;
    let bench = Bench {
        namespace: cluster.namespace("bench").await?,
        concurrency: flags.concurrency,
        put: flags.put,
        cluster,
    };
    // The API server builds a kind's handlers at its first request.
    for kind in &kinds {
        bench.create(kind, &names("warm", 20)).await?;
        bench.patch(kind, &names("warm", 20), 1).await?;
    }
    if let Some(file) = &flags.profile {
        bench.profile(&kinds[0], file, &flags.of).await?;
        return Ok(true);
    }
    let mut costs = vec![[Cost::default(); 2]; kinds.len()];
    let mut machine = Duration::ZERO;
    let began = Instant::now();
    for batch in 0..flags.objects.div_ceil(BATCH) {
        let names = names(&format!("b{batch}"), BATCH.min(flags.objects - batch * BATCH));
        for (kind, [create, patch]) in kinds.iter().zip(&mut costs) {
            create.add(&bench.create(kind, &names).await?);
            for revision in 1..=2 {
                patch.add(&bench.patch(kind, &names, revision).await?);
            }
        }
        machine = began.elapsed();
    }
    println!(
        "{} objects of each kind, {} requests at a time, {:.0} s\n",
        flags.objects,
        flags.concurrency,
        machine.as_secs_f64()
    );
    println!("| kind | creates/s | CPU ms | kB allocated | status patches/s | CPU ms | kB allocated |");
    println!("|---|---|---|---|---|---|---|");
    for (kind, [create, patch]) in kinds.iter().zip(&costs) {
        let figures = |it: &Cost| format!("{:.0} | {:.2} | {:.0}", it.rate(), it.cpu_ms(), it.kilobytes());
        let [create, patch] = [create, patch].map(figures);
        println!("| {} | {create} | {patch} |", kind.title);
    }
    Ok(true)
}

/// Method, path and body of a request.
type Write = (Method, String, Value);

struct Bench {
    cluster: Cluster,
    namespace: Namespace,
    concurrency: usize,
    put: bool,
}

impl Bench {
    async fn create(&self, kind: &Kind, names: &[String]) -> Result<Cost> {
        let path = kind.path(self.namespace.name());
        let writes = names.iter().map(|name| (Method::POST, path.clone(), kind.object(name)));
        self.write(writes.collect()).await
    }

    /// Two patches follow each other with other times, as at rotations.
    async fn patch(&self, kind: &Kind, names: &[String], revision: usize) -> Result<Cost> {
        let writes = self.patches(kind, names, revision).await?;
        self.write(writes).await
    }

    async fn patches(&self, kind: &Kind, names: &[String], revision: usize) -> Result<Vec<Write>> {
        let path = kind.path(self.namespace.name());
        let mut writes = Vec::new();
        for name in names {
            let mut body = kind.status(revision);
            if self.put {
                let request = Request::get(format!("{path}/{name}")).body(Vec::new())?;
                let seen: PartialObjectMeta<Secret> = self.namespace.client().request(request).await?;
                let object = kind.object(name);
                body["apiVersion"] = object["apiVersion"].clone();
                body["kind"] = object["kind"].clone();
                body["metadata"] = json!({"name": name, "resourceVersion": seen.metadata.resource_version});
            }
            let method = if self.put { Method::PUT } else { Method::PATCH };
            let path = format!("{path}/{name}/status?fieldManager=realtime-token-operator");
            writes.push((method, path, body));
        }
        Ok(writes)
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Cost> {
        let count = writes.len();
        let allocated = self.allocated().await?;
        let (cpu, began) = (self.cpu()?, Instant::now());
        self.send(writes).await?;
        let (took, cpu) = (began.elapsed(), self.cpu()?.saturating_sub(cpu));
        let [after, again] = [self.allocated().await?, self.allocated().await?];
        let by_looking = again - after;
        Ok(Cost {
            writes: count,
            took,
            cpu,
            allocated: after - allocated - by_looking,
        })
    }

    async fn send(&self, writes: Vec<Write>) -> Result<()> {
        let client = self.namespace.client();
        stream::iter(writes)
            .map(|(method, path, body)| write(&client, method, path, body))
            .buffer_unordered(self.concurrency)
            .try_collect()
            .await
    }

    async fn allocated(&self) -> Result<f64> {
        let request = Request::get("/metrics").body(Vec::new())?;
        let metrics = self.namespace.client().request_text(request).await?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("go_memstats_alloc_bytes_total "));
        Ok(line.context("the API server doesn't say what it allocates")?.parse()?)
    }

    /// What the API server and etcd have used.
    fn cpu(&self) -> Result<Duration> {
        let pids = self.cluster.pids();
        pids.into_iter().map(testkit::operator::cpu_time_of).sum()
    }

    async fn profile(&self, kind: &Kind, file: &Path, of: &str) -> Result<()> {
        let mut kubectl = self.cluster.kubectl()?;
        kubectl.args(["get", "--raw", &format!("/debug/pprof/{of}?seconds=10")]);
        kubectl.stdout(fs::File::create(file)?);
        let mut kubectl = kubectl.spawn()?;
        let names = names("warm", 20);
        let mut revision = 1;
        let status = loop {
            if let Some(status) = kubectl.try_wait()? {
                break status;
            }
            revision += 1;
            self.send(self.patches(kind, &names, revision).await?).await?;
        };
        println!("{}: {status}, {} patches", file.display(), revision * names.len());
        Ok(())
    }
}

impl Cost {
    fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        self.took += other.took;
        self.cpu += other.cpu;
        self.allocated += other.allocated;
    }

    fn rate(&self) -> f64 {
        self.writes as f64 / self.took.as_secs_f64()
    }

    fn kilobytes(&self) -> f64 {
        self.allocated / 1000.0 / self.writes as f64
    }

    fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.writes as f64
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:04}")).collect()
}

/// One write, answered with metadata only, as the operator asks for it.
async fn write(client: &Client, method: Method, path: String, body: Value) -> Result<()> {
    let content_type = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(&method)
        .uri(&path)
        .header("content-type", content_type)
        .header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .body(serde_json::to_vec(&body)?)?;
    client
        .request::<PartialObjectMeta<Secret>>(request)
        .await
        .with_context(|| format!("{method} {path}"))?;
    Ok(())
}
