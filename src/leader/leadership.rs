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

    pub(crate) fn is_held(&self) -> bool {
        *self.0.borrow()
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_begins_anew_when_leadership_is_back() {
        let (switch, leadership) = Switch::new();
        let begun = std::cell::Cell::new(0);
        let work = || async {
            begun.set(begun.get() + 1);
            if begun.get() < 2 {
                std::future::pending::<()>().await;
            }
        };
        let mut run = Box::pin(leadership.run_while_held(work));
        for (held, so_often) in [(false, 0), (true, 1), (false, 1)] {
            switch.set(held);
            assert!((&mut run).now_or_never().is_none());
            assert_eq!(begun.get(), so_often);
        }
        switch.set(true);
        assert!((&mut run).now_or_never().is_some(), "it ends with the work");
        assert_eq!(begun.get(), 2);
    }
}
