//! kubectl in the demo's namespace, for the demo and for whoever looks on from another terminal.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{io::AsyncWriteExt, process::Command};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A kubectl and a kubeconfig that names the namespace.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// Writes into the folder what makes commands short: `kubeconfig`, a copy with the namespace, and `bin` with kubectl
    /// and the operator as its plugin.
    pub(crate) async fn prepare(
        program: PathBuf,
        kubeconfig: &Path,
        namespace: &str,
        operator: &Path,
        folder: &Path,
    ) -> Result<Self> {
        let original = Self {
            program,
            kubeconfig: kubeconfig.to_owned(),
        };
        let copy = original.run(&["config", "view", "--minify", "--flatten"], "").await?;
        let ours = Self {
            program: original.program,
            kubeconfig: folder.join("kubeconfig"),
        };
        fs::write(&ours.kubeconfig, copy)?;
        fs::set_permissions(&ours.kubeconfig, fs::Permissions::from_mode(0o600))?;
        let namespace = format!("--namespace={namespace}");
        ours.run(&["config", "set-context", "--current", &namespace], "")
            .await?;
        let bin = folder.join("bin");
        fs::create_dir(&bin)?;
        symlink(&ours.program, bin.join("kubectl"))?;
        symlink(fs::canonicalize(operator)?, bin.join("kubectl-realtime_token"))?;
        Ok(ours)
    }

    /// Runs it: what it prints. A failure is an error with what it said.
    pub(crate) async fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("run {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Should it end early, its exit status and its words tell more than our broken pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let ended = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
        let output = ended.with_context(|| format!("`kubectl {}` hangs", args[0]))??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`kubectl {}` failed: {}", args[0], said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
