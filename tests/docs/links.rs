//! What the documentation links to is there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// docs/security.md and docs/reliability.md say which test shows a thing: `[`name`](file.rs)`.
#[test]
fn tests_that_are_linked_are_there() {
    for (document, least) in [("security.md", 30), ("reliability.md", 5)] {
        let docs = root().join("docs");
        let text = fs::read_to_string(docs.join(document)).unwrap();
        let mut named = 0;
        for part in text.split("[`").skip(1) {
            let Some((names, rest)) = part.split_once("](") else {
                continue;
            };
            let file = rest.split(')').next().unwrap();
            // One link may name several.
            let names = names.trim_end_matches('`').split("`, `");
            for name in names.filter(|name| is_function_name(name) && file.ends_with(".rs")) {
                named += 1;
                let source = fs::read_to_string(docs.join(file)).unwrap_or_else(|_| panic!("{name}: no {file}"));
                assert!(source.contains(&format!("fn {name}(")), "{file} has no test {name}");
            }
        }
        assert!(named > least, "{document} names only {named} tests");
    }
}

/// The last cell of each row of docs/reliability.md names a test, a module of tests or a file of them.
#[test]
fn each_fault_names_a_test_that_is_there() {
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let mut wrong = Vec::new();
    let mut named = 0;
    for row in rows.filter(|row| !row.ends_with("| test |")) {
        let cell = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let mut linked_or_named = cell.contains("](");
        for name in cell.split('`').skip(1).step_by(2) {
            let is_path = name.contains("::");
            let is_file = name.contains('/');
            if is_path && !is_test_or_module(name) || is_file && !root().join(name).is_file() {
                wrong.push(name.to_owned());
            }
            linked_or_named |= is_path || is_file;
            named += usize::from(is_path);
        }
        if !linked_or_named {
            wrong.push(format!("no test: {row}"));
        }
    }
    assert!(wrong.is_empty(), "no such test:\n{}", wrong.join("\n"));
    assert!(named > 50, "only {named} tests named");
}

/// Whether `a::b::c` is a test or a module of tests of the library, of the fault suite or of the tests of the operator as
/// a process.
fn is_test_or_module(name: &str) -> bool {
    ["src", "tests/faults", "tests/operator"]
        .into_iter()
        .any(|folder| is_in(folder, name))
}

/// Whether `a::b::c` is a test or a module of what lies in this folder.
pub(crate) fn is_in(folder: &str, name: &str) -> bool {
    let folder = root().join(folder);
    let function_in = |(module, function): (&str, &str)| {
        module_source(&folder, module).is_some_and(|text| text.contains(&format!("fn {function}(")))
    };
    name.rsplit_once("::").is_some_and(function_in) || module_source(&folder, name).is_some()
}

/// The text of the file that a module is in: one of its own, or that of its parent for tests within it.
fn module_source(folder: &Path, module: &str) -> Option<String> {
    let read = |module: &str| {
        let path = folder.join(module.replace("::", "/"));
        let files = [path.with_extension("rs"), path.join("mod.rs")];
        files.iter().find_map(|file| fs::read_to_string(file).ok())
    };
    let within = || read(module.strip_suffix("::tests")?).filter(|text| text.contains("mod tests {"));
    read(module).or_else(within)
}

fn is_function_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every relative link of every Markdown file leads to a file, and every fragment to a heading.
#[test]
fn relative_links_lead_somewhere() {
    let root = root();
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
fn a_test_that_is_not_there_is_found() {
    assert!(is_test_or_module("leader::tests::model"));
    assert!(is_test_or_module("alone::both::out_of_order_at_once_in_every_mixture"));
    assert!(is_test_or_module("health::tests"));
    assert!(!is_test_or_module("leader::tests::models"));
    assert!(!is_test_or_module("alone::both::out_of_order"));
}

#[test]
fn a_broken_link_is_found() {
    let readme = root().join("README.md");
    assert_eq!(links("[a](b.md#c) [d](https://e.f) [g](#h)"), ["b.md#c", "#h"]);
    assert_eq!(follow(&readme, "docs/concepts.md"), Ok(()));
    assert_eq!(follow(&readme, "docs/concepts.md#templates"), Ok(()));
    assert!(follow(&readme, "docs/nowhere.md").is_err());
    assert!(follow(&readme, "docs/concepts.md#nowhere").is_err());
    assert_eq!(anchor("## What mints, and what doesn't"), "what-mints-and-what-doesnt");
}
