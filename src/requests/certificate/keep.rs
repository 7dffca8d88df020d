//! Keeps the operator's own Secret as [`super::plan`] says. Only the leader runs this.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time::Instant;

use super::content::{Content, Data};
use super::follow::Observed;
use super::make::{MakeError, apply};
use super::plan::{Change, step};
use crate::clock::now;
use crate::cluster::ClusterError;
use crate::cluster::certificate_secret::{CertificateSecret, SeenSecret};

/// How often the time is compared with the plan. The clock may jump, so that no sleep lasts until the next change.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// More changes than any state needs at once.
const MOST_CHANGES: usize = 8;

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("Secret {0} exists and is not the operator's: delete it, or name another with --requests-ca-secret")]
    Foreign(String),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error("Secret {name} can't be written: {problem}")]
    Write { name: String, problem: ClusterError },
}

pub(super) struct Keeper {
    secret: Arc<CertificateSecret>,
    names: BTreeSet<String>,
    life: SignedDuration,
    observed: watch::Receiver<Observed>,
    /// The bundle that this process publishes, and since when.
    published: Option<(String, Instant)>,
}

impl Keeper {
    pub(super) fn new(
        secret: Arc<CertificateSecret>,
        names: BTreeSet<String>,
        life: SignedDuration,
        observed: watch::Receiver<Observed>,
    ) -> Self {
        Self {
            secret,
            names,
            life,
            observed,
            published: None,
        }
    }

    /// Ends only if the Secret is no longer followed.
    pub(super) async fn run(mut self) {
        let mut logged = None;
        loop {
            let observed = self.observed.borrow_and_update().clone();
            let result = match observed {
                Observed::Unknown => Ok(()),
                Observed::Absent => self.keep(None).await,
                Observed::Present(secret) => self.keep(Some(&secret)).await,
            };
            let problem = result.err().map(|problem| problem.to_string());
            if let Some(problem) = &problem
                && logged.as_ref() != Some(problem)
            {
                tracing::error!("the serving certificate is not kept: {problem}");
            }
            logged = problem;
            let changed = tokio::time::timeout(LOOK_EVERY, self.observed.changed()).await;
            if let Ok(Err(_)) = changed {
                tracing::error!("the Secret with the serving certificate is no longer followed");
                return;
            }
        }
    }

    async fn keep(&mut self, seen: Option<&SeenSecret>) -> Result<(), KeepError> {
        if seen.is_some_and(|seen| !seen.is_own()) {
            return Err(KeepError::Foreign(self.secret.name().to_string()));
        }
        let before = seen.and_then(|seen| self.read(&seen.data));
        let published_for = self.published_for(before.as_ref());
        let (after, changes) = self.carry_on(before, published_for)?;
        let (Some(after), false) = (after, changes.is_empty()) else {
            return Ok(());
        };
        tracing::info!(secret = %self.secret.name(), ?changes, "renewing the serving certificate or its CA");
        match self.secret.store(seen, &after.data()).await {
            // After a conflict the watch shows what another has written.
            Ok(()) | Err(ClusterError::Conflict | ClusterError::NotFound) => Ok(()),
            Err(problem) => Err(KeepError::Write {
                name: self.secret.name().to_string(),
                problem,
            }),
        }
    }

    /// What is stored, or `None` if there is no CA that can sign.
    fn read(&self, data: &Data) -> Option<Content> {
        match Content::read(data) {
            Ok((content, damages)) => {
                for damage in damages {
                    tracing::warn!(secret = %self.secret.name(), %damage, "a part of the Secret is replaced");
                }
                Some(content)
            }
            Err(_) if data.is_empty() => None,
            Err(damage) => {
                tracing::warn!(secret = %self.secret.name(), %damage, "the Secret is replaced, with a new CA");
                None
            }
        }
    }

    fn published_for(&mut self, content: Option<&Content>) -> Duration {
        let bundle = content.map(Content::bundle).unwrap_or_default();
        match &self.published {
            Some((published, since)) if *published == bundle => since.elapsed(),
            _ => {
                self.published = Some((bundle, Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// Makes every change that is due.
    fn carry_on(
        &self,
        mut content: Option<Content>,
        mut published_for: Duration,
    ) -> Result<(Option<Content>, Vec<Change>), MakeError> {
        let mut changes = Vec::new();
        let now = now();
        while changes.len() < MOST_CHANGES
            && let Some(change) = step(
                content.as_ref().map(Content::stored).as_ref(),
                &self.names,
                now,
                published_for,
            )
        {
            let bundle = content.as_ref().map(Content::bundle);
            let after = apply(change, content.as_ref(), &self.names, self.life, now)?;
            if bundle.as_ref() != Some(&after.bundle()) {
                published_for = Duration::ZERO;
            }
            content = Some(after);
            changes.push(change);
        }
        Ok((content, changes))
    }
}
