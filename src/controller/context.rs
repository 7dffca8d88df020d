//! What every reconcile shares.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::api_server::ApiServer;
use super::lifecycles::Lifecycles;
use crate::api::RealtimeToken;
use crate::clock::now;
use crate::cluster::events::Events;
use crate::cluster::target::Targets;
use crate::cluster::{Cached, ClusterError, Name};
use crate::issuer::{Issuer, Resolver};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::token::Connection;
use crate::token::secret::RequestsEndpoint;

/// How often one RealtimeToken is tried while the API server is away.
const TRY_EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) targets: Targets,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) resolver: Resolver,
    /// All RealtimeTokens, as the watch shows them.
    pub(super) tokens: Store<Cached>,
    pub(super) lifecycles: Lifecycles,
    pub(crate) events: Events,
    pub(crate) metrics: Arc<Metrics>,
    pub(super) leadership: Leadership,
    pub(super) api_server: Arc<ApiServer>,
    /// Mints under way.
    pub(crate) tasks: TaskTracker,
    /// Where tokens on request are asked for; `None` if this installation hands out none.
    pub(super) connection: Option<watch::Receiver<Option<Connection>>>,
    pub(super) nudges: mpsc::UnboundedSender<ObjectRef<Cached>>,
}

impl Context {
    /// Takes in what the API server made of a write for a RealtimeToken. A refusal is an answer as well.
    pub(super) fn note_write<T>(&self, name: &Name, answer: &Result<T, ClusterError>) {
        match answer {
            Err(error) if error.is_unavailable() => self.note_failure(name, error),
            _ => self.try_again(self.api_server.answered()),
        }
    }

    /// Takes in the failure of any request for a RealtimeToken.
    pub(super) fn note_failure(&self, name: &Name, error: &ClusterError) {
        if let ClusterError::Throttled(time) = error {
            self.api_server.pause(*time);
        }
        if error.is_unavailable() {
            self.api_server.failed(name);
        }
    }

    /// Tries again now what failed for want of an answer.
    fn try_again(&self, names: impl IntoIterator<Item = Name>) {
        for name in names {
            self.lifecycles.api_answered(&name, now());
            self.nudge(&name);
        }
    }

    /// Notices that an API server that was away is back: by trying, and by the Lease, which is written as well.
    pub(super) async fn follow_api_server(&self) {
        loop {
            let led_again = async {
                self.leadership.lost().await;
                self.leadership.held().await;
            };
            tokio::select! {
                () = led_again => self.try_again(self.api_server.release_all()),
                () = tokio::time::sleep(TRY_EVERY) => self.try_again(self.api_server.next_to_try()),
            }
        }
    }

    /// Has a RealtimeToken reconciled soon.
    pub(crate) fn nudge(&self, name: &Name) {
        // Fails only after the controller has stopped, when it is no longer needed.
        let _ = self.nudges.send(ObjectRef::new(&name.name).within(&name.namespace));
    }

    /// Where tokens of this RealtimeToken are asked for on request, if its spec has them handed out.
    pub(super) fn requests_endpoint(&self, token: &RealtimeToken) -> RequestsEndpoint {
        match &self.connection {
            Some(connection) if token.spec.requests.is_some() => {
                let known = connection.borrow().clone();
                known.map_or(RequestsEndpoint::Unknown, RequestsEndpoint::Known)
            }
            _ => RequestsEndpoint::NotEnabled,
        }
    }

    /// Starts no more mints, and waits for those under way to end and for their tokens to be stored.
    pub(super) async fn drain(&self, patience: Duration) {
        self.tasks.close();
        self.issuer.begin_no_more_for_secrets();
        let stored = async {
            self.tasks.wait().await;
            while self.lifecycles.unstored() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(patience, stored).await.is_err() {
            tracing::warn!(
                mints = self.tasks.len(),
                tokens = self.lifecycles.unstored(),
                "stopping with mints under way or tokens not stored"
            );
        }
    }

    pub(crate) fn forget(&self, name: &Name) {
        self.lifecycles.remove(name);
        self.issuer.budgets.withdraw(name);
    }
}
