//! A dry run of .github/workflows/release.yml: its own commands, with a registry on loopback. Left out are GitHub's
//! actions, cosign and what speaks to GitHub and npm, which need an identity there.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use nodetests::{
    debian,
    image::{ROOT, build},
    registry::Registry,
};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{
    go,
    helm::{Helm, Major},
    kubectl::kubectl,
};

const NAME: &str = "realtime-token-operator";

#[test]
fn a_release_pushes_what_was_built() -> Result<()> {
    let workflow = Workflow::load()?;
    let registry = Registry::start()?;
    let run = DryRun::new(&registry)?;
    run.check_versions(&workflow)?;
    run.take_artifacts(&workflow)?;
    run.describe_the_plugin(&workflow)?;

    let pushed = run.push(&workflow)?;
    let helm = Helm::new(Major::Four)?;
    let chart = format!("oci://{}/charts/{NAME}@{}", run.registry, pushed["chart"]);
    let (repository, digest) = (&pushed["image"], &pushed["both"]);
    let repository_value = format!("image.repository={repository}");
    let digest_value = format!("image.digest={digest}");
    let values = ["--set", &repository_value, "--set", &digest_value, "--plain-http"];
    let rendered = helm.run([&["template", "voice", &chart][..], &values].concat())?;
    let reference = format!("{repository}@{digest}");
    ensure!(rendered.contains(&format!("image: {reference}")), "{rendered}");
    let about = helm.run(["show", "chart", &chart, "--plain-http"])?;
    let home = "home: https://github.com/example/realtime-token-operator\n";
    ensure!(about.contains(home), "{about}");

    run.step(&workflow, "Write the manifests", &pushed)?;
    let manifests = fs::read_to_string(run.folder.join("files/install.yaml"))?;
    ensure!(manifests.contains(&format!("image: {reference}")), "{manifests}");
    let sums = fs::read_to_string(run.folder.join("files/SHA256SUMS"))?;
    let listed: Vec<_> = sums.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let archives = ["amd64", "arm64"].map(|arch| format!("{NAME}-linux-{arch}.tar.gz"));
    for file in ["install.yaml", "realtime-token.yaml"] {
        ensure!(listed.contains(&file), "{listed:?}");
    }
    ensure!(archives.iter().all(|it| listed.contains(&it.as_str())), "{listed:?}");
    run.the_archive_holds_the_binary(&archives[0])?;
    let plugin = fs::read_to_string(run.folder.join("files/realtime-token.yaml"))?;
    for archive in &archives {
        let sum = sums
            .lines()
            .find_map(|line| line.strip_suffix(archive))
            .context("no sum")?;
        ensure!(plugin.contains(&format!("sha256: {}\n", sum.trim())), "{plugin}");
    }

    run.step(&workflow, "Say what was published", &pushed)?;
    let notes = fs::read_to_string(run.folder.join("notes.md"))?;
    ensure!(notes.contains(&format!("helm install {NAME} {chart}")), "{notes}");
    let asked = fs::read_to_string(run.folder.join("asked"))?;
    let files = asked.lines().find(|line| line.starts_with("gh release create v"));
    ensure!(files.is_some_and(|it| it.contains("files/install.yaml")), "{asked}");
    Ok(())
}

/// Whoever has no right to publish builds; who publishes runs no code of the repository or of dependencies.
#[test]
fn rights_are_apart() -> Result<()> {
    let Workflow(workflow) = Workflow::load()?;
    ensure!(workflow["permissions"] == serde_json::json!({}));
    for job in ["build", "client", "plugin"] {
        ensure!(workflow["jobs"][job]["permissions"] == serde_json::json!({"contents": "read"}));
    }
    let publish = &workflow["jobs"]["publish"];
    ensure!(publish["if"] == "github.ref_type == 'tag' && vars.REGISTRY != ''");
    for step in publish["steps"].as_array().context("no steps")? {
        let run = step["run"].as_str().unwrap_or_default();
        for program in [
            "make ",
            "cargo ",
            "image/build",
            "dist/render",
            "krew/",
            "npm ci",
            "npm run",
        ] {
            ensure!(!run.contains(program), "{program} in {run}");
        }
    }
    Ok(())
}

/// What images are built of, with a script in the place of each binary: the real image has tests of its own.
fn sources() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let must = |command: &mut Command| -> Result<()> {
        ensure!(
            command.current_dir(folder.path()).status()?.success(),
            "{command:?} failed"
        );
        Ok(())
    };
    for part in ["Cargo.toml", "Dockerfile", ".dockerignore", "image"] {
        must(Command::new("cp").arg("-R").arg(Path::new(ROOT).join(part)).arg("."))?;
    }
    for arch in ["amd64", "arm64"] {
        let files = folder.path().join("target/image/linux").join(arch);
        fs::create_dir_all(files.join("licenses"))?;
        fs::copy(format!("{ROOT}/LICENSE"), files.join("licenses/LICENSE"))?;
        fs::write(files.join(NAME), format!("#!/bin/sh\necho {arch}\n"))?;
        fs::set_permissions(files.join(NAME), fs::Permissions::from_mode(0o755))?;
    }
    must(Command::new("git").args(["init", "--quiet"]))?;
    let commit = ["commit", "--quiet", "--allow-empty", "--message=all"];
    must(
        Command::new("git")
            .args(["-c", "user.name=test", "-c", "user.email=test"])
            .args(commit),
    )?;
    Ok(folder)
}

/// By actionlint: keys, expressions, outputs and jobs that a step refers to.
#[test]
fn the_workflows_are_well_formed() -> Result<()> {
    let actionlint = go::program("github.com/rhysd/actionlint/cmd/actionlint", "1.7.7")?;
    let mut command = Command::new(actionlint);
    command
        .args(["-no-color", "-shellcheck=", "-pyflakes="])
        .current_dir(ROOT);
    for workflow in fs::read_dir(Path::new(ROOT).join(".github/workflows"))? {
        command.arg(workflow?.path());
    }
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

struct Workflow(Value);

impl Workflow {
    fn load() -> Result<Self> {
        let text = fs::read_to_string(format!("{ROOT}/.github/workflows/release.yml"))?;
        Ok(Self(serde_saphyr::from_str(&text)?))
    }

    /// The step of a job whose name begins so.
    fn step(&self, job: &str, name: &str) -> Result<&Value> {
        let steps = self.0["jobs"][job]["steps"].as_array().context("no steps")?;
        let named = |step: &&Value| step["name"].as_str().is_some_and(|it| it.starts_with(name));
        steps.iter().find(named).with_context(|| format!("no step {name}"))
    }
}

/// A folder as the job has it, and programs that know the registry has no TLS.
struct DryRun {
    folder: PathBuf,
    registry: String,
    version: String,
    _temporary: TempDir,
}

impl DryRun {
    fn new(registry: &Registry) -> Result<Self> {
        let temporary = tempfile::tempdir()?;
        let folder = temporary.path().to_owned();
        let chart = fs::read_to_string(format!("{ROOT}/charts/{NAME}/Chart.yaml"))?;
        let version = chart.lines().find_map(|line| line.strip_prefix("version: "));
        let run = Self {
            registry: registry.addr().to_string(),
            version: version.context("no version")?.to_owned(),
            folder,
            _temporary: temporary,
        };
        for part in [
            "charts",
            "dist",
            "clients/typescript/package.json",
            "Cargo.toml",
            "krew",
        ] {
            let to = run.folder.join(part);
            fs::create_dir_all(to.parent().context("no parent")?)?;
            let copied = Command::new("cp")
                .arg("-R")
                .arg(Path::new(ROOT).join(part))
                .arg(to)
                .status()?;
            ensure!(copied.success(), "can't copy {part}");
        }
        run.write_programs()?;
        Ok(run)
    }

    fn write_programs(&self) -> Result<()> {
        let storage = self.folder.join("storage").display().to_string();
        let shown = |path: PathBuf| path.display().to_string();
        let skopeo = shown(debian::program("skopeo")?);
        let buildah = shown(debian::program("buildah")?);
        let helm = Helm::new(Major::Four)?;
        let helm = helm.command::<&str>([]).get_program().to_string_lossy().into_owned();
        let programs = [
            (
                "skopeo",
                format!("exec {skopeo} \"$1\" --dest-tls-verify=false \"${{@:2}}\""),
            ),
            (
                "buildah",
                format!(
                    "exec {buildah} --root {storage} --runroot {storage} --storage-driver vfs \"$1\" \"$2\" --tls-verify=false \"${{@:3}}\""
                ),
            ),
            (
                "helm",
                format!("case $1 in push) set -- \"$@\" --plain-http;; esac; exec {helm} \"$@\""),
            ),
            ("kubectl", format!("exec {} \"$@\"", shown(kubectl()?))),
            ("gh", format!("echo gh \"$@\" >>{}", shown(self.folder.join("asked")))),
        ];
        fs::create_dir(self.folder.join("bin"))?;
        for (name, script) in programs {
            let file = self.folder.join("bin").join(name);
            fs::write(&file, format!("#!/bin/bash\n{script}\n"))?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Runs a step's script in a folder as GitHub does, with `more` of its environment.
    fn script(&self, step: &Value, folder: &Path, tag: &str, more: &[(&str, String)]) -> Result<String> {
        let path = std::env::var("PATH")?;
        let output = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c"])
            .arg(step["run"].as_str().context("no script")?)
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}/bin:{path}", self.folder.display()))
            .env("HOME", &self.folder)
            .env("NAME", NAME)
            .env("REGISTRY", &self.registry)
            .env("GITHUB_REF_NAME", tag)
            .env("GITHUB_SERVER_URL", "https://github.com")
            .env("GITHUB_REPOSITORY", "example/realtime-token-operator")
            .env("GITHUB_OUTPUT", self.folder.join("output"))
            .envs(more.iter().map(|(name, value)| (name, value)))
            .output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "{}: {said}", step["name"]);
        Ok(said)
    }

    fn tag(&self) -> String {
        format!("v{}", self.version)
    }

    /// A tag is taken only if it is the version of everything.
    fn check_versions(&self, workflow: &Workflow) -> Result<()> {
        let step = workflow.step("build", "The tag is")?;
        self.script(step, &self.folder, &self.tag(), &[])?;
        let wrong = self.script(step, &self.folder, "v99.0.0", &[]);
        ensure!(wrong.is_err(), "v99.0.0 was taken");
        Ok(())
    }

    /// What the jobs before leave.
    fn take_artifacts(&self, workflow: &Workflow) -> Result<()> {
        let built = sources()?;
        for arch in ["amd64", "arm64"] {
            build(built.path(), &[("TARGETARCH", arch)])?;
            let step = workflow.step("build", "Pack the binary")?;
            let env = [("TARGETARCH", arch.to_owned())];
            self.script(step, built.path(), &self.tag(), &env)?;
            fs::write(built.path().join(format!("target/image/{NAME}-{arch}.cdx.json")), "{}")?;
        }
        fs::create_dir(self.folder.join("image"))?;
        let globs = workflow.0["jobs"]["build"]["steps"].as_array().context("no steps")?;
        let upload = globs.iter().find_map(|step| step["with"]["path"].as_str());
        for glob in upload.context("no artifacts")?.lines() {
            let copied = Command::new("bash")
                .args(["-c", &format!("cp {glob} {}/image/", self.folder.display())])
                .current_dir(built.path())
                .status()?;
            ensure!(copied.success(), "no {glob}");
        }
        Ok(())
    }

    /// krew's manifest, of the archives.
    fn describe_the_plugin(&self, workflow: &Workflow) -> Result<()> {
        self.script(
            workflow.step("plugin", "Write the manifest")?,
            &self.folder,
            &self.tag(),
            &[],
        )?;
        fs::create_dir(self.folder.join("plugin"))?;
        let written = self.folder.join("realtime-token.yaml");
        let manifest: Value = serde_saphyr::from_str(&fs::read_to_string(&written)?)?;
        let home = format!(
            "https://github.com/example/realtime-token-operator/releases/download/v{}/",
            self.version
        );
        for platform in manifest["spec"]["platforms"].as_array().context("no platforms")? {
            let uri = platform["uri"].as_str().unwrap_or_default();
            let archive = uri.strip_prefix(&home).with_context(|| uri.to_owned())?;
            ensure!(self.folder.join("image").join(archive).exists(), "no {archive}");
        }
        fs::rename(written, self.folder.join("plugin/realtime-token.yaml"))?;
        Ok(())
    }

    /// Runs the step that pushes: its outputs.
    fn push(&self, workflow: &Workflow) -> Result<BTreeMap<String, String>> {
        self.script(workflow.step("publish", "Push")?, &self.folder, &self.tag(), &[])?;
        let output = fs::read_to_string(self.folder.join("output"))?;
        let pairs = output.lines().filter_map(|line| line.split_once('='));
        let pairs: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for name in ["both", "amd64", "arm64", "chart"] {
            ensure!(
                pairs.get(name).is_some_and(|it| it.starts_with("sha256:")),
                "{name}: {pairs:?}"
            );
        }
        Ok(pairs)
    }

    /// Runs a later step, with the outputs of the one that pushed where its environment refers to them.
    fn step(&self, workflow: &Workflow, name: &str, pushed: &BTreeMap<String, String>) -> Result<String> {
        let step = workflow.step("publish", name)?;
        let mut more = Vec::new();
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            let mut value = value.as_str().unwrap_or_default().to_owned();
            for (output, said) in pushed {
                value = value.replace(&format!("${{{{ steps.push.outputs.{output} }}}}"), said);
            }
            value = value.replace("${{ vars.REGISTRY }}", &self.registry);
            value = value.replace("${{ github.token }}", "none");
            ensure!(!value.contains("${{"), "{name}: {value}");
            more.push((name.as_str(), value));
        }
        self.script(step, &self.folder, &self.tag(), &more)
    }

    fn the_archive_holds_the_binary(&self, archive: &str) -> Result<()> {
        let folder = self.folder.join("unpacked");
        fs::create_dir(&folder)?;
        let mut tar = Command::new("tar");
        tar.args(["-xzf"])
            .arg(self.folder.join("files").join(archive))
            .arg("-C")
            .arg(&folder);
        ensure!(tar.status()?.success(), "{archive} can't be unpacked");
        ensure!(folder.join("LICENSE").exists(), "{archive} has no licence");
        let said = Command::new(folder.join(NAME)).output()?;
        ensure!(said.stdout == b"amd64\n", "another binary is in {archive}");
        Ok(())
    }
}
