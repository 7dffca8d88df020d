//! What is there: the spec with what it refers to, the Secret's metadata, the key's revision, the clock.

use std::sync::Arc;

use kube::ResourceExt;

use super::context::Context;
use crate::api::{RENEW_REQUESTED_AT, RealtimeToken};
use crate::clock::now;
use crate::cluster::{ClusterError, Name};
use crate::resolve::Resolved;
use crate::token::secret::{SecretMetadata, SecretView, TargetState, desired_metadata};
use crate::token::{Blocked, MintInputs, Observation};

pub(super) struct Look<'a> {
    pub(crate) name: Name,
    pub(crate) secret: Name,
    pub(crate) view: Option<Arc<SecretView>>,
    pub(crate) metadata: SecretMetadata,
    /// What to ask of whom; `None` if that is blocked.
    pub(crate) resolved: Option<Resolved>,
    pub(crate) seen: Observation<'a>,
}

pub(super) async fn look<'a>(token: &'a RealtimeToken, name: Name, ctx: &Context) -> Result<Look<'a>, ClusterError> {
    let secret = Name::new(&name.namespace, token.target_name());
    let view = ctx.targets.observe(&secret).await?;
    let (resolved, inputs) = match resolve_inputs(token, ctx).await? {
        Ok((resolved, inputs)) => (Some(resolved), Ok(inputs)),
        Err(blocked) => (None, Err(blocked)),
    };
    let endpoint = ctx.requests_endpoint(token);
    let metadata = desired_metadata(&name.name, &token.spec.target, endpoint.keys(token));
    let seen = Observation {
        token,
        prior: ctx.lifecycles.known_status(&name, token),
        target: target_state(view.as_deref(), token, &name, &metadata),
        metadata_hash: metadata.hash.clone(),
        endpoint,
        inputs,
        now: now(),
    };
    Ok(Look {
        name,
        secret,
        view,
        metadata,
        resolved,
        seen,
    })
}

impl Look<'_> {
    /// Takes in the answer to a write of the Secret.
    pub(super) fn written(&mut self, view: Arc<SecretView>) {
        self.seen.target = target_state(Some(&view), self.seen.token, &self.name, &self.metadata);
        self.view = Some(view);
    }
}

fn target_state(
    view: Option<&SecretView>,
    token: &RealtimeToken,
    name: &Name,
    desired: &SecretMetadata,
) -> TargetState {
    let uid = token.metadata.uid.as_deref().unwrap_or_default();
    view.map_or(TargetState::Absent, |view| {
        view.seen_by(&name.name, uid, &token.spec.target, &desired.connection)
    })
}

/// What to ask of whom, and what the token is minted from. The key of a suspended RealtimeToken is not looked at.
async fn resolve_inputs(
    token: &RealtimeToken,
    ctx: &Context,
) -> Result<Result<(Resolved, MintInputs), Blocked>, ClusterError> {
    let resolved = match ctx.resolver.resolve(token, now()) {
        Ok(resolved) => resolved,
        Err(blocked) => return Ok(Err(blocked)),
    };
    let credential_revision = if token.spec.suspend {
        String::new()
    } else {
        let fields = resolved.ask.block.provider().secret_fields();
        match ctx.issuer.revision(&resolved.credential, fields).await? {
            Ok(revision) => revision,
            Err(blocked) => return Ok(Err(resolved.without_platform_names(blocked))),
        }
    };
    let inputs = MintInputs {
        fingerprint: resolved.fingerprint.clone(),
        credential_revision,
        renew_request: renew_request(token),
    };
    Ok(Ok((resolved, inputs)))
}

fn renew_request(token: &RealtimeToken) -> Option<String> {
    token.annotations().get(RENEW_REQUESTED_AT).cloned()
}
