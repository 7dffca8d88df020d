//! A mint, in a task of its own.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::{Keeper, Look};
use crate::issuer::{AdmittedMint, MintedWith, NotMinted};
use crate::token::lifecycle::{Limit, Pending};
use crate::token::{Event, MintError};

/// How the owner of the directory knows the key.
const KEY: &str = "provider's key";

/// A mint under way.
pub(super) struct Mint {
    admitted: AdmittedMint,
    task: AbortOnDropHandle<Result<MintedWith, NotMinted>>,
}

impl Mint {
    pub(super) async fn end(&mut self) -> Result<MintedWith, NotMinted> {
        let ended = (&mut self.task).await;
        ended.unwrap_or_else(|_| Err(NotMinted::Failed(MintError::internal("the mint was given up"))))
    }
}

impl Keeper {
    /// Begins a mint, if the budget of the key allows; else says which limit holds it back.
    pub(super) fn begin_mint(&mut self, look: &Look<'_>, pending: Box<Pending>) -> Result<Mint, Option<Limit>> {
        let resolved = look.resolved.as_ref().ok_or(None)?;
        let issuer = Arc::clone(&self.parts.issuer);
        let admitted = issuer.admit(&self.name, resolved, &pending, &look.seen);
        let admitted = admitted.map_err(|admission| admission.limit(KEY.to_owned()))?;
        self.lifecycle.step(Event::MintStarted(pending));
        let mut of_task = admitted.clone();
        let task = tokio::spawn(async move { issuer.mint_for_secret(&mut of_task, || true).await });
        Ok(Mint {
            admitted,
            task: AbortOnDropHandle::new(task),
        })
    }

    pub(super) fn mint_ended(&mut self, mint: &Mint, result: Result<MintedWith, NotMinted>) {
        let lifecycle = &mut self.lifecycle;
        self.parts.issuer.ended(&mint.admitted, result, |event| {
            lifecycle.step(event);
        });
    }
}
