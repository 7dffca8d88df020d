//! Text that others wrote, in messages of ours: it can be read, and does nothing else.
//!
//! Specs, providers and webhooks may hold characters that move the cursor of a terminal, begin a new line of a log, or
//! show a sentence in another order than it has. Whatever leaves the operator as a message passes through [`escaped`].

use std::borrow::Cow;
use std::fmt::Write as _;

/// The system's words for a failure without its number: `Connection refused (os error 111)` is another one on each system.
pub fn without_number(problem: &str) -> &str {
    problem.split(" (os error ").next().unwrap_or(problem)
}

/// Ends a line, or commands a terminal.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Can't be seen, but hides a word from a search or changes the direction of what follows.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text with such characters spelled out, as in a string of JSON: a line break becomes `\n`, an escape `\u001b`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, |_| false)
}

/// The same for a text of several lines of ours.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, |c| c == '\n')
}

fn escaped_but(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let acts = |c: char| (is_control(c) || is_invisible(c)) && !is_kept(c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !acts(c) => escaped.push(c),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(escaped, "\\u{unit:04x}"); // a String takes everything
                }
            }
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_spelled_out_and_the_rest_is_left() {
        for (text, expected) in [
            ("", ""),
            ("plain — ü 日本 🙂 \"quoted\" \\n", "plain — ü 日本 🙂 \"quoted\" \\n"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[31mred\u{7}\u{0}", "\\u001b[31mred\\u0007\\u0000"),
            ("\u{7f}\u{85}\u{9b}1m", "\\u007f\\u0085\\u009b1m"),
            ("yes\u{202e}on\u{2066}x\u{2069}", "yes\\u202eon\\u2066x\\u2069"),
            ("a\u{200b}b\u{feff}c\u{2028}d", "a\\u200bb\\ufeffc\\u2028d"),
            ("\u{e0041}", "\\udb40\\udc41"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(escaped_lines("one\ntwo\r\u{1b}"), "one\ntwo\\r\\u001b");
    }

    /// So it can be done to a line of JSON as a whole.
    #[test]
    fn the_escapes_are_those_of_json() {
        let text: String = (0..=0x2_ffff).filter_map(char::from_u32).collect();
        let text = text + "\u{e0001}\u{e007f}";
        let json = serde_json::to_string(&text).unwrap();
        let line = escaped(&json);
        assert!(!line.chars().any(|c| is_control(c) || is_invisible(c)));
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
