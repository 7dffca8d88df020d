//! The keyboard: which key does what, and a terminal that hands over each key at once.

use rustix::{
    stdio::stdin,
    termios::{self, LocalModes, OptionalActions, Termios},
};
use tokio::sync::mpsc;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Renew,
    DeleteSecret,
    BreakKey,
    FixKey,
    ToggleProvider,
    Quit,
}

/// The action of a key.
pub(crate) fn action(key: u8) -> Option<Action> {
    Some(match key {
        b'r' => Action::Renew,
        b'd' => Action::DeleteSecret,
        b'b' => Action::BreakKey,
        b'f' => Action::FixKey,
        b'p' => Action::ToggleProvider,
        b'q' => Action::Quit,
        _ => return None,
    })
}

/// What the keys do, in one line.
pub(crate) fn help(provider_down: bool) -> String {
    let provider = if provider_down { "up" } else { "down" };
    format!("r renew voice  d delete its Secret  b break its key  f fix it  p provider {provider}  q quit")
}

/// Keys without Enter and without an echo. Ctrl-C stays the signal it is. Dropping it sets the terminal back.
pub(crate) struct Keyboard {
    before: Termios,
    keys: mpsc::UnboundedReceiver<u8>,
}

impl Keyboard {
    /// None where standard input is no terminal, or that of a job in the background.
    pub(crate) fn open() -> Option<Self> {
        let before = termios::tcgetattr(stdin()).ok()?;
        let foreground = termios::tcgetpgrp(stdin()).map(|group| group == rustix::process::getpgrp());
        if foreground == Ok(false) {
            return None;
        }
        let mut each_key = before.clone();
        each_key.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        termios::tcsetattr(stdin(), OptionalActions::Now, &each_key).ok()?;
        let (sender, keys) = mpsc::unbounded_channel();
        // A thread of its own, which the end of the process ends: tokio's would be waited for.
        std::thread::spawn(move || {
            let mut key = [0];
            while rustix::io::read(stdin(), &mut key).is_ok_and(|n| n == 1) && sender.send(key[0]).is_ok() {}
        });
        Some(Self { before, keys })
    }

    /// The next action. Never, once the terminal is gone.
    pub(crate) async fn next(&mut self) -> Action {
        loop {
            match self.keys.recv().await {
                Some(key) => {
                    if let Some(action) = action(key) {
                        return action;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_the_help_does_something_and_no_other_does() {
        let line = help(false);
        let named: Vec<u8> = line.split("  ").filter_map(|it| it.bytes().next()).collect();
        assert_eq!(named, b"rdbfpq");
        for key in 0..=u8::MAX {
            assert_eq!(action(key).is_some(), named.contains(&key), "{key}");
        }
    }
}
