//! One server of the control plane: its process and its log.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{build::ControlPlaneBinary, guard};

const READY_WITHIN: Duration = Duration::from_secs(60);

pub(super) struct Server {
    pub(super) name: &'static str,
    process: guard::Guarded,
    log: PathBuf,
}

impl Server {
    /// Starts the server `name`, logging to `<folder>/<name>.log`. `folder` goes away with it if this process is killed.
    pub(super) fn start(
        binary: &ControlPlaneBinary,
        name: &'static str,
        folder: &Path,
        flags: Vec<OsString>,
    ) -> Result<Self> {
        let (program, first) = binary.server(name)?;
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = guard::command(&program, Some(folder));
        command
            .args(first)
            .args(flags)
            .current_dir(folder)
            // Less garbage collection: these servers live for a minute, and processor time is what tests are short of.
            .env("GOGC", "200")
            // 100,000 tokens of the bench would take 20 GB then. The servers need 7.
            .env("GOMEMLIMIT", "10GiB")
            .stdout(output.try_clone()?)
            .stderr(output);
        let process =
            guard::Guarded::spawn(&mut command).with_context(|| format!("start {name} from {}", program.display()))?;
        Ok(Self { name, process, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// SIGSTOP: it stands still, and so do its files.
    pub(super) fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(super) fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.context("no pid")?, signal)?)
    }

    /// SIGKILL, and its ports are free when this returns.
    pub(super) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        Ok(())
    }

    /// Asks `check` until it is content. Fails at once if the process ends, and after a minute, with the end of the log.
    ///
    /// Not an `AsyncFn`: the compiler can't see that its future is `Send`, and starting a cluster should be.
    pub(super) async fn ready<F>(&mut self, check: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.exited()? {
                bail!("{} ended ({status}) as it started.\n{}", self.name, self.log_tail());
            }
            let answer = tokio::time::timeout(Duration::from_secs(5), check()).await;
            let seen = match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => String::from("no answer"),
            };
            if started.elapsed() > READY_WITHIN {
                bail!(
                    "{} wasn't ready within {READY_WITHIN:?}: {seen}\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(20);
        format!("The end of its log:\n{}", lines[from..].join("\n"))
    }
}
