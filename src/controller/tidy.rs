//! What is dropped every few seconds, for nothing needs it any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;

use super::wake::Wake;
use crate::api::ClusterRealtimeProvider;
use crate::clock::now;
use crate::cluster::Name;
use crate::resolve::CredentialRef;

const TIDY_EVERY: Duration = Duration::from_secs(10);

impl Wake {
    /// Drops values of keys that are no longer needed, and verdicts on keys that no ClusterRealtimeProvider
    /// reports.
    pub(super) async fn tidy_keys(&self) {
        let of_provider = |provider: &Arc<ClusterRealtimeProvider>| {
            CredentialRef::of_provider(&self.ctx.resolver.operator_namespace, provider)
        };
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            let reported: HashSet<_> = self
                .ctx
                .resolver
                .cluster_providers
                .state()
                .iter()
                .filter_map(of_provider)
                .collect();
            self.ctx.issuer.budgets.retain_verdicts(|key| reported.contains(key));
            self.ctx.resolver.terminating.tidy(now());
            self.ctx.issuer.tidy(now());
        }
    }

    /// Drops tokens that were stored long enough ago, and what is remembered of RealtimeTokens that are gone.
    pub(super) async fn sweep_lifecycles(&self) {
        let exists = |name: &Name| {
            let token = ObjectRef::new(&name.name).within(&name.namespace);
            self.ctx.tokens.get(&token).is_some()
        };
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            self.ctx.lifecycles.sweep(now(), exists);
            self.ctx.metrics.sweep_namespaces();
        }
    }
}
