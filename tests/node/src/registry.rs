//! An OCI registry on loopback: Debian's docker-registry.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use tempfile::TempDir;
use testkit::{
    guard::{self, Guarded},
    ports,
};

use crate::debian;

const CONFIG: &str = "
version: 0.1
log: {accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: FOLDER}}
http: {addr: ADDR}
";

/// A running registry, without TLS and without passwords. Dropping it ends it.
pub struct Registry {
    addr: SocketAddr,
    // Before the folder: it is dropped first.
    _process: Guarded,
    _folder: TempDir,
}

impl Registry {
    /// Starts an empty one, and waits until it listens.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let addr = ports::free()?;
        let config = folder.path().join("config.yml");
        let at = folder.path().join("data").display().to_string();
        fs::write(
            &config,
            CONFIG.replace("FOLDER", &at).replace("ADDR", &addr.to_string()),
        )?;
        let log = folder.path().join("log");
        let out = fs::File::create(&log)?;
        let mut command = guard::command(&debian::program("docker-registry")?, Some(folder.path()));
        command.arg("serve").arg(&config).stdout(out.try_clone()?).stderr(out);
        let mut process = Guarded::spawn(&mut command)?;
        let started = Instant::now();
        while TcpStream::connect(addr).is_err() {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = process.exited()? {
                bail!("the registry ended ({status}):\n{}", said());
            }
            ensure!(
                started.elapsed() < Duration::from_secs(30),
                "the registry doesn't listen:\n{}",
                said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            addr,
            _process: process,
            _folder: folder,
        })
    }

    /// Where it listens: the first part of an image's name.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
