//! What Secrets, statuses and processes look like, once every ten seconds and past the proxy.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use realtime_token_operator::api::RealtimeToken;
use realtime_token_operator::token::secret::annotations::{RENEWAL_TIME, USABLE_UNTIL};
use testkit::wait;
use tokio::task::JoinHandle;

use crate::load::{Load, lock};
use crate::trouble::Troubles;
use crate::world::{FLOOR, World};

const EVERY: Duration = Duration::from_secs(10);
/// After its renewal time a token may still be waiting for its turn.
const LATE_AFTER: i64 = 15;
/// Pages keep an API server from holding thousands of objects for one answer.
const PAGE: u32 = 500;

/// One look at the fleet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) alive: usize,
    /// Past their renewal time.
    pub(crate) late: usize,
    pub(crate) below_floor: usize,
    /// Their status says Ready=True, and the token in the Secret has ended.
    pub(crate) expired_at_ready: HashSet<String>,
    /// Alive, and the status says until when.
    pub(crate) true_statuses: usize,
}

/// The worst of what was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worst {
    pub(crate) late: usize,
    pub(crate) below_floor: usize,
    /// In two looks, one after the other.
    pub(crate) expired_at_ready: usize,
    pub(crate) rss_bytes: u64,
    pub(crate) open_files: usize,
}

#[derive(Default)]
struct Seen {
    last: Fleet,
    worst: Worst,
    /// Of each replica: memory, files, share of a processor.
    processes: Vec<(u64, usize, f64)>,
}

pub(crate) struct Looks {
    seen: Arc<Mutex<Seen>>,
    began: Instant,
    task: JoinHandle<()>,
}

impl Looks {
    pub(crate) fn start(world: &Arc<World>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(look(Arc::clone(world), Arc::clone(&seen)));
        Self {
            seen,
            began: Instant::now(),
            task,
        }
    }

    pub(crate) fn worst(&self) -> Worst {
        lock(&self.seen).worst.clone()
    }

    /// Whether every token is alive and every status true within that time. Returns how long it took.
    pub(crate) async fn converged(&self, world: &World, within: Duration) -> Result<Duration> {
        let began = Instant::now();
        let all = usize::try_from(world.tokens)?;
        wait::until("a fleet at rest", within, async || {
            let fleet = fleet(world).await?;
            let rests = fleet.true_statuses == all && fleet.late == 0;
            anyhow::ensure!(
                rests,
                "{} of {all} statuses are true, {} late",
                fleet.true_statuses,
                fleet.late
            );
            Ok(Some(began.elapsed()))
        })
        .await
    }

    pub(crate) fn line(&self, world: &World, load: &Load, troubles: &Troubles) -> String {
        let seen = lock(&self.seen);
        let answers = load.answers();
        let mut line = format!("soak: {:4} s {:19}", self.began.elapsed().as_secs(), troubles.now());
        for (rss, files, cpu) in &seen.processes {
            let _ = write!(
                line,
                " | {:3} MB {files:3} files {:3.0} %",
                rss / 1_000_000,
                cpu * 100.0
            );
        }
        let by_status: Vec<String> = answers
            .by_status
            .iter()
            .map(|(code, count)| format!("{code}: {count}"))
            .collect();
        let _ = write!(
            line,
            " | {} mints, {} alive, {} late, {} below the floor, {} expired at Ready | answers {}",
            world.standin.count(),
            seen.last.alive,
            seen.last.late,
            seen.last.below_floor,
            seen.last.expired_at_ready.len(),
            by_status.join(", "),
        );
        line
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(world: Arc<World>, seen: Arc<Mutex<Seen>>) {
    let mut cpu: Vec<(u32, Duration)> = vec![(0, Duration::ZERO); world.pods.len()];
    let mut at = Instant::now();
    loop {
        tokio::time::sleep(EVERY).await;
        let since = at.elapsed().as_secs_f64();
        at = Instant::now();
        let mut processes = Vec::new();
        for (pod, before) in world.pods.iter().zip(&mut cpu) {
            let operator = pod.operator().await;
            let used = operator.cpu_time().unwrap_or_default();
            let same = before.0 == operator.pid();
            let share = if same {
                used.saturating_sub(before.1).as_secs_f64() / since
            } else {
                0.0
            };
            *before = (operator.pid(), used);
            let files = operator.open_files().unwrap_or_default();
            processes.push((operator.rss_bytes().unwrap_or_default(), files, share));
        }
        let fleet = fleet(&world).await;
        let mut seen = lock(&seen);
        let rss = processes.iter().map(|it| it.0).max().unwrap_or_default();
        let files = processes.iter().map(|it| it.1).max().unwrap_or_default();
        seen.processes = processes;
        let Ok(fleet) = fleet else { continue };
        let lasting = fleet.expired_at_ready.intersection(&seen.last.expired_at_ready).count();
        let worst = &mut seen.worst;
        worst.rss_bytes = worst.rss_bytes.max(rss);
        worst.open_files = worst.open_files.max(files);
        worst.late = worst.late.max(fleet.late);
        worst.below_floor = worst.below_floor.max(fleet.below_floor);
        worst.expired_at_ready = worst.expired_at_ready.max(lasting);
        seen.last = fleet;
    }
}

async fn fleet(world: &World) -> Result<Fleet> {
    // Statuses first: what they claim must hold by the time the Secrets are read.
    let statuses = statuses(world).await?;
    let secrets: Api<Secret> = world.apps.api();
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=realtime-token-operator");
    let secrets = secrets.list_metadata(&ours).await?;
    let now = Timestamp::now();
    let mut fleet = Fleet::default();
    for secret in secrets {
        let time = |name: &str| {
            secret
                .annotations()
                .get(name)
                .and_then(|it| it.parse::<Timestamp>().ok())
        };
        let (Some(until), Some(renewal)) = (time(USABLE_UNTIL), time(RENEWAL_TIME)) else {
            continue;
        };
        let left = until.duration_since(now).as_secs();
        let name = secret.name_any();
        let status = statuses.get(&name);
        fleet.alive += usize::from(left > 0);
        fleet.late += usize::from(now.duration_since(renewal).as_secs() > LATE_AFTER);
        fleet.below_floor += usize::from(left < FLOOR);
        let ready = status.is_some_and(|(ready, _)| *ready);
        if ready && left <= 0 {
            fleet.expired_at_ready.insert(name);
        } else if ready && status.is_some_and(|(_, claimed)| *claimed == Some(until)) {
            fleet.true_statuses += 1;
        }
    }
    Ok(fleet)
}

/// Of each RealtimeToken: whether it is ready, and until when its token can be used.
async fn statuses(world: &World) -> Result<BTreeMap<String, (bool, Option<Timestamp>)>> {
    let tokens: Api<RealtimeToken> = world.apps.api();
    let mut all = BTreeMap::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = tokens.list(&page).await?;
        let next = list.metadata.continue_.clone().filter(|next| !next.is_empty());
        for token in list {
            let Some(status) = &token.status else { continue };
            let ready = |it: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| it.type_ == "Ready";
            let ready = status
                .conditions
                .iter()
                .find(ready)
                .is_some_and(|it| it.status == "True");
            all.insert(
                token.name_any(),
                (ready, status.usable_until.as_ref().map(|until| until.0)),
            );
        }
        match next {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(all),
        }
    }
}
