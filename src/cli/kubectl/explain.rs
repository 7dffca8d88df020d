//! `explain`: what a reason means and what to do, from the pages that the documentation has of it.

use crate::api::Reason;

/// The one place where reasons are explained.
const PAGE: &str = include_str!("../../../docs/troubleshooting.md");

/// The reason that is meant, in whatever case it was typed.
pub(super) fn reason(text: &str) -> Option<Reason> {
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| reason.as_str().eq_ignore_ascii_case(text))
}

/// What the documentation says of a reason.
pub(super) fn explanation(reason: Reason) -> String {
    let title = format!("#### `{reason}`");
    let row = format!("| `{reason}` |");
    let section = PAGE.split_once(&format!("{title}\n")).map(|(_, rest)| {
        let lines = rest.lines().take_while(|line| !line.starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    });
    let rows = || {
        let rows = PAGE.lines().filter(|line| line.starts_with(&row));
        rows.map(|row| {
            row.trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect::<Vec<_>>()
        .join("\n\n")
    };
    let text = section.unwrap_or_else(rows);
    format!("{reason}\n\n{}\n", plain(text.trim()))
}

/// Markdown for a terminal: without emphasis, fences and the targets of links.
fn plain(markdown: &str) -> String {
    let lines = markdown.lines().filter(|line| !line.starts_with("```"));
    let lines = lines.map(|line| without_links(&line.replace("**", "").replace('`', "")));
    lines.collect::<Vec<_>>().join("\n")
}

fn without_links(line: &str) -> String {
    let mut rest = line;
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        let link = after.split_once(']').and_then(|(label, target)| {
            let (_, tail) = target.strip_prefix('(')?.split_once(')')?;
            Some((label, tail))
        });
        let Some((label, tail)) = link else {
            text.push('[');
            rest = after;
            continue;
        };
        text.push_str(label);
        rest = tail;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained() {
        for &reason in Reason::ALL {
            let text = explanation(reason);
            assert!(text.lines().count() > 2, "{reason}: {text}");
            assert!(!text.contains("](") && !text.contains("**"), "{text}");
        }
    }

    #[test]
    fn a_reason_is_found_in_any_case() {
        assert_eq!(reason("credentialnotfound"), Some(Reason::CredentialNotFound));
        assert_eq!(reason("nonsense"), None);
    }

    #[test]
    fn links_become_their_labels() {
        assert_eq!(without_links("a [b](c#d), [x] and [y](z)"), "a b, [x] and y");
    }
}
