//! What a step achieved and what goes on: the status in its file, and lines on the screen.

use std::sync::Arc;

use super::{Keeper, Look};
use crate::api::{ConditionType, RealtimeToken, RealtimeTokenStatus};
use crate::issuer::Issuer;
use crate::providers::Provider;
use crate::resolve::{provider_of, unknown_overridable};
use crate::token::lifecycle::{Situation, Step};
use crate::token::report::{Findings, TokenKind, status as describe};

impl Keeper {
    /// Writes the status if it is another, and says on the screen what is new.
    pub(super) fn report(&mut self, look: &mut Look<'_>, step: &Step) {
        if let Some(situation) = &step.situation {
            let status = describe(&findings(look, situation, &self.parts.issuer));
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

/// Why a reader may find a token with less life than it should have, or one that another reader has used.
fn weakness(status: &RealtimeTokenStatus) -> Option<String> {
    let mut conditions = status.conditions.iter();
    let freshness = conditions.find(|condition| condition.type_ == ConditionType::FreshnessGuaranteed.as_str());
    freshness
        .filter(|condition| condition.status == "False")
        .map(|condition| condition.message.clone())
}

fn findings<'a>(look: &'a Look<'_>, situation: &'a Situation, issuer: &Issuer) -> Findings<'a> {
    let spec = &look.seen.token.spec;
    let provider: Option<&dyn Provider> = match &look.resolved {
        Some(resolved) => Some(resolved.ask.block.provider()),
        None => provider_of(spec),
    };
    let credential = look.resolved.as_ref().map(|resolved| &resolved.credential);
    Findings {
        seen: &look.seen,
        situation,
        provider: provider.map(Provider::published),
        kind: TokenKind {
            single_use: provider.and_then(Provider::single_use),
            one_reader: provider.and_then(Provider::one_reader),
            lifetime: provider.map(|provider| provider.lifetime()),
            asked: look.resolved.as_ref().map(|resolved| resolved.ask.expiration),
        },
        health: credential
            .filter(|_| spec.requests.is_some())
            .map(|credential| issuer.budgets.health(credential, look.seen.now)),
        unknown_overridable: unknown_overridable(spec),
    }
}
