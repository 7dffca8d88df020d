//! Writing the files: a token, or what lies beside it.

use super::{Keeper, Look, target_state};
use crate::api::Reason;
use crate::clock::now;
use crate::token::Blocked;
use crate::token::lifecycle::{Order, WriteEnd};
use crate::token::secret::content;

impl Keeper {
    /// Writes once, and takes in what is there then.
    pub(super) fn write(&mut self, look: &mut Look<'_>, order: &Order) -> WriteEnd {
        let name = &self.name.name;
        let directory = &self.parts.directory;
        let written = match order {
            Order::Store(order) => {
                let target = &look.seen.token.spec.target;
                match content::content(&order.token, order.revision, order.renewal_time, target) {
                    Ok(content) => directory.store(name, &content, &look.metadata, now()),
                    Err(problem) => {
                        let blocked = Blocked::new(Reason::InvalidSpec, problem.to_string());
                        return WriteEnd::Unrenderable(blocked);
                    }
                }
            }
            Order::Relabel { renewal_time, .. } => {
                directory.relabel(name, look.held.as_ref(), &look.metadata, *renewal_time, now())
            }
        };
        look.seen.now = now();
        match written {
            Ok(()) => {
                look.held = directory.held(name);
                look.seen.target = target_state(look.held.as_ref(), look.seen.token, &look.metadata);
                WriteEnd::Written
            }
            Err(problem) => WriteEnd::Refused {
                reason: Reason::SecretWriteFailed,
                message: format!(
                    "the files can't be written: {problem}. The token is kept and will be written once they can"
                ),
            },
        }
    }
}
