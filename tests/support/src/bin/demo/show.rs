//! The demo's words: a table that is drawn over and over, or lines.

use std::{env, fmt::Write as _, io::Write, sync::LazyLock};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    journal::{Change, Journal},
    look::Token,
};

const BAR: usize = 20;

const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const RED: u8 = 31;
const BOLD: u8 = 1;

/// Prints a line; unlike `println!` it survives a reader that went away.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A headline.
pub(crate) fn bold(text: &str) -> String {
    paint(BOLD, text)
}

/// A change, for those who read a log.
pub(crate) fn line(change: &Change) -> String {
    let token = &change.token;
    let mut line = format!(
        "{}  {:<6} {:<11} revision {}  ",
        clock(change.time),
        token.name,
        token.provider,
        token.revision
    );
    let now = Timestamp::now();
    if let (Some(end), Some(renewal)) = (token.usable_until, token.renewal_time) {
        let (left, due) = (seconds(now, end), seconds(now, renewal));
        let _ = write!(line, "{left:>2} s left, renewal in {due:>2} s  ");
    }
    if let Some(hash) = &token.hash {
        let _ = write!(line, "content {hash}  ");
    }
    line + &change.text
}

/// The table, which remembers how much of the screen it covers.
#[derive(Default)]
pub(crate) struct Table {
    height: usize,
}

impl Table {
    /// Draws it over the one before.
    pub(crate) fn draw(&mut self, tokens: &[Token], journal: &Journal) {
        let width = width();
        let mut lines = vec![(BOLD, header())];
        lines.extend(tokens.iter().map(|token| row(token, journal)));
        lines.push((0, String::new()));
        lines.extend(remarks(tokens).map(|it| (0, it)));

        let mut frame = String::new();
        if self.height > 0 {
            let _ = write!(frame, "\x1b[{}A\r", self.height);
        }
        self.height = lines.len();
        for (colour, line) in lines {
            // A line that wraps would move everything below it.
            let cut: String = line.chars().take(width).collect();
            let _ = write!(frame, "{}\x1b[K\r\n", paint(colour, &cut));
        }
        frame.push_str("\x1b[J");
        // In one piece, or it flickers.
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(frame.as_bytes());
        let _ = stdout.flush();
    }
}

/// What a first reader would take for a fault, explained.
pub(crate) fn remarks(tokens: &[Token]) -> impl Iterator<Item = String> {
    tokens.iter().filter_map(|token| {
        let reason = &token.condition("FreshnessGuaranteed")?.reason;
        let because = match reason.as_str() {
            "LifetimeTooShort" => {
                "40 s can't outlast a kubelet's delay; the default of 30 min does"
            }
            "SingleUseToken" => {
                "a conversation token serves one session; a signed URL can be shared"
            }
            _ => return None,
        };
        let name = &token.name;
        Some(format!(
            "{name}: FreshnessGuaranteed=False ({reason}) is right: {because}."
        ))
    })
}

fn header() -> String {
    columns([
        "NAME",
        "PROVIDER",
        "REV",
        "LIFE LEFT",
        "NEXT RENEWAL",
        "SECRET'S CONTENT",
        "LAST EVENT",
    ])
}

fn columns([name, provider, revision, life, renewal, hash, event]: [&str; 7]) -> String {
    format!(
        "{name:<6}  {provider:<10}  {revision:>3}  {life:<26}  {renewal:<19}  {hash:<16}  {event}"
    )
}

fn row(token: &Token, journal: &Journal) -> (u8, String) {
    let now = Timestamp::now();
    let (colour, life) = match (token.issued_at, token.usable_until) {
        (Some(from), Some(end)) => life(now, from, end),
        _ => (0, "-".to_owned()),
    };
    let renewal = token.renewal_time.map_or_else(
        || "-".to_owned(),
        |due| format!("{} ({:>2} s)", clock(due), seconds(now, due)),
    );
    let event = journal.last(&token.name).map_or_else(
        || "waiting for the first token".to_owned(),
        |it| format!("{} {}", clock(it.time), it.text),
    );
    let cells = [
        token.name.as_str(),
        &token.provider,
        &token.revision.to_string(),
        &life,
        &renewal,
        token.hash.as_deref().unwrap_or("-"),
        &event,
    ];
    (colour, columns(cells))
}

/// A bar that burns down: half of it is normal here, since these short lives renew at half.
fn life(now: Timestamp, from: Timestamp, end: Timestamp) -> (u8, String) {
    let (left, whole) = (seconds(now, end), seconds(from, end).max(1));
    let share = left as f64 / whole as f64;
    let full = ((share * BAR as f64).round() as usize).min(BAR);
    let colour = match share {
        it if it > 0.4 => GREEN,
        it if it > 0.2 => YELLOW,
        _ => RED,
    };
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR - full));
    (colour, format!("{bar} {left:>3} s"))
}

/// Never negative: what is over has nothing left.
fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs().max(0)
}

fn clock(time: Timestamp) -> String {
    let local = time.to_zoned(TimeZone::system());
    local.strftime("%H:%M:%S").to_string()
}

fn paint(code: u8, text: &str) -> String {
    static COLOURS: LazyLock<bool> = LazyLock::new(|| {
        use std::io::IsTerminal;
        let refused = env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
        std::io::stdout().is_terminal() && !refused
    });
    if code == 0 || !*COLOURS {
        return text.to_owned();
    }
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Asked for each frame, since the window may change.
fn width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}
