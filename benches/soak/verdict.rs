//! What must have held.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;
use testkit::pod::Pod;

use crate::load::Load;
use crate::look::Looks;
use crate::trouble::Troubles;
use crate::world::{FLOOR, World};

/// The chart's limit of memory.
const MEMORY: u64 = 256 << 20;
const FILES: usize = 500;
/// Mints that a leader may have under way, or not stored yet, when another follows it.
const UNDER_WAY: usize = 16;

/// Each rule, what was seen, and whether it holds.
pub(crate) struct Verdict(Vec<(&'static str, String, bool)>);

impl Verdict {
    pub(crate) fn of(
        world: &World,
        looks: &Looks,
        load: &Load,
        troubles: &Troubles,
        leader_changes: usize,
        converged: Result<Duration>,
    ) -> Self {
        let worst = looks.worst();
        let answers = load.answers();
        let lost = world.provider.requests().sum(|it| it.code == 0);
        let (mints, early) = mints(world);
        let allowed = usize::try_from(lost).unwrap_or(usize::MAX) + UNDER_WAY * leader_changes;
        let good = answers.by_status.get(&201).copied().unwrap_or_default();
        let asked: u64 = answers.by_status.values().sum();
        let restarts: usize = world.pods.iter().map(Pod::restarts).sum();
        let (took, converged) = match converged {
            Ok(took) => (format!("after {:.1} s", took.as_secs_f64()), true),
            Err(error) => (format!("{error:#}"), false),
        };
        let megabytes = worst.rss_bytes / 1_000_000;
        Self(vec![
            (
                "every token alive and every status true after the last fault",
                took,
                converged,
            ),
            (
                "no status says Ready=True for ten seconds without a token",
                format!("{} at most", worst.expired_at_ready),
                worst.expired_at_ready == 0,
            ),
            (
                "every token keeps its floor",
                format!("{} below it at most, {} late at most", worst.below_floor, worst.late),
                worst.below_floor == 0,
            ),
            (
                "no token is handed out twice",
                format!("{good} handed out, {} twice", answers.twice),
                answers.twice == 0,
            ),
            (
                "each is handed out with the life that was promised",
                format!("{} with less", answers.short),
                answers.short == 0,
            ),
            (
                "most requests are answered with a token",
                format!(
                    "{good} of {asked}, {} not asked, the slowest after {:.1} s",
                    answers.not_asked,
                    answers.slowest.as_secs_f64()
                ),
                good * 2 >= asked,
            ),
            (
                "nothing is minted before it is due but for lost answers and leaders that are replaced",
                format!(
                    "{mints} mints in Secrets, {early} early, {allowed} allowed: {lost} lost answers, {leader_changes} other \
                     leaders"
                ),
                early <= allowed,
            ),
            (
                "memory stays below 256 MiB",
                format!("{megabytes} MB at most"),
                worst.rss_bytes < MEMORY,
            ),
            (
                "files and connections stay few",
                format!("{} at most", worst.open_files),
                worst.open_files < FILES,
            ),
            (
                "no process ends by itself",
                format!("{restarts} ends, {} of them by SIGKILL", troubles.kills()),
                restarts <= troubles.kills(),
            ),
        ])
    }

    pub(crate) fn holds(&self) -> bool {
        self.0.iter().all(|(_, _, holds)| *holds)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, seen, holds) in &self.0 {
            let mark = if *holds { "holds " } else { "BROKEN" };
            writeln!(f, "soak: {mark} {rule}: {seen}")?;
        }
        write!(f, "soak: {}", if self.holds() { "passed" } else { "FAILED" })
    }
}

/// Mints of the rotating tokens, and those among them that came before they can have been due.
fn mints(world: &World) -> (usize, usize) {
    let renew_before = (world.life * 33 / 100).max(FLOOR + 60).min(world.life / 2);
    let jitter = (world.life / 20).min(60) + 1;
    let due_after = SignedDuration::from_secs(world.life - renew_before - jitter - 2);
    let (mut all, mut early) = (0, 0);
    for (name, mut mints) in world.standin.mints() {
        if !name.starts_with("token-") {
            continue;
        }
        mints.sort_by_key(|mint| mint.at);
        all += mints.len();
        early += mints
            .windows(2)
            .filter(|pair| pair[1].time.duration_since(pair[0].time) < due_after)
            .count();
    }
    (all, early)
}
