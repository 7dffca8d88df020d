//! The demo's words: a table that is drawn over and over, or lines.

use std::{env, fmt::Write as _, io::Write, sync::LazyLock};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    journal::{Change, Journal},
    look::Token,
    users::Given,
};

/// The life bar, in a window as wide as this, and in a narrower one, where everything fits 80 columns.
const BARS: (usize, usize, usize) = (100, 24, 6);

/// As much of a hash as it takes to see it change.
const HASH: usize = 8;

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
    line + &describe(change)
}

fn describe(change: &Change) -> String {
    match &change.note {
        Some(note) => format!("{}: {note}", change.what),
        None => change.what.clone(),
    }
}

/// The table, which remembers how much of the screen it covers.
#[derive(Default)]
pub(crate) struct Table {
    height: usize,
}

impl Table {
    /// Draws it over the one before.
    pub(crate) fn draw(&mut self, tokens: &[Token], journal: &Journal, given: &Given) {
        let width = width();
        let (wide, long, short) = BARS;
        let bar = if width < wide { short } else { long };
        let mut lines = vec![(BOLD, header(bar))];
        lines.extend(tokens.iter().map(|token| row(bar, token, journal, given)));
        lines.push((0, String::new()));
        let recent = journal.recent().map(|change| {
            let (time, name) = (clock(change.time), &change.token.name);
            format!("{time} {name}: {}", describe(change))
        });
        for paragraph in recent.chain([String::new()]).chain(remarks(tokens)) {
            lines.extend(wrap(&paragraph, width).into_iter().map(|it| (0, it)));
        }

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
            "LifetimeTooShort" => "40 s can't outlast a kubelet's delay; the default of 30 min does",
            _ if token.on_request => return None,
            "SingleUseToken" => "a conversation token serves one session; a signed URL can be shared",
            _ => return None,
        };
        let name = &token.name;
        Some(format!(
            "{name}: FreshnessGuaranteed=False ({reason}) is right: {because}."
        ))
    })
}

fn header(bar: usize) -> String {
    let titles = [
        "NAME",
        "PROVIDER",
        "REV",
        "LIFE LEFT",
        "NEXT RENEWAL",
        "CONTENT",
        "LAST EVENT",
    ];
    columns(bar, titles)
}

fn columns(bar: usize, cells: [&str; 7]) -> String {
    let [name, provider, revision, life, renewal, hash, event] = cells;
    let life_width = bar + 6;
    format!("{name:<6}  {provider:<10}  {revision:>3}  {life:<life_width$}  {renewal:<12}  {hash:<HASH$}  {event}")
}

fn row(bar: usize, token: &Token, journal: &Journal, given: &Given) -> (u8, String) {
    if token.on_request {
        return (GREEN, asked(bar, token, given));
    }
    let now = Timestamp::now();
    let (colour, life) = match (token.issued_at, token.usable_until) {
        (Some(from), Some(end)) => life(bar, now, from, end),
        _ => (0, "-".to_owned()),
    };
    let due = |at: Timestamp| format!("in {} s", seconds(now, at));
    let hash = token.hash.as_deref().unwrap_or("-");
    let event = journal.last(&token.name);
    let cells = [
        token.name.as_str(),
        &token.provider,
        &token.revision.to_string(),
        &life,
        &token.renewal_time.map_or_else(|| "-".to_owned(), due),
        hash.get(..HASH).unwrap_or(hash),
        event.map_or("-", |it| it.what.as_str()),
    ];
    (colour, columns(bar, cells))
}

/// A row of tokens that no Secret holds.
fn asked(bar: usize, token: &Token, given: &Given) -> String {
    let handed_out = format!("{} given", given.tokens);
    let last = match given.tokens {
        0 => "-".to_owned(),
        _ => format!("for {} in {:.0} ms", given.user, given.took.as_secs_f64() * 1000.0),
    };
    let hash = given.hash.get(..HASH).unwrap_or("-");
    columns(
        bar,
        [
            &token.name,
            &token.provider,
            "-",
            &handed_out,
            "on request",
            hash,
            &last,
        ],
    )
}

/// A token that was handed out, for those who read a log.
pub(crate) fn given(given: &Given) -> String {
    format!(
        "{}  {:<6} token {} on request, for {}, in {:.0} ms",
        clock(Timestamp::now()),
        crate::users::TOKEN,
        given.tokens,
        given.user,
        given.took.as_secs_f64() * 1000.0
    )
}

/// A bar that burns down: half of it is normal here, since these short lives renew at half.
fn life(bar: usize, now: Timestamp, from: Timestamp, end: Timestamp) -> (u8, String) {
    let (left, whole) = (seconds(now, end), seconds(from, end).max(1));
    let share = left as f64 / whole as f64;
    let full = ((share * bar as f64).round() as usize).min(bar);
    let colour = match share {
        it if it > 0.4 => GREEN,
        it if it > 0.2 => YELLOW,
        _ => RED,
    };
    let drawn = format!("{}{}", "#".repeat(full), ".".repeat(bar - full));
    (colour, format!("{drawn} {left:>3} s"))
}

/// The words of a text in lines of at most this width.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
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
