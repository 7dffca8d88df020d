//! Child processes that cannot outlive this one, however it ends.
//!
//! Drop isn't enough: a static in a test binary is never dropped, and a killed process drops nothing.
//! So each child is started by a short shell script that leaves a watcher behind and then becomes the child itself.
//! The watcher reads a pipe that only this process holds: end of file means that this process is gone.
//! `PR_SET_PDEATHSIG` would need `unsafe`, and fires when the *thread* that spawned the child ends, as test threads do.

use std::{
    ffi::OsStr,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
};

/// A line means "the child is gone and reaped, its pid may be someone else's by now"; end of file means "kill it".
/// The folder may still be written to while the servers in it die, hence the loop.
const SCRIPT: &str = r#"
folder=$1; shift
exec 3<&0
{
    read -r _ <&3 || {
        kill -KILL $$
        for _ in 1 2 3 4 5; do [ -z "$folder" ] || rm -rf -- "$folder" && break; sleep 1; done
    }
} >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"#;

/// A running child. Dropping it kills it and waits for its end.
pub struct Guarded {
    child: Child,
    pipe: Option<ChildStdin>,
}

/// The command that runs `program` under guard; add arguments, environment and outputs, then [`Guarded::spawn`] it.
/// `folder` is removed if this process goes away without having dropped the child.
pub fn command(program: &Path, folder: Option<&Path>) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SCRIPT, "guard"])
        .arg(folder.map_or(OsStr::new(""), Path::as_os_str))
        .arg(program);
    // An own process group: Ctrl-C reaches this process only, and the pipe does the rest.
    command.stdin(Stdio::piped()).process_group(0);
    command
}

impl Guarded {
    /// Starts a command made by [`command`].
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// The child, for its id and its outputs.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The child's pid. The shell has become the child, so it is the program's own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the child ended, if it has.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.dismiss_watcher();
        }
        Ok(status)
    }

    /// SIGKILL, then waits for the end: the child's ports are free afterwards.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        let status = self.child.wait()?;
        self.dismiss_watcher();
        Ok(status)
    }

    fn dismiss_watcher(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // It may be gone already, which is what we want.
            let _ = pipe.write_all(b"\n");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
