//! One RealtimeToken: observe, decide, act, report.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use super::context::Context;
use super::minting::{self, Order};
use super::store;
use crate::api::{RENEW_REQUESTED_AT, RealtimeToken, RealtimeTokenStatus, Reason};
use crate::budget::{Admission, Priority};
use crate::clock::{now, whole_second};
use crate::cluster::{ClusterError, Name, status};
use crate::resolve::{KeyRef, ResolveContext, Resolved, provider_of, resolve};
use crate::token::metadata::SecretView;
use crate::token::report::{self, Findings, Situation};
use crate::token::secret::{self, Dress};
use crate::token::{
    Attempts, Blocked, Decision, Held, Observed, TargetState, Trigger, WaitReason, Wanted, decide, hash, schedule,
};

/// Somebody who was promised a turn asks again after this time in any case.
const QUEUE_PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// A stranger's Secret is not in our watch, so its deletion is noticed by looking.
const CONFLICT_RECHECK: SignedDuration = SignedDuration::from_secs(30);

/// Everything known of one RealtimeToken at one time.
pub(super) struct Scene<'a> {
    pub(super) ctx: &'a Arc<Context>,
    pub(super) token: &'a RealtimeToken,
    pub(super) name: Name,
    pub(super) uid: &'a str,
    pub(super) secret: Name,
    pub(super) view: Option<Arc<SecretView>>,
    pub(super) target: TargetState,
    pub(super) dress: Dress,
    resolved: Result<Resolved, Blocked>,
    credential_revision: String,
    renew_request: Option<String>,
    pub(super) prior: RealtimeTokenStatus,
    pub(super) held: Option<Box<Held>>,
    attempts: Option<Box<Attempts>>,
    last_mint: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// Carries one RealtimeToken a step further.
///
/// # Errors
/// The Kubernetes API failed; everything else is a state, not an error.
pub(super) async fn reconcile(token: &RealtimeToken, ctx: &Arc<Context>) -> Result<Action, ClusterError> {
    let name = Name::of(token);
    if token.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let Some(_turn) = ctx.memories.turn(&name, token) else {
        return Ok(Action::await_change());
    };
    let scene = Scene::observe(ctx, token, name).await?;
    match scene.decide() {
        Decision::Wait { until, why } => scene.wait(until, why).await,
        Decision::Mint(_) => scene.mint().await,
        Decision::Store(trigger) => store::store(scene, trigger).await,
        Decision::Relabel => store::relabel(scene).await,
        Decision::Blocked(blocked) => scene.blocked(&blocked).await,
    }
}

impl<'a> Scene<'a> {
    async fn observe(ctx: &'a Arc<Context>, token: &'a RealtimeToken, name: Name) -> Result<Self, ClusterError> {
        let now = now();
        let uid = token.metadata.uid.as_deref().unwrap_or_default();
        let mut resolved = resolve_here(ctx, token);
        let secret = Name::new(&name.namespace, token.target_name());
        let view = ctx.targets.observe(&secret).await?;
        let target = view.as_ref().map_or(TargetState::Absent, |view| {
            view.seen_by(&name.name, uid, &token.spec.target)
        });
        let mut credential_revision = String::new();
        if let Ok(found) = &resolved
            && !token.spec.suspend
        {
            match ctx
                .credentials
                .revision(&found.key, found.ask.block.provider().secret_fields())
                .await?
            {
                Ok(revision) => credential_revision = revision,
                Err(blocked) => resolved = Err(for_the_tenant(token, blocked)),
            }
        }
        let renew_request = renew_request(token);
        let (held, attempts, last_mint, prior) = ctx.memories.with(&name, token, |memory| {
            memory.recognise(&target);
            memory.let_go(now);
            memory.remember_asked(|| {
                let resolved = resolved.as_ref().ok()?;
                Some(decide::asked_for(&Wanted {
                    fingerprint: &resolved.fingerprint,
                    credential_revision: &credential_revision,
                    renew_request: renew_request.as_deref(),
                }))
            });
            (
                memory.held.clone(),
                memory.attempts.clone(),
                memory.last_mint,
                memory.prior_status(token),
            )
        });
        Ok(Self {
            ctx,
            token,
            uid,
            secret,
            view,
            target,
            dress: secret::dress(&name.name, &token.spec.target),
            name,
            resolved,
            credential_revision,
            renew_request,
            prior,
            held,
            attempts,
            last_mint,
            now,
        })
    }

    fn decide(&self) -> Decision {
        let asked_at = self.prior.issued_at.as_ref().map(|time| time.0);
        let asked_at = asked_at.filter(|asked_at| *asked_at <= self.now); // else the clock was set back
        decide::decide(&Observed {
            uid: self.uid,
            suspended: self.token.spec.suspend,
            renewal: &self.token.spec.renewal,
            target: &self.target,
            metadata_hash: &self.dress.hash,
            wanted: self.wanted(),
            attempts: self.attempts.as_deref(),
            held: self.held.as_deref(),
            last_mint: self.last_mint.max(asked_at),
            issued_before: self.prior.revision.is_some(),
            now: self.now,
        })
    }

    pub(super) fn wanted(&self) -> Result<Wanted<'_>, &Blocked> {
        self.resolved.as_ref().map(|resolved| Wanted {
            fingerprint: &resolved.fingerprint,
            credential_revision: &self.credential_revision,
            renew_request: self.renew_request.as_deref(),
        })
    }

    async fn wait(self, until: Timestamp, why: WaitReason) -> Result<Action, ClusterError> {
        let situation = match (why, &self.attempts) {
            (WaitReason::Backoff, Some(attempts)) => Situation::Failing(attempts),
            (WaitReason::Backoff | WaitReason::MinInterval, _) => Situation::Pending,
            (WaitReason::Suspended, _) => Situation::Suspended,
            (WaitReason::Fresh, _) => Situation::Settled,
        };
        if why == WaitReason::Fresh {
            self.ctx.memories.with(&self.name, self.token, |memory| {
                memory.attempts = None;
                memory.failures = 0;
                // A token that isn't stored while another is and will do: nobody asks for it any more.
                memory.held.take_if(|held| held.revision.is_none());
            });
        }
        self.report(situation).await?;
        Ok(self.requeue(until))
    }

    async fn blocked(self, blocked: &Blocked) -> Result<Action, ClusterError> {
        self.report(Situation::Blocked(blocked)).await?;
        let recheck = if blocked.reason == Reason::SecretConflict {
            CONFLICT_RECHECK
        } else {
            decide::MAX_WAIT
        };
        let floor = self
            .plan()
            .map(|plan| plan.floor_time)
            .filter(|floor| *floor > self.now);
        Ok(self.requeue(floor.map_or(self.now + recheck, |floor| floor.min(self.now + recheck))))
    }

    async fn mint(self) -> Result<Action, ClusterError> {
        let (Ok(resolved), Ok(wanted)) = (&self.resolved, self.wanted()) else {
            return Ok(Action::await_change()); // decide mints only what is wanted
        };
        if self.ctx.tasks.is_closed() {
            return Ok(Action::await_change()); // stopping
        }
        let plan = self.plan();
        let priority = Priority {
            has_token: plan.is_some_and(|plan| plan.floor_time > self.now),
            deadline: plan.map_or(self.now, |plan| plan.floor_time),
        };
        let admission = self
            .ctx
            .budgets
            .acquire(&resolved.key, &self.name, priority, resolved.rate_limit, self.now);
        match admission {
            Admission::Go => {
                self.ctx
                    .memories
                    .with(&self.name, self.token, |memory| memory.minting = true);
                let order = Order {
                    name: self.name.clone(),
                    uid: self.uid.to_owned(),
                    asked: decide::asked_for(&wanted),
                    usable_until: self.issued().map(|issued| issued.usable_until),
                    swap_by: plan.map(|plan| plan.swap_by),
                    renew_request: self.renew_request.clone(),
                    key_title: key_title(self.token, &resolved.key),
                    resolved: resolved.clone(),
                };
                minting::start(self.ctx, order);
                Ok(Action::await_change())
            }
            Admission::Queued => Ok(self.requeue(self.now + QUEUE_PATIENCE)),
            Admission::Limited(until) => {
                let at = whole_second(until);
                let failed = self.attempts.as_ref().map_or(0, |attempts| attempts.failed);
                let waiting = Attempts {
                    failed,
                    last: self.attempts.as_ref().map_or(self.now, |attempts| attempts.last),
                    next: until,
                    asked: None,
                    reason: Reason::RateLimited,
                    message: format!(
                        "the {} is limited until about {at}; waiting for its turn",
                        key_title(self.token, &resolved.key)
                    ),
                };
                self.report(Situation::Failing(&waiting)).await?;
                Ok(self.requeue(until.max(self.now + QUEUE_PATIENCE)))
            }
        }
    }

    /// When to look again after a write of the Secret. `relabel` is when labels and owner that are still not as they
    /// should be may be written: at once after a token, since they are no part of its write.
    pub(super) fn next_look(&mut self, relabel: Timestamp) -> Timestamp {
        self.attempts = None;
        match self.decide() {
            Decision::Wait { until, .. } => until,
            Decision::Relabel => relabel,
            Decision::Mint(Trigger::Due) => self.now,
            // Somebody on the way changes what is written, such as an admission webhook. To write it again at once
            // would be to write for ever.
            _ => self.now + decide::MAX_WAIT,
        }
    }

    pub(super) fn plan(&self) -> Option<schedule::Schedule> {
        let issued = self.issued()?;
        Some(schedule::plan(
            &self.token.spec.renewal,
            self.uid,
            issued.issued_at,
            issued.usable_until,
        ))
    }

    pub(super) fn issued(&self) -> Option<&crate::token::Issued> {
        match &self.target {
            TargetState::Ours(stored) => stored.issued.as_ref(),
            TargetState::Absent | TargetState::Foreign(_) => None,
        }
    }

    /// Brings the status up to date, if it isn't, and tells of a failure that is new.
    pub(super) async fn report(&self, situation: Situation<'_>) -> Result<(), ClusterError> {
        let provider = match &self.resolved {
            Ok(resolved) => Some(resolved.ask.block.provider()),
            Err(_) => provider_of(&self.token.spec),
        };
        let new = report::status(&Findings {
            token: self.token,
            prior: &self.prior,
            uid: self.uid,
            target: &self.target,
            situation,
            provider: provider.map(|provider| provider.published()),
            single_use: provider.and_then(|provider| provider.single_use()),
            now: self.now,
        });
        if new == self.prior {
            return Ok(());
        }
        let version = status::of_token(&self.ctx.client, &self.name, &self.prior, &new).await?;
        if let Some(failure) = report::new_failure(&self.prior, &new) {
            self.ctx
                .events
                .warning(self.token.object_ref(&()), &failure.reason, failure.message.clone());
        }
        self.ctx.memories.with(&self.name, self.token, |memory| {
            memory.status = Some(Box::new(super::memory::WrittenStatus {
                version,
                status: new,
                renew_request: self.token.annotations().get(RENEW_REQUESTED_AT).cloned(),
            }));
        });
        Ok(())
    }

    pub(super) fn requeue(&self, until: Timestamp) -> Action {
        let wait = until
            .min(self.now + decide::MAX_WAIT)
            .duration_since(now())
            .max(SignedDuration::from_millis(1));
        Action::requeue(Duration::try_from(wait).unwrap_or(Duration::from_secs(1)))
    }
}

fn resolve_here(ctx: &Context, token: &RealtimeToken) -> Result<Resolved, Blocked> {
    let namespace = token.namespace().unwrap_or_default();
    let reference = token.spec.credentials.provider_ref.as_ref();
    if reference.is_some() && !ctx.scope.cluster_providers {
        return Err(Blocked::new(
            Reason::ProviderNotFound,
            "the operator of this namespace serves no ClusterRealtimeProviders (--no-cluster-providers); use \
             credentials.secretRef",
        ));
    }
    let provider = reference.and_then(|reference| {
        ctx.cluster_providers
            .get(&kube::runtime::reflector::ObjectRef::new(&reference.name))
    });
    let labels = ctx
        .namespaces
        .get(&kube::runtime::reflector::ObjectRef::new(&namespace));
    let none = std::collections::BTreeMap::new();
    resolve(
        token,
        &ResolveContext {
            provider: provider.as_deref(),
            namespace_labels: labels
                .as_deref()
                .and_then(|found| found.metadata.labels.as_ref())
                .unwrap_or(&none),
            operator_namespace: &ctx.operator_namespace,
            endpoints: &ctx.endpoints,
        },
    )
}

/// The key as the owner of the RealtimeToken knows it: where the platform team keeps its own is their business.
fn key_title(token: &RealtimeToken, key: &KeyRef) -> String {
    match &token.spec.credentials.provider_ref {
        Some(reference) => format!("key of ClusterRealtimeProvider {}", reference.name),
        None => key.to_string(),
    }
}

/// What the operator's own namespace holds is the platform team's business; the provider's status tells them.
fn for_the_tenant(token: &RealtimeToken, blocked: Blocked) -> Blocked {
    match &token.spec.credentials.provider_ref {
        Some(reference) => Blocked::new(
            blocked.reason,
            format!(
                "the key of ClusterRealtimeProvider {} is not there; its status says more to the platform team",
                reference.name
            ),
        ),
        None => blocked,
    }
}

/// The annotation's value; a long one by its hash, since it goes into the Secret and the status.
fn renew_request(token: &RealtimeToken) -> Option<String> {
    let value = token.annotations().get(RENEW_REQUESTED_AT)?;
    Some(if value.len() <= 64 {
        value.clone()
    } else {
        hash::short(value.as_bytes())
    })
}
