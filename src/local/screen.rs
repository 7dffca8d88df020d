//! What people see: a line for each event, and on a terminal a last line that is drawn anew each second.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use jiff::Timestamp;

use super::output::Output;
use crate::api::Reason;
use crate::clock::whole_second;
use crate::text::escaped;
use crate::token::Observation;
use crate::token::backoff::Failures;
use crate::token::lifecycle::{Situation, Step};

/// Begins a line anew, and empties it.
pub const CLEAR: &str = "\r\u{1b}[2K";
/// Keep a line that is too long from going on in the next one, and end that.
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";

pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    is_terminal: bool,
    name: String,
    /// The failure that was said last.
    said: Option<String>,
    live: Live,
}

/// What the last line is about.
#[derive(Default)]
struct Live {
    revision: Option<i64>,
    next: Option<Timestamp>,
    trouble: Option<String>,
    has_connection: bool,
}

impl Screen {
    pub(super) fn of_process() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Self::new(Box::new(Output::to(out)), is_terminal)
    }

    pub(super) fn new(out: Box<dyn Write + Send>, is_terminal: bool) -> Self {
        Self {
            out,
            is_terminal,
            name: String::new(),
            said: None,
            live: Live::default(),
        }
    }

    fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()); // an output that never blocks doesn't fail
    }

    /// A line that stays.
    pub(super) fn event(&mut self, now: Timestamp, text: &str) {
        let clear = if self.is_terminal { CLEAR } else { "" };
        let line = format!("{clear}{} {}\n", whole_second(now), escaped(text));
        self.print(&line);
    }

    pub(super) fn notes(&mut self, notes: &[String]) {
        for note in notes {
            self.event(crate::clock::now(), &format!("note: {note}"));
        }
    }

    pub(super) fn begin(&mut self, name: &str, directory: &Path) {
        name.clone_into(&mut self.name);
        let now = crate::clock::now();
        let directory = directory.display();
        self.event(
            now,
            &format!("{name} is kept in {directory}; Ctrl-C ends this and leaves the files"),
        );
    }

    /// Takes in what a step has found or done.
    pub(super) fn take_in(&mut self, seen: &Observation<'_>, step: &Step) {
        let Some(situation) = &step.situation else {
            return;
        };
        let issued = seen.issued();
        let is_first = self.live.revision.is_none() && self.said.is_none();
        self.live.revision = issued.map(|issued| issued.revision);
        self.live.next = seen.schedule().map(|schedule| schedule.renewal_time);
        self.live.has_connection = seen.holds_connection();
        if let (Some(issued), true) = (
            issued,
            step.stored.is_some() || is_first && matches!(situation, Situation::Settled),
        ) {
            let found = match &step.stored {
                Some(_) => format!("token {} is written", issued.revision),
                None => format!("token {} is still good: nothing is minted", issued.revision),
            };
            let until = whole_second(issued.usable_until);
            let next = self
                .live
                .next
                .map(|next| format!("; the next is due at {}", whole_second(next)));
            self.event(
                seen.now,
                &format!("{found}; usable until {until}{}", next.unwrap_or_default()),
            );
        }
        self.live.trouble = trouble(situation);
        if self.live.trouble != self.said {
            self.said.clone_from(&self.live.trouble);
            if let Some(trouble) = self.said.clone() {
                self.event(seen.now, &trouble);
            }
        }
    }

    /// Draws the last line of a terminal anew.
    pub(super) fn draw(&mut self, usable_until: Option<Timestamp>, now: Timestamp) {
        if !self.is_terminal {
            return;
        }
        let line = format!(
            "{CLEAR}{NO_WRAP}{}{WRAP}",
            escaped(&self.live.line(&self.name, usable_until, now))
        );
        self.print(&line);
    }

    pub(super) fn end(&mut self, directory: &Path, usable_until: Option<Timestamp>, now: Timestamp) {
        let until = usable_until.filter(|until| *until > now);
        let token = match until {
            Some(until) => format!(
                "{} keeps its token, usable until {}",
                directory.display(),
                whole_second(until)
            ),
            None => format!("{} is left as it is", directory.display()),
        };
        self.event(now, &format!("ended; {token}"));
    }
}

impl Live {
    fn line(&self, name: &str, usable_until: Option<Timestamp>, now: Timestamp) -> String {
        let left = |at: Timestamp| at.duration_since(now).as_secs().max(0);
        let token = match (self.revision, usable_until.map(left)) {
            (Some(revision), Some(0)) => format!("token {revision} has ended"),
            (Some(revision), Some(left)) => format!("token {revision}, {left} s left"),
            _ if self.has_connection => "tokens on request only".to_owned(),
            _ => "no token yet".to_owned(),
        };
        let then = match (&self.trouble, self.next) {
            (Some(trouble), _) => format!("; {trouble}"),
            (None, Some(next)) => format!("; the next in {} s", left(next)),
            (None, None) => String::new(),
        };
        format!("{name}: {token}{then}")
    }
}

/// What is wrong, as a sentence.
fn trouble(situation: &Situation) -> Option<String> {
    match situation {
        Situation::Settled | Situation::Pending => None,
        Situation::MintFailing(failures) => Some(failure(failures)),
        Situation::WriteFailing(failures) => Some(failure(failures)),
        Situation::Blocked(blocked) => Some(blocked.message.clone()),
        Situation::Suspended => Some("spec.suspend is true: nothing is minted until it is false".to_owned()),
    }
}

/// Of files that others keep changing, the message would speak of a Secret.
fn failure<I>(failures: &Failures<I>) -> String {
    match failures.reason {
        Reason::SecretRewritten => format!(
            "another program keeps changing the files: find out which, and have it leave them alone. They are written \
             anew at {}",
            whole_second(failures.next)
        ),
        _ => failures.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::token::fixtures::at;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(is_terminal: bool) -> String {
        let buffer = Buffer::default();
        let mut screen = Screen::new(Box::new(buffer.clone()), is_terminal);
        "voice".clone_into(&mut screen.name);
        screen.draw(None, at(0));
        screen.event(at(0), "one\ntwo\u{1b}[2J");
        let bytes = buffer.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_terminal_has_a_last_line_and_a_file_has_lines() {
        let event = format!("{} one\\ntwo\\u001b[2J\n", at(0));
        assert_eq!(drawn(false), event);
        assert_eq!(
            drawn(true),
            format!("{CLEAR}{NO_WRAP}voice: no token yet{WRAP}{CLEAR}{event}")
        );
    }

    #[test]
    fn the_last_line_counts_down() {
        let mut live = Live {
            revision: Some(3),
            next: Some(at(20)),
            ..Live::default()
        };
        let line = |live: &Live, second| live.line("voice", Some(at(30)), at(second));
        assert_eq!(line(&live, 5), "voice: token 3, 25 s left; the next in 15 s");
        assert_eq!(line(&live, 25), "voice: token 3, 5 s left; the next in 0 s");
        assert_eq!(line(&live, 40), "voice: token 3 has ended; the next in 0 s");
        live.trouble = Some("the provider is away".to_owned());
        assert_eq!(line(&live, 5), "voice: token 3, 25 s left; the provider is away");
        let connection = Live {
            has_connection: true,
            ..Live::default()
        };
        assert_eq!(connection.line("voice", None, at(0)), "voice: tokens on request only");
    }
}
