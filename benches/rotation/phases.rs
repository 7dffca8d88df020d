//! What is done, in order, and what is read off while it is done.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use testkit::{
    cluster::{Cluster, Namespace, Options},
    operator::{Operator, rss_bytes_of},
    standin::{self, Mint, Recording, StandIn},
    wait,
};

use crate::{
    Flags,
    bare::{self, Sample},
    fleet::{self, Fleet},
    mark::{self, Machine, Mark},
    report::{Lateness, Report, Requests},
};

const OPERATOR: &str = env!("CARGO_BIN_EXE_realtime-token-operator");
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");

/// What a provider takes to answer.
const LATENCY: Duration = Duration::from_millis(20);

/// From the last token created to the first renewal, and from the last renewal to the next first one.
const QUIET: f64 = 40.0;

/// Runs everything.
pub(crate) async fn all(flags: &Flags) -> Result<Report> {
    let count = flags.tokens as usize;
    let cluster = Cluster::start(Options::default()).await?;
    cluster.apply_crds(Path::new(CRDS)).await?;
    let standin = StandIn::start(standin::Options::default())?;
    standin.set_recording(Recording::Counts);
    standin.set_latency(LATENCY);
    let bench = Bench {
        platform: cluster.namespace("platform").await?,
        renew_before: flags.renew_before,
        cluster,
        standin,
        args: flags.operator_arg.clone(),
    };
    let mut report = Report::new(count);

    if !flags.no_bare {
        say("the bare client");
        let fleet = bench.fleet("bare", 1800).await?;
        let sample = bench.sample(&fleet).await?;
        let bare = bare::run(&fleet, &sample, count).await?;
        report.bare_concurrency = bare.concurrency;
        report.bare_s = Some(bare.took.as_secs_f64());
    }

    let life = match (flags.life, report.bare_s) {
        (Some(chosen), _) => chosen,
        (None, Some(bare_s)) => life(bare_s, count, flags.renew_before)?,
        (None, None) => bail!("without the bare client nothing tells how long tokens are to live: say --life"),
    };
    let fleet = bench.fleet("fleet", life).await?;
    report.life_s = life;
    bench.standin.clear();
    let mut operator = bench.start().await?;
    let before = Machine::now()?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    report.check_idle(Machine::now()?.busy_since(&before));
    report.rss_idle_mb = megabytes(&operator)?;

    say(&format!("the operator: {count} tokens of {life} s"));
    bench.create(&fleet, &operator, &mut report).await?;
    bench.rotate(&fleet, &operator, &mut report).await?;
    say("a restart");
    bench.restart(&fleet, &mut operator, &mut report).await?;
    Ok(report)
}

/// A life that leaves time to create all tokens before the first is due, at half the rate of the bare client, and to
/// look around in peace afterwards.
///
/// The Events of first tokens are published ten a second, after a burst of a hundred and up to a thousand in the queue,
/// and creating has settled when they are out.
///
/// The renewals come as the creation came, spread by a jitter of a twentieth of the life and at most 60 s, which is what
/// a token of the default 1800 s has. A short life would have them come as fast as the API server could take the first
/// writes, which is faster than it can take patches: what is late then is the API server. So the jitter is to be as long
/// as the creation, as far as it goes.
fn life(bare_s: f64, count: usize, renew_before: i64) -> Result<i64> {
    let events = count.saturating_sub(100).min(1000) as f64 / 10.0;
    let creating = (2.0 * bare_s).max(bare_s + events);
    let renew_before = renew_before as f64;
    // A twentieth of the life is jitter. Below 120 s the renewal would come at half the life, and every token would say
    // so. An expiry has whole seconds.
    let spread = (20.0 * bare_s).min(1200.0);
    let life = ((creating + QUIET + renew_before) / 0.95)
        .max(2.0 * renew_before + 2.0)
        .max(spread)
        .ceil() as i64;
    if life > 7200 {
        bail!("so many tokens would need a life of {life} s, and OpenAI's end at 7200 s");
    }
    Ok(life)
}

/// What stays the same throughout. Fields drop from top to bottom: the cluster last.
struct Bench {
    args: Vec<String>,
    renew_before: i64,
    standin: StandIn,
    platform: Namespace,
    cluster: Cluster,
}

impl Bench {
    async fn fleet(&self, prefix: &str, life: i64) -> Result<Fleet> {
        let namespace = self.cluster.namespace(prefix).await?;
        Fleet::new(namespace, self.standin.url(), life, self.renew_before).await
    }

    async fn start(&self) -> Result<Operator> {
        let mut builder = Operator::builder(OPERATOR, self.cluster.kubeconfig())
            .namespace(self.platform.name())
            .arg("--allow-endpoint")
            .arg(self.standin.url());
        for arg in &self.args {
            builder = builder.arg(arg);
        }
        let mut operator = builder.start()?;
        operator.wait_ready_within(Duration::from_secs(600)).await?;
        Ok(operator)
    }

    async fn mark(&self, operator: &Operator) -> Result<Mark> {
        Mark::settled(&self.cluster, operator, &self.standin).await
    }

    /// Has an operator issue one token, and takes what it wrote.
    async fn sample(&self, fleet: &Fleet) -> Result<Sample> {
        let mut operator = self.start().await?;
        let names = fleet::names("sample", 1);
        fleet.create(&names[0]).await?;
        wait::until("the sample's status", Duration::from_secs(30), async || {
            Ok(fleet.statuses_at(1).await?.then_some(()))
        })
        .await?;
        // First, so that it doesn't mend what is swept up.
        stop(&mut operator).await?;
        let sample = Sample::take(fleet, &names[0]).await?;
        fleet.remove(&names).await?;
        Ok(sample)
    }

    async fn create(&self, fleet: &Fleet, operator: &Operator, report: &mut Report) -> Result<()> {
        let names = fleet::names("token", report.tokens);
        let before = self.mark(operator).await?;
        let started = Instant::now();
        let creating = stream::iter(&names)
            .map(|name| fleet.create(name))
            .buffer_unordered(report.bare_concurrency)
            .try_for_each(async |_| Ok(()));
        let first = async {
            while fleet.secrets_there().await? == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(started.elapsed())
        };
        let all = self.all_secrets(fleet, operator, report.tokens, started);
        let ((), first, all) = tokio::try_join!(creating, first, all)?;
        wait::until("every status", Duration::from_secs(60), async || {
            Ok(fleet.statuses_at(1).await?.then_some(()))
        })
        .await?;
        report.first_secret_s = first.as_secs_f64();
        report.all_secrets_s = all.as_secs_f64();
        report.all_statuses_s = started.elapsed().as_secs_f64();

        let spent = self.mark(operator).await?.since(&before);
        report.create_cpu_ms = spent.cpu.as_secs_f64() * 1000.0 / report.tokens as f64;
        report.create_control_plane_cpu_ms = spent.control_plane_cpu.as_secs_f64() * 1000.0 / report.tokens as f64;
        report.create_mints_needless = needless(&self.standin.mints(), 1);
        report.rss_mb = megabytes(operator)?;
        Ok(())
    }

    /// Resolves when every token has its Secret. The stand-in's count, which costs nothing, says when to look closer.
    async fn all_secrets(
        &self,
        fleet: &Fleet,
        operator: &Operator,
        count: usize,
        started: Instant,
    ) -> Result<Duration> {
        let patience = Duration::from_secs(60) + LATENCY * u32::try_from(count)?;
        loop {
            let looked = started.elapsed();
            if self.standin.count() >= count && fleet.secrets_there().await? >= count {
                // Halfway between the look before and this one would be fairer by 10 ms.
                return Ok(looked);
            }
            if looked > patience {
                let there = fleet.secrets_there().await?;
                bail!("{there} of {count} Secrets after {looked:?}\n{}", tail(operator));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn rotate(&self, fleet: &Fleet, operator: &Operator, report: &mut Report) -> Result<()> {
        let plan = fleet.plan().await?;
        let (Some(first), Some(last)) = (plan.values().min(), plan.values().max()) else {
            bail!("no Secret says when it is renewed");
        };
        report.check_quiet("the first renewals were due while tokens were created", *first);
        let (idle, since) = (operator.cpu_time()?, Instant::now());
        say(&format!(
            "renewals are due in {} to {} s",
            seconds_until(*first),
            seconds_until(*last)
        ));
        let quiet = seconds_until(*first) - 1;
        tokio::time::sleep(Duration::from_secs(quiet.max(1).unsigned_abs())).await;
        report.idle_cpu_ms_per_s = (operator.cpu_time()? - idle).as_secs_f64() * 1000.0 / since.elapsed().as_secs_f64();
        let before = Mark::set(&self.cluster, operator, &self.standin).await?;
        while self.standin.count() < 2 * report.tokens && seconds_until(*last) > -30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let spent = self.mark(operator).await?.since(&before);

        let rotations = report.tokens as f64;
        report.rotate_cpu_ms = spent.cpu.as_secs_f64() * 1000.0 / rotations;
        report.rotate_control_plane_cpu_ms = spent.control_plane_cpu.as_secs_f64() * 1000.0 / rotations;
        report.writes_per_rotation = spent.requests.sum(mark::write) as f64 / rotations;
        report.requests_per_rotation = Requests::per(&spent.requests, rotations);
        let mints = self.standin.mints();
        report.rotate_mints_needless = needless(&mints, 2).saturating_sub(report.create_mints_needless);
        let missing = |it: &Vec<Mint>| 2_usize.saturating_sub(it.len());
        report.rotate_mints_missing = mints.values().map(missing).sum();
        report.lateness = Lateness::new(&plan, &mints);
        report.rss_rotated_mb = megabytes(operator)?;
        let servers = self.cluster.pids().into_iter().map(rss_bytes_of).sum::<Result<u64>>()?;
        report.control_plane_rss_mb = servers as f64 / 1e6;
        Ok(())
    }

    async fn restart(&self, fleet: &Fleet, operator: &mut Operator, report: &mut Report) -> Result<()> {
        if let Some(next) = fleet.plan().await?.values().min() {
            let soon = *next - jiff::SignedDuration::from_secs(15);
            report.check_quiet("renewals were due during the restart", soon);
        }
        let requests = self.cluster.apiserver_requests().await?;
        let mints = self.standin.count();
        stop(operator).await?;
        let started = Instant::now();
        *operator = self.start().await?;
        report.restart_ready_s = started.elapsed().as_secs_f64();
        // Ready means that it knows what is there, not that it has thought about all of it.
        self.mark(operator).await?;
        let requests = self.cluster.apiserver_requests().await?.since(&requests);
        report.restart_mints = self.standin.count() - mints;
        report.restart_writes = requests.sum(mark::write);
        report.restart_requests = Requests::per(&requests, 1.0);
        report.restart_cpu_ms = operator.cpu_time()?.as_secs_f64() * 1000.0;
        report.rss_restarted_mb = megabytes(operator)?;
        Ok(())
    }
}

async fn stop(operator: &mut Operator) -> Result<()> {
    operator.sigterm()?;
    operator.wait_exit(Duration::from_secs(30)).await?;
    Ok(())
}

/// Mints beyond `due` for each token.
fn needless(mints: &HashMap<String, Vec<Mint>>, due: usize) -> usize {
    mints.values().map(|it| it.len().saturating_sub(due)).sum()
}

fn megabytes(operator: &Operator) -> Result<f64> {
    Ok(operator.rss_bytes()? as f64 / 1e6)
}

fn seconds_until(time: Timestamp) -> i64 {
    time.duration_since(Timestamp::now()).as_secs()
}

fn tail(operator: &Operator) -> String {
    let logs = operator.logs();
    let lines: Vec<&str> = logs.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn say(what: &str) {
    println!("bench: {what}");
}
