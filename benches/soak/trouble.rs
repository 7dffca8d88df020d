//! One fault after another, with a rest between, as the seed has it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::proxy::{Effect, Rule};
use testkit::seed::Random;
use testkit::standin::Fault;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::load::lock;
use crate::world::World;

const WRITES: &[&str] = &["POST", "PUT", "PATCH", "APPLY"];

#[derive(Clone, Copy, Debug)]
enum Trouble {
    ApiSlow,
    ApiAway,
    ApiWritesBreakOff,
    ApiThrottles,
    WatchesSilent,
    WatchesGone,
    ConnectionsDead,
    ProviderFails,
    ProviderThrottles,
    ProviderHangs,
    ProviderAnswersLost,
    ReplicaKilled,
    LeaderFrozen,
}

const ALL: [Trouble; 13] = [
    Trouble::ApiSlow,
    Trouble::ApiAway,
    Trouble::ApiWritesBreakOff,
    Trouble::ApiThrottles,
    Trouble::WatchesSilent,
    Trouble::WatchesGone,
    Trouble::ConnectionsDead,
    Trouble::ProviderFails,
    Trouble::ProviderThrottles,
    Trouble::ProviderHangs,
    Trouble::ProviderAnswersLost,
    Trouble::ReplicaKilled,
    Trouble::LeaderFrozen,
];

#[derive(Default)]
struct State {
    /// What goes on, or nothing.
    now: Mutex<Option<Trouble>>,
    kills: AtomicUsize,
}

pub(crate) struct Troubles {
    state: Arc<State>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Troubles {
    pub(crate) fn start(world: &Arc<World>, seed: u64) -> Self {
        let (state, stop) = (Arc::<State>::default(), CancellationToken::new());
        let task = tokio::spawn(disturb(Arc::clone(world), seed, Arc::clone(&state), stop.clone()));
        Self {
            state,
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// Ends the fault that goes on.
    pub(crate) async fn stop(&self, world: &World) {
        self.stop.cancel();
        let task = lock(&self.task).take();
        if let Some(task) = task {
            let _ = task.await;
        }
        heal(world).await;
    }

    pub(crate) fn now(&self) -> String {
        lock(&self.state.now).map_or_else(|| "calm".to_owned(), |trouble| format!("{trouble:?}"))
    }

    pub(crate) fn kills(&self) -> usize {
        self.state.kills.load(Ordering::Relaxed)
    }
}

async fn disturb(world: Arc<World>, seed: u64, state: Arc<State>, stop: CancellationToken) {
    let mut random = Random::new(seed);
    let seconds = Duration::from_secs;
    let rest = async |time| {
        tokio::select! {
            () = tokio::time::sleep(time) => false,
            () = stop.cancelled() => true,
        }
    };
    // In a shuffled order, so that a short run has as many kinds as it can.
    let mut left: Vec<Trouble> = Vec::new();
    loop {
        if rest(random.between(seconds(8), seconds(20))).await {
            return;
        }
        if left.is_empty() {
            left = ALL.to_vec();
        }
        let nth = usize::try_from(random.below(left.len() as u64)).unwrap_or_default();
        let trouble = left.swap_remove(nth);
        *lock(&state.now) = Some(trouble);
        begin(&world, trouble, &mut random, &state).await;
        let stopped = rest(random.between(seconds(8), seconds(25))).await;
        heal(&world).await;
        *lock(&state.now) = None;
        if stopped {
            return;
        }
    }
}

async fn begin(world: &World, trouble: Trouble, random: &mut Random, state: &State) {
    let (api, provider) = (&world.api, &world.provider);
    let status = |code, retry_after| Effect::Status { code, retry_after };
    match trouble {
        Trouble::ApiSlow => api.add(Rule::new(Effect::Latency(random.between(ms(200), ms(3000))))),
        Trouble::ApiAway => api.refuse(),
        Trouble::ApiWritesBreakOff => {
            api.add(Rule::new(Effect::ResetAfter).verbs(WRITES).percent(15));
            api.add(Rule::new(Effect::ResetBefore).verbs(WRITES).percent(10));
            api.add(Rule::new(status(409, None)).verbs(WRITES).percent(10));
        }
        Trouble::ApiThrottles => api.add(Rule::new(status(429, Some(1))).verbs(WRITES).percent(60)),
        Trouble::WatchesSilent => api.silence_watches(),
        Trouble::WatchesGone => {
            api.add(Rule::new(Effect::GoneWatch));
            api.cut();
        }
        Trouble::ConnectionsDead => api.freeze(),
        Trouble::ProviderFails => provider.add(Rule::new(status(503, None)).percent(70)),
        Trouble::ProviderThrottles => world.standin.fail_next(50, Fault::throttled(2)),
        Trouble::ProviderHangs => provider.add(Rule::new(Effect::Hang).percent(30)),
        Trouble::ProviderAnswersLost => provider.add(Rule::new(Effect::ResetAfter).percent(30)),
        Trouble::ReplicaKilled => {
            let nth = usize::try_from(random.below(2)).unwrap_or_default();
            if world.pods[nth].kill().await.is_ok() {
                state.kills.fetch_add(1, Ordering::Relaxed);
            }
        }
        Trouble::LeaderFrozen => {
            for pod in &world.pods {
                if pod.leads().await {
                    let _ = pod.operator().await.freeze();
                }
            }
        }
    }
}

async fn heal(world: &World) {
    world.api.heal();
    world.provider.heal();
    world.standin.heal();
    for pod in &world.pods {
        let _ = pod.operator().await.thaw();
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
