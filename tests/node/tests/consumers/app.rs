//! The example application: installed, built and started as its users do it.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nodetests::debian::program;
use testkit::{cache, node::Node};

use super::script::Script;

pub const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
/// The programs that stand in for the browser.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/consumers");
const START_WITHIN: Duration = Duration::from_secs(60);

/// A built copy of `examples/tanstack-start`, with the browser's part beside it in `check/`.
pub struct App {
    pub folder: PathBuf,
    pub node: Node,
}

impl App {
    /// Builds it in a folder of the target folder, with the packages of the committed lock file.
    pub fn build(name: &str) -> Self {
        let node = Node::find().unwrap();
        let source = Path::new(EXAMPLES).join("tanstack-start");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        copy(&source, &folder).unwrap();
        copy(Path::new(CLIENTS), &folder.join("check")).unwrap();
        symlink(packages(&node, &source), folder.join("node_modules")).unwrap();
        let beside = packages(&node, Path::new(CLIENTS));
        symlink(beside, folder.join("check/node_modules")).unwrap();
        let app = Self { folder, node };
        run(&mut app.tool("vite/bin/vite.js", &["build"])).unwrap();
        app
    }

    /// Type-checks a project file of it.
    pub fn check(&self, project: &str) -> Result<(), String> {
        run(&mut self.tool("typescript/bin/tsc", &["--noEmit", "--project", project]))
    }

    /// Starts its server on a token's file: the server, and its base URL.
    pub async fn start(&self, token: &Path) -> (Script, String) {
        let args = ["--prod", "--static", "../client", "--entry", "dist/server/server.js"];
        let mut command = self.tool("srvx/bin/srvx.mjs", &args);
        command.args(["--host", "127.0.0.1", "--port", "0"]);
        command.env("REALTIME_TOKEN_FILE", token);
        let mut server = Script::start(command);
        loop {
            let line = server.line(START_WITHIN).await;
            if let Some((_, url)) = line.split_once("Listening on: ") {
                return (server, url.trim().trim_end_matches('/').to_owned());
            }
        }
    }

    /// A client of it, in Node: see `consumers/client.mts`.
    pub fn client(&self, args: &[&str]) -> Script {
        let mut command = self.node.node().unwrap();
        command.arg("check/client.mts").args(args);
        command.current_dir(&self.folder);
        Script::start(command)
    }

    /// Its page in Chromium: see `consumers/page.mts`.
    pub fn page(&self, url: &str) -> Script {
        let mut command = self.node.node().unwrap();
        command.args(["check/page.mts", url]);
        command.env("CHROMIUM", program("chromium").unwrap());
        command.current_dir(&self.folder);
        Script::start(command)
    }

    /// The name under which the browser calls the server function: the only hash in what it loads.
    pub fn function_id(&self) -> String {
        let bundle = self.browser_bundle();
        let hex = |text: &&str| text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let mut ids: Vec<_> = bundle.split(['`', '"', '\'']).filter(hex).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "the page calls one server function: {ids:?}");
        ids[0].to_owned()
    }

    /// All that the browser loads.
    pub fn browser_bundle(&self) -> String {
        let assets = fs::read_dir(self.folder.join("dist/client/assets")).unwrap();
        assets
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
            .collect()
    }

    fn tool(&self, script: &str, args: &[&str]) -> Command {
        let mut command = self.node.node().unwrap();
        command
            .arg(self.folder.join("node_modules").join(script))
            .args(args)
            .current_dir(&self.folder);
        command
    }
}

/// The `node_modules` of a lock file, installed once per machine.
fn packages(node: &Node, project: &Path) -> PathBuf {
    let files = ["package.json", "package-lock.json"];
    let mut hash = DefaultHasher::new();
    for file in files {
        fs::read(project.join(file)).unwrap().hash(&mut hash);
    }
    let name = format!("npm-{:016x}", hash.finish());
    let what = format!("the packages of {}", project.display());
    let entry = cache::entry(&name, &what, |folder| {
        cache::say(&format!("installing {what} from npm"));
        for file in files {
            fs::copy(project.join(file), folder.join(file))?;
        }
        let mut npm = node.npm()?;
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        run(npm.current_dir(folder)).map_err(|said| anyhow::anyhow!("npm ci failed: {said}"))
    });
    entry.unwrap().join("node_modules")
}

/// Runs a command to its end; if that is not a good one, what it said.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned())
}

/// Copies what is committed of a folder.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if ["node_modules", "dist", ".tanstack"].iter().any(|it| name == *it) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
