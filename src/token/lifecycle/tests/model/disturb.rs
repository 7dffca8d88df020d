//! What users, other writers and the world around do to a RealtimeToken, at any time.

use std::collections::BTreeMap;

use super::*;
use crate::api::RENEW_REQUESTED_AT;
use crate::token::MintError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    // What users do.
    ChangeSpec,
    ChangeKey,
    AskForRenewal,
    // What others do to the Secret.
    DeleteSecret,
    EditSecret,
    EditLabels,
    // The API server.
    RefuseStatus,
    LoseStatusAnswer,
    RefuseWrite,
    LoseWriteAnswer,
    RollBack,
    /// It answers nothing until it is back.
    GoAway,
    // The provider.
    MintUnavailable,
    MintRejected,
    // The process.
    Crash,
    /// The process dies, and the write that it has sent comes later.
    CrashWhileWriting,
    // Time.
    /// The process stands still for a whole life, or doesn't get to its work.
    Stall,
    Delay,
    ClockForward,
    ClockBack,
}

use Disturbance::*;

/// The API server is back after so many requests at the latest.
const LONGEST_OUTAGE: u8 = 4;

const ALL: [Disturbance; 20] = [
    ChangeSpec,
    ChangeKey,
    AskForRenewal,
    DeleteSecret,
    EditSecret,
    EditLabels,
    RefuseStatus,
    LoseStatusAnswer,
    RefuseWrite,
    LoseWriteAnswer,
    RollBack,
    GoAway,
    MintUnavailable,
    MintRejected,
    Crash,
    CrashWhileWriting,
    Stall,
    Delay,
    ClockForward,
    ClockBack,
];

impl State {
    /// Those that are possible now.
    pub fn disturbances(&self) -> impl Iterator<Item = Disturbance> + '_ {
        ALL.into_iter().filter(|it| self.left > 0 && self.is_possible(*it))
    }

    fn is_possible(&self, disturbance: Disturbance) -> bool {
        let has_secret = self.store.secret.is_some();
        let writes_secret = matches!(&self.process.work, Work::Acting(acting) if matches!(acting.1, Next::Write(_)));
        match disturbance {
            ChangeSpec | ChangeKey | AskForRenewal | Crash | Stall | Delay | ClockForward | ClockBack => true,
            DeleteSecret | EditLabels => has_secret,
            EditSecret => self.store.secret.as_ref().is_some_and(|secret| secret.intact),
            RefuseStatus | LoseStatusAnswer => matches!(self.process.work, Work::Reporting(_)),
            RefuseWrite | LoseWriteAnswer | CrashWhileWriting => writes_secret,
            RollBack => self.store.version > self.backup.version,
            GoAway => self.unanswered == 0,
            MintUnavailable | MintRejected => self.process.minting.is_some(),
        }
    }

    pub fn disturb(&mut self, disturbance: Disturbance) {
        self.left -= 1;
        match disturbance {
            ChangeSpec => {
                *self.store.edit_token().metadata.generation.get_or_insert(0) += 1;
                self.store.touch_token();
            }
            ChangeKey => {
                self.key += 1;
                self.wake(); // the watch on the key
            }
            AskForRenewal => {
                let request = (RENEW_REQUESTED_AT.to_owned(), self.now.to_string());
                self.store.edit_token().metadata.annotations = Some(BTreeMap::from([request]));
                self.store.touch_token();
            }
            DeleteSecret => {
                self.store.next_version();
                self.store.secret = None;
            }
            EditSecret => self.store.touch_secret(|secret| secret.intact = false),
            EditLabels => self
                .store
                .touch_secret(|secret| secret.metadata_hash = Some("edited".to_owned())),
            RefuseStatus => self.write_status(false, false),
            LoseStatusAnswer => self.write_status(true, false),
            RefuseWrite => self.write_secret(false, false),
            LoseWriteAnswer => self.write_secret(true, false),
            RollBack => {
                self.store = self.backup.clone();
                self.ghost.rolled_back = true;
                // The watches list anew.
                self.process.delivered = Some(u64::MAX);
            }
            GoAway => self.unanswered = LONGEST_OUTAGE,
            MintUnavailable => self.end_mint(Some(MintError::unavailable("down"))),
            MintRejected => {
                let message = "no such model".to_owned();
                let credential = false;
                self.end_mint(Some(MintError::Rejected { credential, message }));
            }
            Crash => self.crash(),
            CrashWhileWriting => {
                if let Work::Acting(acting) = &self.process.work
                    && let Next::Write(order) = &acting.1
                {
                    self.in_flight = Some(Box::new((acting.0.clone(), order.clone())));
                }
                self.crash();
            }
            Stall => self.now += SignedDuration::from_secs(LIFE + 1),
            Delay => self.now += SignedDuration::from_secs(15),
            ClockForward => self.set_clock(SignedDuration::from_secs(LIFE - 60)),
            ClockBack => self.set_clock(SignedDuration::from_secs(-3600)),
        }
    }

    fn crash(&mut self) {
        self.ghost.lost_token |= self.process.lifecycle.has_unstored_token();
        self.ghost.last_mint = None;
        self.unanswered = 0; // the next process waits until the API server answers
        self.process = state::Process::start(&self.store, self.now);
    }

    /// A wait goes on by the monotonic clock.
    fn set_clock(&mut self, by: SignedDuration) {
        self.ghost.last_mint = None;
        let wait = self.process.look_at.duration_since(self.now);
        self.now += by;
        self.process.look_at = self.now + wait.min(crate::token::decide::MAX_WAIT);
        // A mint was sent when it was sent: its time is what it was then.
    }
}
