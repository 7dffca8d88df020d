//! The example application: installed, built and started as its users do it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nodetests::debian::program;
use testkit::node::Node;

use super::{
    package,
    packages::{copy, link_each, packages, run},
    script::Script,
    strict::Pod,
};

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
        let installed = folder.join("node_modules");
        link_each(&packages(&node, &source), &installed).unwrap();
        // In place of the link that npm makes, what its users would get from the registry.
        package::install(&node, &folder.join("package"), &installed);
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

    /// Starts its server on the folder of a mounted Secret: the server, and its base URL.
    pub async fn start(&self, mounted: &Path) -> (Script, String) {
        let set = |command: &mut Command| {
            command.env("REALTIME_TOKEN_DIRECTORY", mounted);
        };
        self.serve(set).await
    }

    /// The same in a pod that asks for tokens.
    pub async fn start_in(&self, pod: &Pod) -> (Script, String) {
        let set = |command: &mut Command| {
            command
                .env("REALTIME_TOKEN_DIRECTORY", &pod.directory)
                .env("REALTIME_TOKEN_CALLER_TOKEN_FILE", &pod.token_file)
                .env("SUBJECT_SALT", "a salt of the tests");
        };
        self.serve(set).await
    }

    async fn serve(&self, set: impl FnOnce(&mut Command)) -> (Script, String) {
        let args = ["--prod", "--static", "../client", "--entry", "dist/server/server.js"];
        let mut command = self.tool("srvx/bin/srvx.mjs", &args);
        command.args(["--host", "127.0.0.1", "--port", "0"]);
        set(&mut command);
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

    /// One of its pages in Chromium, for a user: see `consumers/page.mts`.
    pub fn page(&self, url: &str, user: &str) -> Script {
        let mut command = self.node.node().unwrap();
        command.args(["check/page.mts", url, user]);
        command.env("CHROMIUM", program("chromium").unwrap());
        command.current_dir(&self.folder);
        Script::start(command)
    }

    /// The name under which the kiosk's page calls its server function: the only hash in it.
    pub fn kiosk_function(&self) -> String {
        let page = self.assets().find(|(name, _)| name.starts_with("kiosk-")).unwrap().1;
        let hex = |text: &&str| text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let mut ids: Vec<_> = page.split(['`', '"', '\'']).filter(hex).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "the page calls one server function: {ids:?}");
        ids[0].to_owned()
    }

    /// All that the browser loads.
    pub fn browser_bundle(&self) -> String {
        self.assets().map(|(_, text)| text).collect()
    }

    /// Name and text of each script for the browser.
    fn assets(&self) -> impl Iterator<Item = (String, String)> {
        let assets = fs::read_dir(self.folder.join("dist/client/assets")).unwrap();
        assets.map(|file| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            (name, fs::read_to_string(file.path()).unwrap())
        })
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
