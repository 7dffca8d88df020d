//! A program that reads and prints lines.

use std::{
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command as AsyncCommand},
    sync::mpsc,
    time::timeout,
};

/// A running program. Dropping it kills it.
pub struct Script {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
    complaints: Arc<Mutex<String>>,
}

impl Script {
    pub fn start(command: Command) -> Self {
        let mut child = AsyncCommand::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (printed, lines) = mpsc::unbounded_channel();
        tokio::spawn(each_line(child.stdout.take().unwrap(), move |line| {
            // The other end may be closed already.
            let _ = printed.send(line);
        }));
        let complaints = Arc::<Mutex<String>>::default();
        let heard = complaints.clone();
        tokio::spawn(each_line(child.stderr.take().unwrap(), move |line| {
            *heard.lock().unwrap() += &(line + "\n");
        }));
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            complaints,
        }
    }

    /// The next line that it prints.
    pub async fn line(&mut self, within: Duration) -> String {
        match timeout(within, self.lines.recv()).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("it ended; it complained:\n{}", self.complaints()),
            Err(_) => panic!("nothing for {within:?}; it complained:\n{}", self.complaints()),
        }
    }

    pub async fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Ends its input, and waits for it to end well.
    pub async fn finish(&mut self) -> Vec<String> {
        self.stdin = None;
        let ended = timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = ended.expect("it goes on without input").unwrap();
        assert!(status.success(), "{status}: {}", self.complaints());
        let mut rest = Vec::new();
        while let Some(line) = self.lines.recv().await {
            rest.push(line);
        }
        rest
    }

    /// What it has written to its standard error.
    pub fn complaints(&self) -> String {
        self.complaints.lock().unwrap().clone()
    }
}

async fn each_line(output: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        take(line);
    }
}
