//! Each order of restoring in `docs/backup.md` has its test, and each test its line.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn each_order_of_restoring_names_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/backup.md")).unwrap();
    let tests = fs::read_to_string(root.join("tests/operator/backup.rs")).unwrap();
    let named: BTreeSet<_> = guide.lines().filter_map(last_cell).collect();
    let there: BTreeSet<_> = tests.split("#[tokio::test]\nasync fn ").skip(1).map(name).collect();
    assert_eq!(named, there);
    assert!(there.len() >= 5, "{there:?}");
}

/// The code in the last cell of a table's row.
fn last_cell(line: &str) -> Option<&str> {
    line.strip_suffix("` |")?.rsplit_once("| `").map(|(_, test)| test)
}

fn name(test: &str) -> &str {
    test.split('(').next().unwrap_or_default()
}
