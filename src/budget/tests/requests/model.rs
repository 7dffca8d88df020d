//! Whatever happens in which order: Secrets first, never more than may be in flight, and no slot is lost.

use proptest::prelude::*;

use super::*;

const WINDOW: usize = 5;

#[derive(Clone, Debug)]
enum Do {
    Ask(Claim),
    /// The n-th that waits goes away.
    Leave(usize),
    /// The n-th that mints ends so, or goes away without a word.
    End(usize, Option<usize>),
    Secret(u8),
    EndSecret(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Do> {
    prop_oneof![
        4 => prop_oneof![Just(Claim::Caller), Just(Claim::Refill)].prop_map(Do::Ask),
        1 => any::<usize>().prop_map(Do::Leave),
        4 => (any::<usize>(), proptest::option::of(0usize..5)).prop_map(|(nth, how)| Do::End(nth, how)),
        2 => (0u8..6).prop_map(Do::Secret),
        2 => any::<usize>().prop_map(Do::EndSecret),
        2 => (1u64..3000).prop_map(Do::Pass),
    ]
}

#[derive(Default)]
struct Run {
    waiting: Vec<(Claim, Wait)>,
    minting: Vec<TakenSlot>,
    secrets: Vec<&'static str>,
    queued: BTreeSet<&'static str>,
    /// Secrets that have gone since the last request.
    gone: usize,
}

const SECRETS: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

impl Run {
    fn acquire(&mut self, world: &World, secret: &'static str) {
        if self.secrets.contains(&secret) {
            return;
        }
        match world.acquire(secret) {
            Admission::Go => {
                self.queued.remove(secret);
                self.secrets.push(secret);
                self.gone += 1;
            }
            _ => {
                self.queued.insert(secret);
            }
        }
    }

    fn apply(&mut self, world: &World, step: &Do) {
        let nth = |nth: usize, of: usize| (of > 0).then(|| nth % of);
        match *step {
            Do::Ask(claim) => self.waiting.push((claim, world.ask_for(VOICE, claim, LONG))),
            Do::Leave(n) => drop(nth(n, self.waiting.len()).map(|at| self.waiting.remove(at))),
            Do::End(n, how) => {
                let Some(at) = nth(n, self.minting.len()) else { return };
                let slot = self.minting.remove(at);
                let (began, now) = (slot.began, world.now());
                let ending = match how {
                    None => return drop(slot),
                    Some(0) => Ending::Refused,
                    Some(1) => Ending::Throttled(now + SignedDuration::from_secs(2)),
                    Some(2) => Ending::Unavailable { began },
                    Some(_) => Ending::Granted,
                };
                world.release(slot, ending);
            }
            Do::Secret(n) => self.acquire(world, SECRETS[usize::from(n)]),
            Do::EndSecret(n) => {
                let Some(at) = nth(n, self.secrets.len()) else { return };
                let secret = self.secrets.remove(at);
                world.budgets.release(&KEY, &secret, Ending::Granted, world.now());
            }
            Do::Pass(_) => {}
        }
    }

    /// The controller's task wakes Secrets whose slot has come.
    fn wake(&mut self, world: &World) {
        for secret in world.woken() {
            self.acquire(world, secret);
        }
    }

    /// Everyone who waits looks: callers, then refills.
    fn look(&mut self) -> Result<(), String> {
        self.look_of(Claim::Caller)?;
        self.look_of(Claim::Refill)
    }

    fn look_of(&mut self, looking: Claim) -> Result<(), String> {
        let mut at = 0;
        while at < self.waiting.len() {
            let (claim, wait) = &mut self.waiting[at];
            let result = (*claim == looking).then(|| answer(wait)).flatten();
            let Some(result) = result else {
                at += 1;
                continue;
            };
            drop(self.waiting.remove(at));
            let Ok(slot) = result else { continue };
            self.minting.push(slot);
            let mut waiting = self.waiting.iter();
            let caller_waits = looking == Claim::Refill && waiting.any(|(claim, _)| *claim == Claim::Caller);
            let secret_waits = !self.queued.is_empty() && (looking == Claim::Refill || self.gone < 3);
            if caller_waits || secret_waits {
                return Err("a request went before its turn, or a refill before a caller".to_owned());
            }
            self.gone = 0;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn never_more_than_the_window_and_nothing_is_lost(
        rpm in prop_oneof![Just(None), (60i64..6000, 1i64..9).prop_map(Some)],
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let result: Result<(), TestCaseError> = runtime.block_on(async move {
            let world = World::new(WINDOW);
            if let Some((rpm, burst)) = rpm {
                world.set_limit(limit(rpm, burst));
            }
            let mut run = Run::default();
            for step in &steps {
                run.apply(&world, step);
                if let Do::Pass(millis) = step {
                    sleep(Duration::from_millis(*millis)).await;
                    run.wake(&world);
                }
                run.look().map_err(TestCaseError::fail)?;
                prop_assert!(run.minting.len() <= 4, "requests have three quarters");
                prop_assert!(run.minting.len() + run.secrets.len() <= WINDOW);
            }
            // All that waits goes in the end, and all slots come back.
            for _ in 0..400 {
                for secret in std::mem::take(&mut run.secrets) {
                    world.budgets.release(&KEY, &secret, Ending::Granted, world.now());
                }
                for slot in std::mem::take(&mut run.minting) {
                    world.release(slot, Ending::Granted);
                }
                run.wake(&world);
                run.look().map_err(TestCaseError::fail)?;
                sleep(Duration::from_millis(500)).await;
            }
            prop_assert!(run.waiting.is_empty() && run.queued.is_empty());
            sleep(Duration::from_secs(3600)).await;
            world.woken();
            prop_assert!(world.budgets.credentials.lock().is_empty());
            Ok(())
        });
        result?;
    }
}
