//! What is there: the spec with what it refers to, the Secret's metadata, the key's revision, the clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::api::{RENEW_REQUESTED_AT, RealtimeToken, Reason};
use crate::clock::now;
use crate::cluster::{ClusterError, Name};
use crate::resolve::{CredentialRef, ResolveContext, Resolved, resolve};
use crate::token::secret::{SecretMetadata, SecretView, TargetState, desired_metadata};
use crate::token::{Blocked, MintInputs, Observation, hash};

/// The longest value of the renewal annotation that goes into the Secret and the status as it is.
const LONGEST_RENEW_REQUEST: usize = 64;

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
    let resolved = match resolve_in_cluster(token, ctx) {
        Ok(resolved) => resolved,
        Err(blocked) => return Ok(Err(blocked)),
    };
    let credential_revision = if token.spec.suspend {
        String::new()
    } else {
        let fields = resolved.ask.block.provider().secret_fields();
        match ctx.revision(&resolved.credential, fields).await? {
            Ok(revision) => revision,
            Err(blocked) => return Ok(Err(without_platform_names(token, blocked))),
        }
    };
    let inputs = MintInputs {
        fingerprint: resolved.fingerprint.clone(),
        credential_revision,
        renew_request: renew_request(token),
    };
    Ok(Ok((resolved, inputs)))
}

fn resolve_in_cluster(token: &RealtimeToken, ctx: &Context) -> Result<Resolved, Blocked> {
    let reference = token.spec.credentials.provider_ref.as_ref();
    if reference.is_some() && !ctx.scope.cluster_providers {
        return Err(Blocked::new(
            Reason::ProviderNotFound,
            "the operator of this namespace serves no ClusterRealtimeProviders (--no-cluster-providers); use \
             credentials.secretRef",
        ));
    }
    let name = token.namespace().unwrap_or_default();
    let namespace = ctx.namespaces.get(&ObjectRef::new(&name));
    let deleted = namespace
        .as_ref()
        .and_then(|found| found.metadata.deletion_timestamp.as_ref());
    if deleted.is_some() || ctx.terminating.contains(&name, now()) {
        return Err(Blocked::new(
            Reason::NamespaceTerminating,
            "the namespace is being deleted: nothing is minted for it any more",
        ));
    }
    let provider = reference.and_then(|reference| ctx.cluster_providers.get(&ObjectRef::new(&reference.name)));
    let labels = namespace.as_deref().and_then(|found| found.metadata.labels.as_ref());
    resolve(
        token,
        &ResolveContext {
            provider: provider.as_deref(),
            namespace_labels: labels.unwrap_or(&BTreeMap::new()),
            operator_namespace: &ctx.operator_namespace,
            endpoints: &ctx.endpoints,
        },
    )
}

/// The key as the owner of the RealtimeToken knows it: where the platform team keeps its own is not theirs to see.
pub(super) fn key_title(token: &RealtimeToken, key: &CredentialRef) -> String {
    match &token.spec.credentials.provider_ref {
        Some(reference) => format!("key of ClusterRealtimeProvider {}", reference.name),
        None => key.to_string(),
    }
}

/// What the operator's own namespace holds is not the tenant's to see; the platform team finds it in the provider's status.
fn without_platform_names(token: &RealtimeToken, blocked: Blocked) -> Blocked {
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
    Some(if value.len() <= LONGEST_RENEW_REQUEST {
        value.clone()
    } else {
        hash::short(value.as_bytes())
    })
}
