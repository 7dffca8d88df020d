//! The operator as a process of its own: what it logs, serves, uses, and how it ends.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{fetch, guard, ports};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// How to start an operator. Each [`start`](OperatorBuilder::start) makes a process of its own, on ports of its own.
#[derive(Clone, Debug)]
pub struct OperatorBuilder {
    binary: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    log_file: Option<PathBuf>,
}

impl OperatorBuilder {
    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Starts it with these arguments alone, as a container, instead of with `run`. Its environment says where
    /// to listen in either case.
    pub fn container_args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.args = args.into_iter().map(OsString::from).collect();
        self
    }

    /// Sets a variable. Of this process' environment the operator sees `PATH` and `HOME` only.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The namespace it takes itself to be in: `POD_NAMESPACE`.
    pub fn namespace(self, name: &str) -> Self {
        self.env("POD_NAMESPACE", name)
    }

    /// Also appends what it prints to this file.
    pub fn log_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.log_file = Some(file.into());
        self
    }

    /// Starts it, listening on free loopback ports. Doesn't wait: see [`Operator::wait_ready`].
    pub fn start(&self) -> Result<Operator> {
        let (health, metrics) = (ports::free()?, ports::free()?);
        let mut command = guard::command(&self.binary, None);
        command
            .args(&self.args)
            .env_clear()
            .env("HEALTH_LISTEN", health.to_string())
            .env("METRICS_LISTEN", metrics.to_string())
            .envs(["PATH", "HOME"].map(|name| (name, env::var_os(name).unwrap_or_default())))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = guard::Guarded::spawn(&mut command)
            .with_context(|| format!("start the operator {}", self.binary.display()))?;
        let logs = Arc::new(Mutex::new(String::new()));
        let child = process.child();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|it| Box::new(it) as _),
            child.stderr.take().map(|it| Box::new(it) as _),
        ];
        let mut readers = Vec::new();
        for output in outputs.into_iter().flatten() {
            let file = match &self.log_file {
                Some(file) => Some(
                    File::options()
                        .create(true)
                        .append(true)
                        .open(file)
                        .with_context(|| format!("open the log file {}", file.display()))?,
                ),
                None => None,
            };
            readers.push(collect(output, file, logs.clone()));
        }
        Ok(Operator {
            process,
            health,
            metrics,
            logs,
            readers,
        })
    }
}

/// A running operator. Dropping it kills it.
pub struct Operator {
    process: guard::Guarded,
    health: SocketAddr,
    metrics: SocketAddr,
    logs: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Operator {
    /// An operator of this binary, with the rights of this kubeconfig.
    pub fn builder(binary: impl Into<PathBuf>, kubeconfig: impl Into<PathBuf>) -> OperatorBuilder {
        let builder = OperatorBuilder {
            binary: binary.into(),
            args: vec![OsString::from("run")],
            env: Vec::new(),
            log_file: None,
        };
        builder.env("KUBECONFIG", kubeconfig.into())
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it serves `/livez` and `/readyz`.
    pub fn health_addr(&self) -> SocketAddr {
        self.health
    }

    /// Where it serves `/metrics`.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// What it has printed so far, both outputs in the order of arrival. Complete once [`Operator::wait_exit`] returned.
    pub fn logs(&self) -> String {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `/readyz` is content. Fails at once if the process ends.
    pub async fn wait_ready(&mut self) -> Result<()> {
        self.wait_ready_within(READY_WITHIN).await
    }

    /// The same, for an operator that has much to look at first.
    pub async fn wait_ready_within(&mut self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                bail!(
                    "the operator ended ({status}) before it was ready.\n{}",
                    self.log_tail()
                );
            }
            let Err(seen) = fetch::get(self.health, "/readyz").await else {
                return Ok(());
            };
            if started.elapsed() > limit {
                bail!(
                    "the operator wasn't ready within {limit:?}: {seen:#}\n{}",
                    self.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        fetch::get(self.metrics, "/metrics").await
    }

    /// Asks it to end, as the kubelet does. See [`Operator::wait_exit`].
    pub fn sigterm(&mut self) -> Result<()> {
        // Once it is reaped, its pid may be that of another process.
        if let Some(status) = self.exited()? {
            bail!("the operator has ended already ({status}).\n{}", self.log_tail());
        }
        kill_process(Pid::from_child(self.process.child()), Signal::TERM)?;
        Ok(())
    }

    /// Stops it in its tracks, as a node without CPU or a suspended machine does (SIGSTOP).
    pub fn freeze(&mut self) -> Result<()> {
        Ok(kill_process(Pid::from_child(self.process.child()), Signal::STOP)?)
    }

    /// Lets a frozen one go on (SIGCONT).
    pub fn thaw(&mut self) -> Result<()> {
        Ok(kill_process(Pid::from_child(self.process.child()), Signal::CONT)?)
    }

    /// Ends it as a crash of its node would (SIGKILL), and waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.join_readers();
        Ok(())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.exited()?.is_some())
    }

    /// Waits for it to end by itself, or by [`Operator::sigterm`].
    pub async fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if started.elapsed() > timeout {
                bail!("the operator still runs after {timeout:?}.\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The processor time it has used, of user and system.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time_of(self.pid())
    }

    /// The memory it holds now (RSS).
    pub fn rss_bytes(&self) -> Result<u64> {
        rss_bytes_of(self.pid())
    }

    /// The most memory that it has held at a time.
    pub fn peak_rss_bytes(&self) -> Result<u64> {
        memory(self.pid(), "VmHWM:")
    }

    /// The files and connections it has open.
    pub fn open_files(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.pid());
        let files = fs::read_dir(&folder).with_context(|| format!("read {folder}: has the operator ended?"))?;
        Ok(files.count())
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.process.exited()?;
        if status.is_some() {
            self.join_readers();
        }
        Ok(status)
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }

    fn log_tail(&self) -> String {
        let logs = self.logs();
        let lines: Vec<&str> = logs.lines().collect();
        let from = lines.len().saturating_sub(30);
        format!("The end of its log:\n{}", lines[from..].join("\n"))
    }
}

/// The processor time that a process has used, of user and system.
pub fn cpu_time_of(pid: u32) -> Result<Duration> {
    let stat = proc(pid, "stat")?;
    // The second field is the program's name in parentheses, which may hold spaces; user and system time are the 14th
    // and 15th.
    let (_, rest) = stat.rsplit_once(')').context("a stat without a name")?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>())
        .sum::<Result<u64, _>>()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// The memory that a process holds now (RSS).
pub fn rss_bytes_of(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> Result<u64> {
    let status = proc(pid, "status")?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .with_context(|| format!("no {field} has process {pid} ended?"))?
        .parse()?;
    Ok(kilobytes * 1024)
}

fn proc(pid: u32, file: &str) -> Result<String> {
    let file = format!("/proc/{pid}/{file}");
    fs::read_to_string(&file).with_context(|| format!("read {file}: has the process ended?"))
}

/// Appends the lines of `output` to `logs`, and to `file` where there is one, until the process closes it.
fn collect(output: Box<dyn Read + Send>, mut file: Option<File>, logs: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if let Some(file) = &mut file {
                let _ = file.write_all(&line);
            }
            logs.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script in the operator's place: this is about the process, not about what it does.
    fn stand_in(script: &str) -> Result<(tempfile::TempDir, OperatorBuilder)> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let binary = folder.path().join("operator");
        fs::write(&binary, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
        Ok((folder, Operator::builder(binary, "/the/kubeconfig")))
    }

    #[tokio::test]
    async fn it_sees_its_own_environment_only_and_its_logs_are_complete() -> Result<()> {
        let (_folder, builder) = stand_in("echo \"args $*\"; env; echo oops >&2")?;
        let mut operator = builder.arg("--flag").env("COLOUR", "blue").namespace("ns").start()?;
        let status = operator.wait_exit(Duration::from_secs(10)).await?;
        assert!(status.success());
        let logs = operator.logs();
        let listen = format!("HEALTH_LISTEN={}\n", operator.health_addr());
        for line in [
            "args run --flag\n",
            listen.as_str(),
            "KUBECONFIG=/the/kubeconfig\n",
            "COLOUR=blue\n",
            "POD_NAMESPACE=ns\n",
            "oops\n",
        ] {
            assert!(logs.contains(line), "{line} in {logs}");
        }
        assert!(!logs.contains("CARGO"), "{logs}");
        Ok(())
    }

    #[tokio::test]
    async fn an_early_end_is_an_error_with_the_log() -> Result<()> {
        let (_folder, builder) = stand_in("echo 'no such flag' >&2; exit 3")?;
        let Err(error) = builder.start()?.wait_ready().await else {
            bail!("it can't be ready")
        };
        let error = error.to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("no such flag"), "{error}");
        Ok(())
    }

    #[tokio::test]
    async fn signals_reach_it_and_its_use_is_measured() -> Result<()> {
        let (_folder, builder) = stand_in("trap 'echo bye; exit 7' TERM; echo up; while :; do :; done")?;
        let mut operator = builder.start()?;
        crate::wait::until("the start", Duration::from_secs(10), async || {
            let busy = operator.cpu_time()? > Duration::from_millis(50);
            Ok((busy && operator.logs().contains("up")).then_some(()))
        })
        .await?;
        assert!(operator.rss_bytes()? > 100_000);
        assert!(operator.open_files()? >= 3);
        operator.sigterm()?;
        let status = operator.wait_exit(Duration::from_secs(10)).await?;
        assert_eq!(status.code(), Some(7));
        assert!(operator.logs().ends_with("bye\n"));
        assert!(operator.sigterm().is_err());
        Ok(())
    }
}
