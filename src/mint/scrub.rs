//! A provider's error message without secrets, for a status.
//!
//! Providers repeat keys in their errors, and people read a status who may not read the Secret.

use std::collections::HashSet;

use secrecy::ExposeSecret;

use super::Credential;
use crate::providers::Block;
use crate::text::{is_control, is_invisible};

const REDACTED: &str = "[redacted]";
/// So many characters of a key in a row are a part of it and not chance: providers echo the first and last of a key.
const FRAGMENT: usize = 4;
/// A status message is a sentence, not a document.
const LONGEST: usize = 200;
/// The beginning of JWTs. How the providers' keys and tokens begin is in their facts.
const JWT: &str = "eyj";
/// Header names that look like keys.
const NAMES: [&str; 1] = ["xi-api-key"];

/// A foreign text on one line, without what looks like a key or a token.
pub(crate) fn scrubbed(text: &str) -> String {
    without_secrets(&one_line(text), &Fragments::default())
}

/// Every piece of [`FRAGMENT`] bytes of a credential.
#[derive(Default)]
struct Fragments<'c>(HashSet<&'c [u8]>);

impl<'c> Fragments<'c> {
    fn of(credential: &'c Credential) -> Self {
        let values = credential.values().map(|value| value.expose_secret().as_bytes());
        Self(values.flat_map(|value| value.windows(FRAGMENT)).collect())
    }

    /// Which bytes of the text are part of a piece of the credential.
    fn marks(&self, text: &str) -> Vec<bool> {
        let mut marks = vec![false; text.len()];
        for (at, piece) in text.as_bytes().windows(FRAGMENT).enumerate() {
            if self.0.contains(piece) {
                marks[at..at + FRAGMENT].fill(true);
            }
        }
        marks
    }

    fn are_in(&self, text: &str) -> bool {
        text.as_bytes().windows(FRAGMENT).any(|piece| self.0.contains(piece))
    }
}

/// Whether a text holds no part of the credential.
pub(crate) fn is_clean(text: &str, credential: &Credential) -> bool {
    !Fragments::of(credential).are_in(text)
}

/// The text on one line, without the credential and what looks like one, cut to a sentence.
pub(crate) fn scrub(text: &str, credential: &Credential) -> String {
    let mut text = one_line(text);
    for value in credential
        .values()
        .map(ExposeSecret::expose_secret)
        .filter(|value| !value.is_empty())
    {
        text = text.replace(value, REDACTED);
    }
    cut(&without_secrets(&text, &Fragments::of(credential)))
}

/// A short machine-readable word such as an error code or a request id; anything else isn't one.
pub(crate) fn word<'t>(text: &'t str, credential: &Credential) -> Option<&'t str> {
    let plain = (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let secret = has_known_prefix(text)
        || credential.values().any(|value| {
            let value = value.expose_secret();
            !value.is_empty() && text.contains(value)
        })
        || !is_clean(text, credential);
    (plain && !secret).then_some(text)
}

/// Line breaks and controls become spaces. Invisible characters go altogether: they reverse text on a terminal,
/// or hide a key from the search for it.
fn one_line(text: &str) -> String {
    let visible = text.chars().filter(|c| !is_invisible(*c));
    let visible: String = visible.map(|c| if is_control(c) { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Goes through the runs of characters that keys are made of, and what is between them.
fn without_secrets(text: &str, fragments: &Fragments<'_>) -> String {
    let in_run = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '~' | '*' | '%');
    let mut clean = String::with_capacity(text.len());
    let marks = fragments.marks(text);
    let mut rest = text;
    let mut after_bearer = false;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| in_run(c) != in_run(first)).unwrap_or(rest.len());
        let start = text.len() - rest.len();
        let (piece, next) = rest.split_at(end);
        rest = next;
        let is_of_the_key = marks[start..start + piece.len()].contains(&true) && !NAMES.contains(&piece);
        if !in_run(first) {
            clean.push_str(if is_of_the_key { REDACTED } else { piece });
            continue;
        }
        let run = piece.trim_end_matches('.');
        if is_of_the_key || after_bearer || is_secret(run) {
            clean.push_str(REDACTED);
            clean.push_str(&piece[run.len()..]);
        } else {
            clean.push_str(piece);
        }
        after_bearer = run.eq_ignore_ascii_case("bearer");
    }
    clean
}

fn is_secret(run: &str) -> bool {
    has_known_prefix(run) || run.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random) || is_mixed(run)
}

fn has_known_prefix(run: &str) -> bool {
    let run = run.to_ascii_lowercase();
    let at_boundary = |(at, _): (usize, &str)| !run[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
    !NAMES.contains(&run.as_str())
        && Block::every_facts()
            .iter()
            .flat_map(|facts| facts.secret_prefixes)
            .chain([&JWT])
            .any(|prefix| run.match_indices(*prefix).any(at_boundary))
}

/// Letters and digits without a break, longer than any word, model or date: hex and base62 keys.
fn is_random(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    part.len() >= 40 || (part.len() >= 20 && digits > 0 && digits < part.len())
}

/// Long, with capitals, small letters and digits throughout: base64 keys. Model names and URLs have no such mix.
fn is_mixed(run: &str) -> bool {
    let has = |class: fn(&u8) -> bool| run.bytes().any(|byte| class(&byte));
    run.len() >= 40 && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(text: &str) -> String {
        scrub(text, &Credential::new([("api-key", "hunter2-0f3a9c81".into())]))
    }

    #[test]
    fn redacts_what_looks_like_a_secret() {
        for (text, clean) in [
            (
                "Incorrect API key provided: hunter2-0f3a9c81.",
                "Incorrect API key provided: [redacted].",
            ),
            ("key=hunter2-0f3a9c81&x=1", "key=[redacted]&x=1"),
            ("hunter2-0f3a9c81hunter2-0f3a9c81", "[redacted][redacted]"),
            ("hunter2\u{200b}-is-the-\u{feff}key", "[redacted]"),
            ("provided: sk-proj-abc. You can", "provided: [redacted]. You can"),
            ("provided: sk-test****fake.", "provided: [redacted]."),
            ("SK-TEST", "[redacted]"),
            ("token ek_68af296e8e408191a1120ab6383263c2", "token [redacted]"),
            ("openai-insecure-api-key.ek_1", "[redacted]"),
            ("\"xi-0123\"", "\"[redacted]\""),
            ("conversation_signature=cvtkn_abc", "conversation_signature=[redacted]"),
            ("Bearer abc", "Bearer [redacted]"),
            (
                "authorization: bearer  abc/def+ghi== bad",
                "authorization: bearer [redacted]== bad",
            ),
            ("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln", "[redacted]"),
            ("0123456789abcdef0123456789abcdef", "[redacted]"),
            ("Zm9vYmFyYmF6cXV4+Zm9vYmFy/Zm9vYmFyYmF6cXV4", "[redacted]"),
            ("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "[redacted]"),
        ] {
            assert_eq!(scrubbed(text), clean, "{text}");
        }
    }

    #[test]
    fn redacts_parts_of_the_key() {
        for (text, clean) in [
            ("Incorrect key: hunt****9c81.", "Incorrect key: [redacted]."),
            ("it ends in 3a9c", "it ends in [redacted]"),
            ("it ends in c81", "it ends in c81"),
            ("hunter", "[redacted]"),
        ] {
            assert_eq!(scrubbed(text), clean, "{text}");
        }
        let credential = Credential::new([("api-key", "ab==;;cd!?".into())]);
        assert_eq!(scrub("x b==; y", &credential), "x [redacted][redacted]y");
    }

    #[test]
    fn leaves_sentences_alone() {
        for text in [
            "The model `gpt-4o-mini-realtime-preview-2024-12-17` does not exist or you do not have access to it.",
            "Invalid value: 'session.audio.output.voice'. Supported values are: 'alloy', 'ash', and 'cedar'.",
            "You can find your API key at https://platform.openai.com/account/api-keys.",
            "The server had an error while processing your request (123e4567-e89b-12d3-a456-426614174000).",
            "Missing xi-api-key header",
            "This task-force is risk-free",
            "Agent with id agent_7101k5zvyjhmfg983brhmhkd98n6 not found",
        ] {
            if text.contains("agent_7101") {
                // An agent id is random: losing it is the price.
                assert_eq!(scrubbed(text), "Agent with id [redacted] not found");
            } else {
                assert_eq!(scrubbed(text), text);
            }
        }
    }

    #[test]
    fn one_line_without_tricks() {
        assert_eq!(scrubbed("a\r\nb\t\u{1b}[31mc\u{0}d"), "a b [31mc d");
        assert_eq!(scrubbed("a\u{202e}b\u{2066}c\u{2028}d"), "abc d");
        assert_eq!(scrubbed(""), "");
    }

    #[test]
    fn cut_after_scrubbing() {
        let long = scrubbed(&"word ".repeat(100));
        assert_eq!(
            long.chars().count(),
            200,
            "199 and the ellipsis, a trailing space being cut too"
        );
        assert!(long.ends_with("word…"), "{long}");
        assert_eq!(scrubbed(&"ü ".repeat(300)).chars().count(), 200);
        let key_at_the_cut = format!("{}hunter2-0f3a9c81", "x ".repeat(95));
        assert!(!scrubbed(&key_at_the_cut).contains("hunter2"));
    }

    #[test]
    fn words() {
        let credential = Credential::new([("api-key", "hunter2".into())]);
        assert_eq!(word("invalid_api_key", &credential), Some("invalid_api_key"));
        assert_eq!(
            word("req_011CSWTMqDhtQTPe8ZHaxvMk", &credential),
            Some("req_011CSWTMqDhtQTPe8ZHaxvMk")
        );
        for text in [
            "",
            "two words",
            "a\nb",
            "sk-live",
            "x-hunter2",
            &"x".repeat(65),
            "<script>",
            "ü",
        ] {
            assert_eq!(word(text, &credential), None, "{text}");
        }
    }

    #[test]
    fn keys_are_long_and_mix_what_no_word_mixes() {
        for (part, is_key) in [
            ("abcdefghijklmnopqrstuvwxyz", false),
            ("20261129120000202611291200", false),
            ("0f3a9c81d2e4b5a697", false),
            ("0f3a9c81d2e4b5a69780", true),
            (&"x".repeat(40), true),
        ] {
            assert_eq!(is_random(part), is_key, "{part}");
        }
        let long = "Ab1/".repeat(10);
        assert!(is_mixed(&long) && !is_mixed("Ab1") && !is_mixed(&long.to_lowercase()));
    }

    #[test]
    fn a_word_holds_no_value_of_the_key_and_an_empty_value_is_in_no_word() {
        let word_with = |value: &str| word("rate_limit", &Credential::new([("api-key", value.into())]));
        assert_eq!(word_with(""), Some("rate_limit"));
        assert_eq!(word_with("rate"), None);
    }
}
