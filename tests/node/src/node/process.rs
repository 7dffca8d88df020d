//! The programs of a node: guarded, logging into its folder, and ending with it.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};
use testkit::guard::{self, Guarded};

use super::machine::Machine;

/// Starts a program that logs to `<name>.log`.
pub(super) fn start(
    machine: &Machine,
    name: &str,
    binary: &Path,
    prepare: impl FnOnce(&mut Command),
) -> Result<Guarded> {
    let log = File::create(machine.folder.join(format!("{name}.log")))?;
    // The folder isn't the guard's to remove: there are mounts in it.
    let mut command = guard::command(binary, None);
    prepare(&mut command);
    command
        .current_dir(&machine.folder)
        // The environment's proxy is for the world outside.
        .env("NO_PROXY", "*")
        .stdout(log.try_clone()?)
        .stderr(log);
    let process = Guarded::spawn(&mut command).with_context(|| format!("start {name}"))?;
    machine.adopt(process.pid())?;
    Ok(process)
}

/// Fails once the program has ended, with the end of its log.
pub(super) fn alive(machine: &Machine, name: &str, process: &mut Guarded) -> Result<()> {
    if let Some(status) = process.exited()? {
        bail!("{name} ended ({status}): {}", log_tail(machine, name));
    }
    Ok(())
}

/// The end of the program's log.
pub(super) fn log_tail(machine: &Machine, name: &str) -> String {
    let file = machine.folder.join(format!("{name}.log"));
    let text = fs::read(&file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(20);
    format!("the end of its log:\n{}", lines[from..].join("\n"))
}
