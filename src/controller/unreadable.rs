//! A RealtimeToken that is too large to be parsed, or doesn't parse since the CRD in the cluster is another version's: it
//! says so itself.

use kube::Resource;

use super::context::Context;
use crate::clock::now;
use crate::cluster::{Cached, ClusterError, Name, Unreadable, status};
use crate::token::report::unreadable;

/// Writes the conditions, once for each problem.
pub(super) async fn report(object: &Cached, problem: &Unreadable, ctx: &Context) -> Result<(), ClusterError> {
    let name = Name::of(object);
    if object.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let prior = object.conditions();
    let generation = object.meta().generation;
    let new = unreadable(prior, generation, &problem.to_string(), now());
    if new == prior {
        return Ok(());
    }
    match status::of_unreadable(&ctx.client, &name, generation, &new).await {
        Err(ClusterError::NotFound) => return Ok(()),
        written => written?,
    }
    if let Some(ready) = new.first() {
        ctx.events
            .warning(object.object_ref(&()), &ready.reason, ready.message.clone());
    }
    Ok(())
}
