//! `mint` and `mint --explain` as a process, with the variables of the provider's own SDK. What is explained is what is
//! then sent.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use realtime_token_operator::api::RealtimeTokenSpec;
use realtime_token_operator::resolve::block_of;
use serde_json::{Value, json};
use testkit::conformance::Conformance;
use testkit::standin::{Call, Options, StandIn};

use super::Cell;

/// What the HTTP client adds on its own, or leaves out.
const NOT_SAID: [&str; 4] = ["host", "content-length", "accept-encoding", "connection"];

/// The cells of `mint` and of `explain`.
pub fn cells(file: &Conformance) -> (Cell, Cell) {
    let setup = Setup::new(file);
    match setup.mint() {
        Ok(minted) => (
            Ok(match setup.env.len() {
                1 => "1 value".to_owned(),
                count => format!("{count} values"),
            }),
            setup.explain(&minted).map(|()| match file.is_asked() {
                true => "as sent".to_owned(),
                false => "as signed".to_owned(),
            }),
        ),
        Err(problem) => (Err(problem), Err("there is no token to compare with".into())),
    }
}

struct Setup<'a> {
    file: &'a Conformance,
    folder: tempfile::TempDir,
    standin: StandIn,
    /// Variable, key in the Secret, value.
    env: Vec<(&'static str, &'static str, String)>,
}

impl<'a> Setup<'a> {
    fn new(file: &'a Conformance) -> Self {
        let standin = StandIn::start(Options::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let spec = file.spec_at(&standin, "key");
        let manifest = json!({
            "apiVersion": "realtime-token.dev/v1alpha1",
            "kind": "RealtimeToken",
            "metadata": {"name": "voice"},
            "spec": spec,
        });
        std::fs::write(folder.path().join("token.yaml"), manifest.to_string()).unwrap();
        let spec: RealtimeTokenSpec = serde_json::from_value(spec).unwrap();
        let block = block_of(&spec).unwrap();
        let secret_fields = block.provider().secret_fields().iter();
        let env = secret_fields
            .map(|role| {
                let value = file.secret[role.key].as_str().unwrap_or_default();
                (role.env, role.key, value.to_owned())
            })
            .collect();
        Self {
            file,
            folder,
            standin,
            env,
        }
    }

    fn run(&self, args: &[&str], env: &[(&'static str, &'static str, String)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_realtime-token-operator"))
            .args(["mint", "-f", "token.yaml", "--allow-endpoint"])
            .arg(self.standin.origins().join(","))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("NO_PROXY", "127.0.0.1")
            .envs(env.iter().map(|(name, _, value)| (*name, value)))
            .output()
            .unwrap()
    }

    /// One token with the variables, one with files in their place; without any of them an error that names it.
    fn mint(&self) -> Result<Value, String> {
        for missing in 0..self.env.len() {
            let mut env = self.env.clone();
            let (name, ..) = env.remove(missing);
            let output = self.run(&[], &env);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() || !said.contains(name) {
                return Err(format!("without {name}: {said:?}"));
            }
        }
        if !self.standin.calls().is_empty() {
            return Err("called without a key".into());
        }
        let files = self.folder.path().join("key");
        std::fs::create_dir(&files).unwrap();
        for (_, key, value) in &self.env {
            std::fs::write(files.join(key), format!("{value}\n")).unwrap();
        }
        self.token(&self.run(&["--credentials-dir", "key"], &[]))?;
        self.standin.clear();
        self.token(&self.run(&[], &self.env))
    }

    fn token(&self, output: &Output) -> Result<Value, String> {
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{said}; {:?}", self.standin.complaints()));
        }
        let json: Value =
            serde_json::from_slice(&output.stdout).map_err(|problem| format!("standard output: {problem}"))?;
        let token = json["token"].as_str().unwrap_or_default();
        let issued = self.standin.issued();
        if self.file.is_asked() && !issued.last().is_some_and(|own| token.contains(own)) {
            return Err("another token than the stand-in gave".into());
        }
        let ends = json["expiresAt"].as_i64().unwrap_or_default();
        if token.is_empty() || ends <= Timestamp::now().as_millisecond() {
            return Err(format!("expiresAt {ends}, {} characters", token.len()));
        }
        Ok(json)
    }

    fn explain(&self, minted: &Value) -> Result<(), String> {
        let calls = self.standin.calls();
        let mut output = self.run(&["--explain"], &[]);
        if !output.status.success() {
            // Signed with a private key, which must be a real one.
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if self.file.is_asked() || !self.env.iter().any(|(name, ..)| said.contains(name)) {
                return Err(said);
            }
            output = self.run(&["--explain"], &self.env);
        }
        let with_key = self.run(&["--explain"], &self.env);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() || !err.lines().all(|line| line.starts_with("warning: ")) {
            return Err(err);
        }
        for said in [&said, &String::from_utf8_lossy(&with_key.stdout).into_owned()] {
            let leaked = self.env.iter().find(|(_, _, value)| said.contains(value));
            if let Some((name, ..)) = leaked {
                return Err(format!("shows the value of {name}"));
            }
        }
        if self.standin.calls().len() != calls.len() {
            return Err("it called".into());
        }
        if !self.file.is_asked() {
            return same_claims(&said, minted["token"].as_str().unwrap_or_default());
        }
        let explained: Vec<_> = said
            .split("\n# ")
            .map(|one| one.lines().filter(|line| !line.starts_with("# ")))
            .map(|lines| lines.collect::<Vec<_>>().join("\n"))
            .collect();
        if explained.len() != calls.len() {
            return Err(format!("{} calls, explained as\n{said}", calls.len()));
        }
        let mut pairs = explained.iter().zip(&calls);
        pairs.try_for_each(|(explained, call)| self.same_call(explained, call))
    }

    /// The call with names in place of values, as the explanation has it.
    fn same_call(&self, explained: &str, call: &Call) -> Result<(), String> {
        let granted = self.standin.issued();
        let named = |text: &str| {
            let mut text = text.to_owned();
            for (name, _, value) in &self.env {
                text = text.replace(value.as_str(), &format!("<{name}>"));
            }
            // Of two requests the first one's token goes into the second.
            for token in &granted {
                text = text.replace(token, "<ACCESS_TOKEN>");
            }
            text
        };
        let (head, body) = explained.split_once("\n\n").unwrap_or((explained, ""));
        // A comment before it, of a mint of two requests.
        let head: Vec<_> = head.lines().skip_while(|line| !line.contains(" http")).collect();
        let first = format!(
            "{} {}{}",
            call.method,
            self.standin.origin(&self.file.field),
            named(&call.path)
        );
        if head.first() != Some(&first.as_str()) {
            return Err(format!("sent {first}, explained {head:?}"));
        }
        let sent: BTreeSet<String> = call
            .headers
            .iter()
            .filter(|(name, _)| !NOT_SAID.contains(&name.as_str()))
            .map(|(name, value)| {
                let value = match value.strip_prefix("Basic ").map(|pair| BASE64.decode(pair)) {
                    Some(Ok(pair)) => {
                        format!("Basic base64({})", named(&String::from_utf8_lossy(&pair)))
                    }
                    _ => named(value),
                };
                format!("{name}: {value}")
            })
            .collect();
        let said: BTreeSet<String> = head[1..]
            .iter()
            .map(|line| (*line).to_owned())
            .filter(|line| !line.starts_with("content-length"))
            .collect();
        if sent != said {
            return Err(format!("sent {sent:?}, explained {said:?}"));
        }
        let sent = timeless(&named(&String::from_utf8_lossy(&call.body)));
        match sent == timeless(body.trim_end()) {
            true => Ok(()),
            false => Err(format!("sent {sent}, explained {body}")),
        }
    }
}

/// A body without its points in time, as RFC 3339 or in seconds or milliseconds of the epoch: they differ between the
/// call and the explanation.
fn timeless(body: &str) -> String {
    let words = body.split('"').map(|word| match word.parse::<Timestamp>() {
        Ok(_) => "<TIME>".to_owned(),
        Err(_) => without_epochs(word),
    });
    words.collect::<Vec<_>>().join("\"")
}

fn without_epochs(text: &str) -> String {
    let pieces = text.split_inclusive(|c: char| !c.is_ascii_digit());
    let pieces = pieces.map(|piece| {
        let digits = piece.trim_end_matches(|c: char| !c.is_ascii_digit());
        match digits.len() {
            10 | 13 => piece.replacen(digits, "<TIME>", 1),
            _ => piece.to_owned(),
        }
    });
    pieces.collect()
}

/// The claims of the token and those explained have the same names. Clocks and ids differ.
fn same_claims(said: &str, token: &str) -> Result<(), String> {
    let claims = |json: &[u8]| -> Option<BTreeSet<String>> {
        let json: Value = serde_json::from_slice(json).ok()?;
        Some(json.as_object()?.keys().cloned().collect())
    };
    let mut parts = token.split('.').skip(1);
    let minted = parts
        .next()
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|part| claims(&part));
    let line = said.lines().find_map(|line| line.strip_prefix("claims: "));
    let explained = line.and_then(|line| claims(line.as_bytes()));
    if !said.starts_with("signed here") || minted != explained {
        return Err(format!("minted {minted:?}, explained {said}"));
    }
    if said.contains(token.rsplit('.').next().filter(|it| it.len() > 8).unwrap_or("\0")) {
        return Err("it shows the signature".into());
    }
    Ok(())
}
