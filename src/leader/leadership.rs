//! Whether this replica holds the Lease, as its work sees it.

use tokio::sync::watch;

/// Set by the election and read through [`Leadership`].
#[derive(Debug)]
pub(crate) struct Switch(watch::Sender<bool>);

impl Switch {
    pub(crate) fn new() -> (Self, Leadership) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Leadership(receiver))
    }

    pub(crate) fn set(&self, held: bool) {
        self.0.send_replace(held);
    }
}

/// Whether this replica may write. What it remembers and watches stays while it may not.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<bool>);

impl Leadership {
    /// Without an election: it always leads.
    #[must_use]
    pub fn always() -> Self {
        let (_, receiver) = watch::channel(true);
        Self(receiver)
    }

    /// Resolves while this replica leads.
    pub(crate) async fn held(&self) {
        self.wait_for(true).await;
    }

    /// Resolves while it does not.
    pub(crate) async fn lost(&self) {
        self.wait_for(false).await;
    }

    /// Runs `work` while this replica leads: drops it when leadership is lost, and begins it anew when it is back.
    pub async fn run_while_held<W: Future<Output = ()>>(&self, work: impl Fn() -> W) {
        loop {
            self.held().await;
            tokio::select! {
                biased;
                () = self.lost() => {}
                () = work() => return,
            }
        }
    }

    async fn wait_for(&self, wanted: bool) {
        // The end of the election drops the work too: it says nothing of the Lease.
        if self.0.clone().wait_for(|held| *held == wanted).await.is_err() {
            std::future::pending().await
        }
    }
}
