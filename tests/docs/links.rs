//! What the documentation links to is there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// docs/security.md says by which test a threat is tried: `[`name`](file.rs)`.
#[test]
fn the_tests_of_the_threats_are_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = fs::read_to_string(docs.join("security.md")).unwrap();
    let mut named = 0;
    for part in text.split("[`").skip(1) {
        let Some((name, rest)) = part.split_once("`](") else {
            continue;
        };
        let is_function = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let file = rest.split(')').next().unwrap();
        if is_function && file.ends_with(".rs") {
            named += 1;
            let source = fs::read_to_string(docs.join(file)).unwrap_or_else(|_| panic!("{name}: no {file}"));
            assert!(source.contains(&format!("fn {name}(")), "{file} has no test {name}");
        }
    }
    assert!(named > 30, "only {named} tests named");
}

/// Every relative link of every Markdown file leads to a file, and every fragment to a heading.
#[test]
fn relative_links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    let mut broken = Vec::new();
    for file in markdown(root) {
        let text = prose(&fs::read_to_string(&file).unwrap());
        for link in links(&text) {
            checked += 1;
            if let Err(why) = follow(&file, &link) {
                broken.push(format!("{}: {link}: {why}", file.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(checked > 30, "only {checked} relative links found");
}

fn follow(from: &Path, link: &str) -> Result<(), String> {
    let (path, fragment) = match link.split_once('#') {
        Some((path, fragment)) => (path, Some(fragment)),
        None => (link, None),
    };
    let target = match path {
        "" => from.to_owned(),
        path => from.parent().unwrap().join(path),
    };
    if !target.exists() {
        return Err("no such file".to_owned());
    }
    let Some(fragment) = fragment else {
        return Ok(());
    };
    let text = fs::read_to_string(&target).map_err(|error| error.to_string())?;
    let headings = prose(&text);
    let mut headings = headings.lines().filter(|line| line.starts_with('#'));
    match headings.any(|heading| anchor(heading) == fragment) {
        true => Ok(()),
        false => Err("no such heading".to_owned()),
    }
}

/// The text without its fenced blocks, in which a bracket is no link and a # no heading.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// The targets of `[text](target)` that are no URLs.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it))
        .map(|it| if it == ' ' { '-' } else { it })
        .collect()
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            found.extend(markdown(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_broken_link_is_found() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    assert_eq!(links("[a](b.md#c) [d](https://e.f) [g](#h)"), ["b.md#c", "#h"]);
    assert_eq!(follow(&readme, "docs/concepts.md"), Ok(()));
    assert_eq!(follow(&readme, "docs/concepts.md#templates"), Ok(()));
    assert!(follow(&readme, "docs/nowhere.md").is_err());
    assert!(follow(&readme, "docs/concepts.md#nowhere").is_err());
    assert_eq!(anchor("## What mints, and what doesn't"), "what-mints-and-what-doesnt");
}
