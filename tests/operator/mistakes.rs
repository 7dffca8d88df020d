//! The mistakes of a beginner: what is typed, what is seen, and that it says what to do. What is seen is in
//! docs/mistakes.md, word for word; `…` stands for what is another one each time.

mod manifest;
mod start;
mod status;

use std::collections::BTreeMap;

pub use self::start::Start;
use crate::alone;

/// One mistake as it was made here.
pub struct Made {
    /// Its heading in docs/mistakes.md.
    pub typed: &'static str,
    /// The words that say what to do.
    pub remedy: &'static str,
    pub seen: String,
}

pub fn made(typed: &'static str, remedy: &'static str, seen: impl Into<String>) -> Made {
    let seen = seen.into();
    Made { typed, remedy, seen }
}

/// The mistakes of each section of the page, with what the page says is seen.
fn page() -> BTreeMap<String, BTreeMap<String, String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mistakes.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut page = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap();
        let mistakes = body.split("\n### ").skip(1).map(|mistake| {
            let (typed, rest) = mistake.split_once('\n').unwrap();
            let seen = rest.split_once("```text\n").unwrap().1.split_once("\n```").unwrap().0;
            (typed.to_owned(), seen.to_owned())
        });
        page.insert(title.to_owned(), mistakes.collect());
    }
    page
}

/// Holds the mistakes of a section against the page. Both have the same ones.
pub fn hold(section: &str, made: &[Made]) {
    let page = page();
    let known = page
        .get(section)
        .unwrap_or_else(|| panic!("docs/mistakes.md has no section {section}"));
    let mut wrong: Vec<String> = Vec::new();
    for typed in known
        .keys()
        .filter(|typed| made.iter().all(|made| made.typed != **typed))
    {
        wrong.push(format!("{typed}: is not tried"));
    }
    for Made { typed, remedy, seen } in made {
        let Some(expected) = known.get(*typed) else {
            wrong.push(format!("{typed}: is not on the page, where it should say\n{seen}"));
            continue;
        };
        if !fits(seen, expected) {
            wrong.push(format!("{typed}: the page says\n{expected}\nand seen is\n{seen}"));
        }
        if !expected.contains(remedy) {
            wrong.push(format!("{typed}: doesn't say {remedy:?}\n{seen}"));
        }
        for debris in [
            "Error {",
            "Some(",
            "None,",
            "os error",
            "ServiceError",
            "ApiError",
            "HyperError",
            "<nil>",
        ] {
            if seen.contains(debris) {
                wrong.push(format!("{typed}: has {debris:?}, which is for programmers\n{seen}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

/// Whether the pieces between `…` follow each other in the text.
fn fits(seen: &str, expected: &str) -> bool {
    let mut rest = seen;
    expected.split('…').all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

/// Every section is somebody's.
#[test]
fn every_section_of_the_page_is_tried() {
    let tried = [
        manifest::SECTION,
        status::SECTION,
        start::SECTION,
        alone::mistakes::SECTION,
        alone::requests::MISTAKES,
    ];
    let page = page();
    let sections: Vec<&str> = page.keys().map(String::as_str).collect();
    let mut tried = tried.to_vec();
    tried.sort_unstable();
    assert_eq!(sections, tried);
    assert!(page.values().map(BTreeMap::len).sum::<usize>() >= 25);
}
