//! The columns that are data: how much a file holds of each, and what it lacks.

use testkit::conformance::{Conformance, Reply};

use super::Cell;

pub const ALL: [&str; 8] = [
    "request", "replies", "errors", "expiry", "rules", "rotation", "mint", "explain",
];

/// The classes of error that every provider can answer with.
const CLASSES: [(&str, &[&str]); 3] = [
    ("a refusal (class rejected or key)", &["rejected", "key"]),
    ("one to be throttled by", &["throttled"]),
    ("one to come back from", &["unavailable"]),
];

pub fn counted(file: &Conformance) -> Vec<(&'static str, Cell)> {
    vec![
        ("request", at_least(&[(file.requests.len(), "requests")])),
        ("replies", replies(file)),
        ("errors", errors(file)),
        ("expiry", expiry(file)),
        (
            "rules",
            at_least(&[
                (file.rules.accept.len(), "rules.accept"),
                (file.rules.refuse.len(), "rules.refuse"),
            ]),
        ),
    ]
}

fn replies(file: &Conformance) -> Cell {
    let refused = file.replies.iter().filter(|reply| reply.refused.is_some());
    let refused = refused.count();
    at_least(&[
        (file.replies.len() - refused, "replies that are read"),
        (refused, "replies that are refused"),
    ])
}

/// Lives that are read, and a reply without one, or with an absurd one, that is refused.
fn expiry(file: &Conformance) -> Cell {
    let about = |reply: &&Reply| {
        let refused = reply.refused.as_deref().unwrap_or_default();
        ["expir", "guessed", "make sense", "states no", "life"]
            .iter()
            .any(|word| refused.contains(word))
    };
    at_least(&[
        (
            file.replies.iter().filter(|it| it.lives.is_some()).count(),
            "replies with `lives`",
        ),
        (
            file.replies.iter().filter(about).count(),
            "replies that are refused for their expiry",
        ),
    ])
}

fn errors(file: &Conformance) -> Cell {
    for (what, classes) in CLASSES {
        let has = |class: &str| file.errors.iter().any(|error| error.class == class);
        if !classes.iter().any(|class| has(class)) {
            return Err(format!("`errors` lacks {what}"));
        }
    }
    Ok(file.errors.len().to_string())
}

fn at_least(counts: &[(usize, &str)]) -> Cell {
    match counts.iter().find(|(count, _)| *count == 0) {
        Some((_, what)) => Err(format!("no {what}")),
        None => {
            let counts: Vec<_> = counts.iter().map(|(count, _)| count.to_string()).collect();
            Ok(counts.join("+"))
        }
    }
}
