//! Applications that ask for tokens at a steady pace, at both replicas in turn.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;
use testkit::caller::Caller;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::world::{HANDED_OUT_WITH, World};

/// More requests than this don't wait at a time: what comes then is not asked, and counted.
const WAITING: usize = 500;
const NEW_CREDENTIAL: Duration = Duration::from_secs(1800);

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// 0: none.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// Handed out before.
    pub(crate) twice: u64,
    /// Handed out with less life than was promised.
    pub(crate) short: u64,
    pub(crate) not_asked: u64,
    pub(crate) slowest: Duration,
}

#[derive(Default)]
struct Noted {
    answers: Answers,
    seen: HashSet<String>,
}

pub(crate) struct Load {
    noted: Arc<Mutex<Noted>>,
    stop: CancellationToken,
    asking: Mutex<Option<JoinHandle<()>>>,
}

impl Load {
    pub(crate) async fn start(world: &Arc<World>, rate: u32) -> Result<Self> {
        let (noted, stop) = (Arc::<Mutex<Noted>>::default(), CancellationToken::new());
        let callers = world.callers().await?;
        let asking = tokio::spawn(ask(Arc::clone(world), callers, rate, Arc::clone(&noted), stop.clone()));
        Ok(Self {
            noted,
            stop,
            asking: Mutex::new(Some(asking)),
        })
    }

    pub(crate) fn answers(&self) -> Answers {
        lock(&self.noted).answers.clone()
    }

    /// Waits for the answers that are still to come.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let asking = lock(&self.asking).take();
        if let Some(asking) = asking {
            let _ = asking.await;
        }
    }
}

async fn ask(
    world: Arc<World>,
    mut callers: Vec<(Caller, bool)>,
    rate: u32,
    noted: Arc<Mutex<Noted>>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting = JoinSet::new();
    let mut credential = Instant::now();
    let mut nth = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        while waiting.try_join_next().is_some() {}
        if credential.elapsed() > NEW_CREDENTIAL {
            credential = Instant::now();
            callers = world.callers().await.unwrap_or(callers);
        }
        if waiting.len() >= WAITING {
            lock(&noted).answers.not_asked += 1;
            continue;
        }
        let (caller, subject) = callers[nth % callers.len()].clone();
        nth += 1;
        let body = if subject {
            json!({"subject": format!("user-{}", nth % 100)}).to_string()
        } else {
            String::new()
        };
        let noted = Arc::clone(&noted);
        waiting.spawn(async move {
            let answer = caller.ask(body).await;
            lock(&noted).note(answer.ok());
        });
    }
    waiting.join_all().await;
}

impl Noted {
    fn note(&mut self, answer: Option<testkit::caller::Answer>) {
        let answers = &mut self.answers;
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        *answers.by_status.entry(status).or_default() += 1;
        let Some(answer) = answer.filter(|answer| answer.status == 201) else {
            return;
        };
        answers.slowest = answers.slowest.max(answer.took);
        let token = answer.body["token"].as_str().unwrap_or_default().to_owned();
        let end = answer.body["expiresAt"]
            .as_i64()
            .and_then(|end| Timestamp::from_millisecond(end).ok());
        let left = end.map_or(i64::MIN, |end| end.duration_since(Timestamp::now()).as_secs());
        // The answer was under way for a moment.
        answers.short += u64::from(left < HANDED_OUT_WITH - 2);
        answers.twice += u64::from(!self.seen.insert(token));
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
