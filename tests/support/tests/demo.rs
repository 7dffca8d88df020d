//! The demo on a terminal, and what it says of a cluster that it can't use. `make demo` without a terminal is a step of
//! `.ci/run`.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    fs::{Mode, OFlags, open},
    pty,
    termios::{self, LocalModes, Winsize},
};

const DEMO: &str = env!("CARGO_BIN_EXE_demo");
/// For a loaded machine that starts a control plane.
const PATIENCE: Duration = Duration::from_secs(90);

/// Beside the demo's own binary, where `make binaries` puts it.
fn operator() -> PathBuf {
    Path::new(DEMO).with_file_name("realtime-token-operator")
}

#[test]
fn a_cluster_that_does_not_answer_is_named_by_its_address() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    let cluster = "{name: c, cluster: {server: 'https://127.0.0.1:1'}}";
    let context = "{name: c, context: {cluster: c, user: u}}";
    std::fs::write(
        &kubeconfig,
        format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{cluster}], contexts: [{context}], \
             users: [{{name: u, user: {{}}}}]}}"
        ),
    )?;
    let output = Command::new(DEMO)
        .arg("--operator")
        .arg(DEMO) // Any file will do: it isn't started.
        .env("CLUSTER", &kubeconfig)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "{said}");
    ensure!(
        said.contains("the API server at https://127.0.0.1:1/ can't be used: "),
        "{said}"
    );
    ensure!(said.trim_end().lines().count() == 1, "{said}");
    ensure!(said.contains("unset CLUSTER"), "{said}");
    Ok(())
}

#[test]
fn each_key_interferes_and_q_leaves_the_terminal_as_it_was() -> Result<()> {
    let mut terminal = Terminal::start(110, 40)?;
    terminal.wait_for("guaranteed")?;
    terminal.wait_for("q quit")?;
    for (key, answer) in [
        ("b", "CredentialRejected"),
        ("f", "you put the good key back"),
        ("p", "p provider up"),
        ("p", "p provider down"),
        ("d", "you deleted the Secret voice"),
        ("r", "you asked for a renewal of voice"),
    ] {
        terminal.press(key)?;
        terminal.wait_for(answer).with_context(|| format!("after {key}"))?;
    }
    terminal.resize(70, 20)?;
    let frame = terminal.wait_for("\x1b[2J\x1b[H")?;
    ensure!(frame.contains("voice"), "{frame}");
    terminal.press("q")?;
    let rest = terminal.wait_for("Everything is down again.")?;
    ensure!(rest.contains("\x1b[?1049l"), "it stays on the alternate screen: {rest}");
    ensure!(terminal.ends_well()?);
    let modes = termios::tcgetattr(&terminal.other_end)?.local_modes;
    ensure!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
    Ok(())
}

/// The demo in a window. Dropping it ends it.
struct Terminal {
    window: File,
    other_end: OwnedFd,
    output: Receiver<String>,
    seen: String,
    demo: Child,
}

impl Terminal {
    fn start(columns: u16, lines: u16) -> Result<Self> {
        ensure!(
            operator().is_file(),
            "no operator beside {DEMO}: `make binaries` builds it"
        );
        let window = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY)?;
        pty::grantpt(&window)?;
        pty::unlockpt(&window)?;
        let name = pty::ptsname(&window, Vec::new())?;
        let other_end = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        termios::tcsetwinsize(&window, size(columns, lines))?;
        let demo = Command::new(DEMO)
            .arg("--operator")
            .arg(operator())
            .env("TERM", "xterm")
            .stdin(Stdio::from(other_end.try_clone()?))
            .stdout(Stdio::from(other_end.try_clone()?))
            .stderr(Stdio::from(other_end.try_clone()?))
            .spawn()?;
        let window = File::from(window);
        let (sender, output) = channel();
        let mut reader = window.try_clone()?;
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length) = reader.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..length]).into_owned();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            window,
            other_end,
            output,
            seen: String::new(),
            demo,
        })
    }

    fn press(&mut self, key: &str) -> Result<()> {
        // What was shown before is no answer.
        while self.output.try_recv().is_ok() {}
        self.seen.clear();
        Ok(self.window.write_all(key.as_bytes())?)
    }

    fn resize(&mut self, columns: u16, lines: u16) -> Result<()> {
        self.seen.clear();
        Ok(termios::tcsetwinsize(&self.window, size(columns, lines))?)
    }

    /// What was shown up to the next frame's end after this text, in pieces as they came.
    fn wait_for(&mut self, text: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.seen.find(text).map(|at| at + text.len());
            // A frame ends so; the last words come after the last frame.
            let whole = |end: usize| self.seen[end..].contains("\x1b[J") || text.ends_with("again.");
            if found.is_some_and(whole) {
                return Ok(std::mem::take(&mut self.seen));
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(piece) => self.seen.push_str(&piece),
                Err(error) => bail!("no {text:?} ({error}): {}", self.seen),
            }
        }
    }

    fn ends_well(&mut self) -> Result<bool> {
        Ok(self.demo.wait()?.success())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.demo.kill();
        let _ = self.demo.wait();
    }
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
