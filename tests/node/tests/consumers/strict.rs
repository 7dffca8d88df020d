//! The server of `clients/typescript/test`, which stands in for the operator's requests: an application asks it as a pod.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use testkit::node::Node;

use super::{package::PACKAGE, script::Script};

const START_WITHIN: Duration = Duration::from_secs(60);

/// The folders of a pod that may ask.
pub struct Pod {
    pub directory: PathBuf,
    pub token_file: PathBuf,
}

/// Starts it: the program, which prints a line for each token that it hands out, and a pod.
pub async fn start(node: &Node) -> (Script, Pod) {
    let mut command = node.node().unwrap();
    command.arg(Path::new(PACKAGE).join("test/serve.ts"));
    let mut server = Script::start(command);
    let ready: Value = serde_json::from_str(&server.line(START_WITHIN).await).unwrap();
    let path = |name: &str| PathBuf::from(ready[name].as_str().unwrap());
    let pod = Pod {
        directory: path("directory"),
        token_file: path("tokenFile"),
    };
    (server, pod)
}
