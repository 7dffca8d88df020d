//! The table as lines of text and their colours, for a window of any size.

use jiff::Timestamp;

use crate::{
    look::Token,
    reader::Reading,
    users::{Given, User},
    view::{clock, seconds},
};

/// The life bar, in a window as wide as this, and in a narrower one, where everything fits 80 columns.
const BARS: (usize, usize, usize) = (106, 24, 4);

/// As much of a hash as it takes to see it change.
const HASH: usize = 6;

const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const RED: u8 = 31;
const BOLD: u8 = 1;

/// A line and its colour, 0 for none.
pub(crate) type Line = (u8, String);

/// Everything that a frame shows.
pub(crate) struct Content<'a> {
    pub(crate) tokens: &'a [(Token, Option<Reading>)],
    pub(crate) given: &'a Given,
    pub(crate) recent: Vec<(Timestamp, String)>,
    /// What the keys do; empty where there are none.
    pub(crate) keys: String,
    /// The commands for another terminal.
    pub(crate) guide: &'a [String],
    pub(crate) remarks: Vec<String>,
}

/// The lines of a frame: the most telling first, since a small window shows no more than fits.
pub(crate) fn lines(content: &Content, width: usize, height: usize, now: Timestamp) -> Vec<Line> {
    let (wide, long, short) = BARS;
    let bar = if width < wide { short } else { long };
    let mut lines = vec![(BOLD, header(bar))];
    lines.extend(content.tokens.iter().map(|(token, reading)| {
        if token.on_request {
            on_request(bar, token, content.given)
        } else {
            row(bar, token, *reading, now)
        }
    }));
    lines.push((0, String::new()));
    lines.push((
        BOLD,
        user_columns(["USER", "TOKENS", "ANSWERED", "SLOWEST", "CONTENT", "REFUSED"]),
    ));
    lines.extend(content.given.users.iter().map(user));
    lines.push((0, String::new()));
    for (time, text) in &content.recent {
        let text = format!("{} {text}", clock(*time));
        lines.extend(wrap(&text, width).into_iter().map(|it| (0, it)));
    }
    lines.push((0, String::new()));
    let headline = "In another terminal:".to_owned();
    lines.push((BOLD, headline));
    lines.extend(content.guide.iter().map(|it| (0, format!("  {it}"))));
    lines.push((0, String::new()));
    for remark in &content.remarks {
        lines.extend(wrap(remark, width).into_iter().map(|it| (0, it)));
    }
    let keys = (BOLD, content.keys.clone());
    lines.truncate(height.saturating_sub(2));
    lines.extend([(0, String::new()), keys]);
    // A line that wraps would move everything below it.
    for (_, line) in &mut lines {
        *line = line.chars().take(width).collect();
    }
    lines
}

fn header(bar: usize) -> String {
    let titles = [
        "NAME",
        "PROVIDER",
        "REV",
        "LIFE LEFT",
        "RENEWAL",
        "CONTENT",
        "FILE HAS",
        "STATUS",
    ];
    columns(bar, titles)
}

fn columns(bar: usize, cells: [&str; 8]) -> String {
    let [name, provider, revision, life, renewal, hash, file, status] = cells;
    let life_width = bar + 6;
    format!("{name:<6} {provider:<10} {revision:>3}  {life:<life_width$}  {renewal:<8} {hash:<7}  {file:<14}  {status}")
}

fn row(bar: usize, token: &Token, reading: Option<Reading>, now: Timestamp) -> Line {
    let (colour, life) = match (token.issued_at, token.usable_until) {
        (Some(from), Some(end)) => life(bar, now, from, end),
        _ => (0, "-".to_owned()),
    };
    let due = |at: Timestamp| format!("in {} s", seconds(now, at));
    let hash = token.hash.as_deref().unwrap_or("-");
    let file = reading.map(|it| format!("{} s, min {}", it.now, it.least));
    let trouble = token.trouble().map(|(reason, _)| reason);
    let cells = [
        token.name.as_str(),
        &token.provider,
        &token.revision.to_string(),
        &life,
        &token.renewal_time.map_or_else(|| "-".to_owned(), due),
        hash.get(..HASH).unwrap_or(hash),
        file.as_deref().unwrap_or("-"),
        trouble.as_deref().unwrap_or_else(|| status(token)),
    ];
    let colour = match (trouble.is_some(), token.holds("Ready")) {
        (true, false) => RED,
        (true, true) => YELLOW,
        _ => colour,
    };
    (colour, columns(bar, cells))
}

fn status(token: &Token) -> &'static str {
    match (token.holds("Ready"), token.holds("FreshnessGuaranteed")) {
        (true, true) => "guaranteed",
        (true, false) => "ready",
        (false, _) => "-",
    }
}

/// A row of tokens that no Secret holds.
fn on_request(bar: usize, token: &Token, given: &Given) -> Line {
    let handed_out = format!("{} given", given.tokens);
    let serving = if token.holds("Serving") { "serving" } else { "-" };
    let (name, provider) = (token.name.as_str(), token.provider.as_str());
    let cells = [name, provider, "-", &handed_out, "-", "-", "-", serving];
    (GREEN, columns(bar, cells))
}

fn user_columns(cells: [&str; 6]) -> String {
    let [name, tokens, took, slowest, hash, refused] = cells;
    format!("{name:<6} {tokens:>14}  {took:<9} {slowest:<9} {hash:<7}  {refused}")
}

fn user(user: &User) -> Line {
    let millis = |it: std::time::Duration| format!("{:.0} ms", it.as_secs_f64() * 1000.0);
    let cells = [
        user.name,
        &user.tokens.to_string(),
        &millis(user.took),
        &millis(user.slowest),
        user.hash.get(..HASH).unwrap_or("-"),
        user.refused.as_deref().unwrap_or_default(),
    ];
    let colour = if user.refused.is_some() { RED } else { 0 };
    (colour, user_columns(cells))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_gets_the_keys_and_no_line_too_many_or_too_long() {
        let given = Given::default();
        let long = "word ".repeat(60);
        let content = Content {
            tokens: &[],
            given: &given,
            recent: vec![(Timestamp::UNIX_EPOCH, long.clone()); 5],
            keys: "r renew".to_owned(),
            guide: &[long.clone(), long.clone()],
            remarks: vec![long],
        };
        for (width, height) in [(80, 24), (200, 60), (30, 8), (7, 2), (1, 1)] {
            let lines = lines(&content, width, height, Timestamp::UNIX_EPOCH);
            assert!(lines.len() <= height.max(2), "{width}x{height}");
            assert!(
                lines.iter().all(|(_, it)| it.chars().count() <= width),
                "{width}x{height}"
            );
            let keys: String = "r renew".chars().take(width).collect();
            assert_eq!(lines.last().map(|(_, it)| it), Some(&keys), "{width}x{height}");
        }
    }

    #[test]
    fn a_row_of_80_columns_shows_its_status() {
        let cells = [
            "voice",
            "elevenlabs",
            "12",
            "#### 123 s",
            "in 123 s",
            "abcdef",
            "123 s, min 123",
            "guaranteed",
        ];
        let row = columns(BARS.2, cells);
        assert!(row.len() <= 80, "{}: {row}", row.len());
    }
}
