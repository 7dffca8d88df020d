//! An operator that is started again when it ends, as the kubelet does it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use crate::operator::{Operator, OperatorBuilder};
use crate::wait;

/// The kubelet's first back-off is 10 s; the scenarios don't wait for that.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A running one. Dropping it ends it.
pub struct Pod {
    operator: Arc<Mutex<Operator>>,
    restarts: Arc<AtomicUsize>,
    log: PathBuf,
    keeper: JoinHandle<()>,
}

impl Pod {
    /// Starts it and waits until it is ready. What it says goes into the file `log`, over all restarts.
    pub async fn start(builder: OperatorBuilder, log: &Path) -> Result<Self> {
        let builder = builder.log_file(log);
        let mut operator = builder.start()?;
        operator.wait_ready().await?;
        let operator = Arc::new(Mutex::new(operator));
        let restarts = Arc::new(AtomicUsize::new(0));
        let keeper = tokio::spawn(keep(builder, Arc::clone(&operator), Arc::clone(&restarts)));
        Ok(Self {
            operator,
            restarts,
            log: log.to_owned(),
            keeper,
        })
    }

    /// The process as it is now. While this is held, no other is started.
    pub async fn operator(&self) -> MutexGuard<'_, Operator> {
        self.operator.lock().await
    }

    /// SIGKILL. It comes back by itself.
    pub async fn kill(&self) -> Result<()> {
        self.operator().await.kill()
    }

    /// Waits until it is ready, the process of now or one after it.
    pub async fn wait_ready(&self, within: Duration) -> Result<()> {
        // While this waits for one process, no other is started: one that ends meanwhile is an error at once.
        wait::until("a ready operator", within, async || {
            self.operator().await.wait_ready().await.map(Some)
        })
        .await
    }

    /// How often it was started again.
    pub fn restarts(&self) -> usize {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Everything that it has said, over all restarts.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it holds the Lease, by its own metrics.
    pub async fn leads(&self) -> bool {
        let operator = self.operator().await;
        let metrics = operator.metrics();
        let metrics = tokio::time::timeout(Duration::from_secs(2), metrics).await;
        matches!(metrics, Ok(Ok(metrics)) if metrics.contains("realtime_token_leader 1\n"))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// A process that can't be started is tried again, as the kubelet does; a test sees that nothing answers.
async fn keep(builder: OperatorBuilder, operator: Arc<Mutex<Operator>>, restarts: Arc<AtomicUsize>) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if matches!(operator.lock().await.has_ended(), Ok(true)) {
            tokio::time::sleep(RESTART_AFTER).await;
            if let Ok(started) = builder.start() {
                *operator.lock().await = started;
                restarts.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
