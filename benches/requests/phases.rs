//! What is asked, in order, and what is read off meanwhile.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use testkit::caller::Caller;

use crate::report::{Phase, Report};
use crate::world::World;
use crate::{Flags, node};

const POOL: i64 = 50;
const BURSTS: u32 = 20;
/// Between two requests of a burst: 500 a second.
const PACE: Duration = Duration::from_millis(2);
const LOAD: Duration = Duration::from_secs(10);
const IDLE: u16 = 1000;
/// So many of those connections are opened at a time.
const OPENING: usize = 32;

pub(crate) async fn all(flags: &Flags) -> Result<Report> {
    let world = World::start(Duration::from_millis(flags.provider_ms)).await?;
    say("TanStack's realtimeToken() in Node.js, directly");
    let (node, cpu) = node::direct(&world.standin.url(), flags.requests).await?;
    let node = Phase::of(node, cpu);

    say("tokens on request, none minted ahead");
    let caller = &world.caller("minted", 0).await?;
    token(caller).await.context("the first request")?;
    let minted = world.measured(in_turn(caller, flags.requests)).await?;

    say("bursts from 50 tokens that are minted ahead");
    let pooled = world.caller("pool", POOL).await?;
    token(&pooled).await.context("the first request")?; // the pool fills when somebody asks
    let given_before = world.given_from_pool().await?;
    let mut bursts = Vec::new();
    let mut cpu = Duration::ZERO;
    for _ in 0..BURSTS {
        world.wait_for_pool("pool", POOL).await?;
        let before = world.operator.cpu_time()?;
        bursts.extend(burst(&pooled).await?);
        cpu += world.operator.cpu_time()?.saturating_sub(before);
    }
    let given = world.given_from_pool().await? - given_before;
    ensure!(
        given == bursts.len() as u64,
        "{given} of {} answers were from the pool",
        bursts.len()
    );
    let pool = Phase::of(bursts, cpu);
    drop(pooled); // its connections would be among those that are idle later

    say("as many as come");
    let began = Instant::now();
    let load = world.measured(load(caller, flags.clients)).await?;
    let rate = load.count as f64 / began.elapsed().as_secs_f64();

    say("1,000 connections that have asked for a token each");
    let rss_before_mb = world.megabytes()?;
    let idle: Vec<Caller> = stream::iter(0..IDLE)
        .map(|nth| connect(caller, nth))
        .buffer_unordered(OPENING)
        .try_collect()
        .await?;
    let under_idle = world.measured(in_turn(caller, 50)).await?;
    let rss_idle_mb = world.megabytes()?;
    let open = world.open_connections().await?;
    ensure!(open >= u64::from(IDLE), "{open} connections are open");
    drop(idle);
    Ok(Report {
        provider_ms: flags.provider_ms,
        node,
        minted,
        pool,
        load,
        load_per_s: rate,
        under_idle,
        rss_before_mb,
        rss_idle_mb,
    })
}

impl World {
    /// The answer times of a phase, with the operator's CPU for each.
    async fn measured(&self, phase: impl Future<Output = Result<Vec<Duration>>>) -> Result<Phase> {
        let before = self.operator.cpu_time()?;
        let took = phase.await?;
        Ok(Phase::of(took, self.operator.cpu_time()?.saturating_sub(before)))
    }

    fn megabytes(&self) -> Result<f64> {
        Ok(self.operator.rss_bytes()? as f64 / 1e6)
    }
}

/// Asks for a token. Returns how long the answer took.
async fn token(caller: &Caller) -> Result<Duration> {
    let answer = caller.ask("").await?;
    ensure!(answer.status == 201, "{}: {}", answer.status, answer.body);
    Ok(answer.took)
}

async fn in_turn(caller: &Caller, count: u32) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..count {
        took.push(token(caller).await?);
    }
    Ok(took)
}

async fn burst(caller: &Caller) -> Result<Vec<Duration>> {
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = JoinSet::new();
    for _ in 0..POOL {
        ticks.tick().await;
        let caller = caller.clone();
        asked.spawn(async move { token(&caller).await });
    }
    let took = asked.join_all().await;
    took.into_iter().collect()
}

async fn load(caller: &Caller, clients: u32) -> Result<Vec<Duration>> {
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let caller = caller.clone();
        working.spawn(async move {
            let began = Instant::now();
            let mut took = Vec::new();
            while began.elapsed() < LOAD {
                took.push(token(&caller).await?);
            }
            anyhow::Ok(took)
        });
    }
    let all = working.join_all().await;
    Ok(all.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Opens a connection, asks for a token on it and keeps it, from one of ten addresses: an operator lets no single peer
/// have most of its connections.
async fn connect(caller: &Caller, nth: u16) -> Result<Caller> {
    let [_, last] = (nth % 10 + 1).to_be_bytes();
    let caller = caller.from_address(IpAddr::from([127, 0, 1, last]))?;
    token(&caller).await?;
    Ok(caller)
}

fn say(what: &str) {
    println!("bench: {what}");
}
