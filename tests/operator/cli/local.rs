//! `local` as a process: from the first token to the end, and again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Setup, binary};

/// Ends with the test.
struct Local {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Local {
    fn start(setup: &Setup, manifest: &str) -> Self {
        // With few open files, as many systems start a program.
        let mut child = Command::new("/bin/sh")
            .args(["-c", "ulimit -S -n 64; exec \"$0\" \"$@\""])
            .arg(binary())
            .args([
                "local",
                "-f",
                manifest,
                "--directory",
                "kept",
                "--listen",
                "127.0.0.1:0",
            ])
            .args(["--allow-endpoint", &setup.standin.url()])
            .current_dir(setup.folder.path())
            .env_clear()
            .envs(setup.env.iter().map(|(name, value)| (*name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Reads what it says up to a line with these words.
    fn says(&mut self, words: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.out.read_line(&mut line).unwrap() > 0,
                "it ended without {words:?}:\n{said}"
            );
            said += &line;
            if line.contains(words) {
                return line;
            }
        }
    }

    /// How many open files it allows itself, and how many the system allows it.
    fn file_limits(&self) -> [String; 2] {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let of_files = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .unwrap();
        let mut limits = of_files.split_whitespace().map(str::to_owned);
        [limits.next().unwrap(), limits.next().unwrap()]
    }

    /// Asks it to end, and returns its exit code.
    fn end(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.says("ended; kept keeps its token, usable until");
        self.child.wait().unwrap().code()
    }
}

/// The answer to a POST.
fn post(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn local_keeps_a_token_hands_out_others_and_leaves_the_files() {
    let setup = Setup::new();
    let mut spec = setup.openai();
    spec["requests"] = json!({"subject": "Optional"});
    let manifest = setup.file("token.json", setup.manifest(&spec));
    let read = |name: &str| std::fs::read_to_string(setup.folder.path().join("kept").join(name)).unwrap();

    let mut local = Local::start(&setup, &manifest);
    local.says("token 1 is written; usable until");
    let [allowed, at_most] = local.file_limits();
    assert_eq!(allowed, at_most);
    let token: Value = serde_json::from_str(&read("token.json")).unwrap();
    assert_eq!(json!(setup.standin.issued()), json!([token["token"]]));

    let answer = post(read("request-url").trim());
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    let issued = setup.standin.issued();
    assert_eq!(issued.len(), 2);
    assert!(
        answer.contains(&issued[1]) && issued[1] != token["token"].as_str().unwrap(),
        "{answer}"
    );

    let other = setup.say(
        &[
            "local",
            "-f",
            &manifest,
            "--directory",
            "kept",
            "--allow-endpoint",
            &setup.standin.url(),
        ],
        "",
    );
    let id = local.child.id();
    other.fails(
        1,
        &format!("--directory: another `local` (process {id}) keeps kept: end that one, or "),
    );

    assert_eq!(local.end(Signal::TERM), Some(0));
    assert_eq!(read("token"), token["token"].as_str().unwrap());

    let mut again = Local::start(&setup, &manifest);
    again.says("token 1 is still good: nothing is minted");
    assert_eq!(again.end(Signal::INT), Some(0));
    assert_eq!(setup.standin.issued().len(), 2);
}

#[test]
fn local_ends_at_once_where_only_a_person_helps() {
    let mut setup = Setup::new();
    let wrong = setup.file("wrong.json", setup.manifest(&setup.openai()).replace("model", "modle"));
    let local = |setup: &Setup, manifest: &str| {
        setup.say(&["local", "-f", manifest, "--allow-endpoint", &setup.standin.url()], "")
    };
    local(&setup, &wrong).fails(2, &format!("{wrong}: unknown field \"spec.openai.modle\""));
    let manifest = setup.file("token.json", setup.manifest(&setup.openai()));
    setup
        .say(
            &[
                "local",
                "-f",
                &manifest,
                "--directory",
                ".",
                "--allow-endpoint",
                &setup.standin.url(),
            ],
            "",
        )
        .fails(1, "--directory: . holds ");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = [
        "local",
        "-f",
        &manifest,
        "--listen",
        &address,
        "--allow-endpoint",
        &setup.standin.url(),
    ];
    setup
        .say(&args, "")
        .fails(1, &format!("--listen {address}: another program listens there"));
    setup.env.clear();
    local(&setup, &manifest).fails(
        1,
        "there is no OPENAI_API_KEY: set the variable, write a line OPENAI_API_KEY=… into .env",
    );
    assert_eq!(setup.standin.issued().len(), 0);
}
