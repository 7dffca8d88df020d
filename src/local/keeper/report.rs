//! What a step achieved and what goes on: the status in its file, and lines on the screen.

use std::sync::Arc;

use super::{Keeper, Look};
use crate::api::{ConditionType, RealtimeToken, RealtimeTokenStatus};
use crate::resolve::findings;
use crate::token::lifecycle::Step;
use crate::token::report::status as describe;

impl Keeper {
    /// Writes the status if it is another, and says on the screen what is new.
    pub(super) fn report(&mut self, look: &mut Look<'_>, step: &Step) {
        if let Some(situation) = &step.situation {
            let resolved = look.resolved.as_ref();
            let health = self.parts.issuer.health(&look.seen.token.spec, resolved, look.seen.now);
            let status = describe(&findings(&look.seen, situation, resolved, health));
            if status != look.seen.prior {
                if let Err(problem) = self.parts.directory.write_status(&status) {
                    self.parts.screen.event(look.seen.now, &problem.to_string());
                }
                let note = weakness(&status).filter(|note| Some(note) != weakness(&look.seen.prior).as_ref());
                self.parts.screen.notes(note.as_slice());
                look.seen.prior = status.clone();
                let mut token = RealtimeToken::clone(&self.token);
                token.status = Some(status);
                self.token = Arc::new(token);
            }
        }
        self.parts.screen.take_in(&look.seen, step);
    }

    pub(super) fn say_damage(&mut self, look: &Look<'_>) {
        let damage = look.held.as_ref().and_then(|held| held.damage.clone());
        if damage != self.damage {
            if let Some(damage) = &damage {
                let message = format!("{damage}: the files are written anew");
                self.parts.screen.event(look.seen.now, &message);
            }
            self.damage = damage;
        }
    }
}

/// Why the token suits one reader only, if it does.
fn weakness(status: &RealtimeTokenStatus) -> Option<String> {
    let mut conditions = status.conditions.iter();
    let single = conditions.find(|condition| condition.type_ == ConditionType::SingleReader.as_str());
    single.map(|condition| condition.message.clone())
}
