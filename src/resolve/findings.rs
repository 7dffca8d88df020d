//! What a status is computed from, for the controller and `local`, which write one.

use super::{Resolved, provider_of, unknown_overridable};
use crate::mint::Ask;
use crate::providers::Provider;
use crate::token::Observation;
use crate::token::lifecycle::Situation;
use crate::token::report::provider::CredentialHealth;
use crate::token::report::{Findings, TokenKind};

/// `resolved` is `None` while the spec can't be resolved.
pub(crate) fn findings<'a>(
    seen: &'a Observation<'a>,
    situation: &'a Situation,
    resolved: Option<&'a Resolved>,
    health: Option<CredentialHealth>,
) -> Findings<'a> {
    let ask = resolved.map(|resolved| &resolved.ask);
    let provider = match ask {
        Some(ask) => Some(ask.block.provider()),
        None => provider_of(&seen.token.spec),
    };
    Findings {
        seen,
        situation,
        provider: provider.map(Provider::published),
        kind: token_kind(provider, ask),
        health,
        unknown_overridable: unknown_overridable(&seen.token.spec),
    }
}

pub(crate) fn token_kind(provider: Option<&dyn Provider>, ask: Option<&Ask>) -> TokenKind {
    TokenKind {
        single_use: provider.and_then(Provider::single_use),
        one_reader: provider.and_then(Provider::one_reader),
        lifetime: provider.map(|provider| provider.lifetime()),
        asked: ask.map(|ask| ask.expiration),
    }
}
