//! Python libraries for tests that check with an independent implementation: pinned, from PyPI, outside the clone.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{cache, wheel};

/// The schemas of Kubernetes, and an implementation of JSON Schema.
pub const VALIDATE: Library = Library {
    name: "kubernetes-validate-1.37.0",
    requirements: &[
        "kubernetes-validate==1.37.0",
        "attrs==26.1.0",
        "importlib-resources==7.1.0",
        "jsonschema==4.26.0",
        "jsonschema-specifications==2025.9.1",
        "packaging==26.3",
        "pyyaml==6.0.4",
        "referencing==0.37.0",
        "rpds-py==2026.9.1",
        "typing-extensions==4.16.0",
    ],
};

/// Libraries that are installed together.
pub struct Library {
    /// The name in the cache: changes with the pins.
    pub name: &'static str,
    /// What pip is asked for, dependencies too, all pinned.
    pub requirements: &'static [&'static str],
}

impl Library {
    /// The folder to import them from. Installed once per machine; without a virtual environment, since not every
    /// Python can make one.
    fn folder(&self) -> Result<PathBuf> {
        cache::entry(self.name, self.name, |folder| {
            cache::say(&format!("installing {} from PyPI", self.name));
            let mut args = vec!["-m", "pip", "install", "--quiet", "--no-deps"];
            args.extend(["--disable-pip-version-check", "--root-user-action=ignore"]);
            args.extend(["--target", "."]);
            args.extend(self.requirements);
            wheel::python(folder, &args, "install them from PyPI")
        })
        .with_context(|| format!("no {}: needs python3 with pip", self.name))
    }

    /// Runs a script that imports them: what it prints. A failure is an error with what it said.
    pub fn run(&self, script: &Path, args: &[&str], input: &[u8]) -> Result<String> {
        let mut python = Command::new("python3")
            .arg(script)
            .args(args)
            .env("PYTHONPATH", self.folder()?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("python3")?;
        let mut stdin = python.stdin.take().context("no stdin")?;
        let input = input.to_vec();
        // Beside the reading: both pipes can be full.
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
        let output = python.wait_with_output()?;
        let written = writer.join();
        if !output.status.success() {
            bail!(
                "{} failed ({}): {}",
                script.display(),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        ensure!(matches!(written, Ok(Ok(()))), "{} read no input", script.display());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
