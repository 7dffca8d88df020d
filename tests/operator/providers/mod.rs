//! Every provider, from its file in `tests/conformance`: the matrix of what is tested, and the columns that take the
//! whole operator. A new provider needs no code here.
//!
//! The columns `request`, `replies`, `errors` and `expiry` are run by `cargo test --lib conformance`, `rules` by
//! `admission::conformance`, for all that the files hold; here they are counted. The others are run here.

mod columns;
mod mint;
mod rotation;

use std::collections::BTreeMap;
use std::io::Write as _;

use realtime_token_operator::api::crds;
use testkit::conformance::{self, Conformance};

use crate::world::world;

/// What a cell holds: how much was tested, or what went wrong.
type Cell = Result<String, String>;

#[tokio::test]
async fn the_matrix_has_no_empty_cell() {
    let files = conformance::all().unwrap();
    let case = world().await.case("providers").await;
    let rotations = rotation::all(&case, &files).await;
    let mut rows = Vec::new();
    for file in &files {
        let mut cells = columns::counted(file);
        cells.push(("rotation", rotations[&file.field].clone()));
        let minting = file.clone();
        let (mint, explain) = tokio::task::spawn_blocking(move || mint::cells(&minting))
            .await
            .unwrap();
        cells.push(("mint", mint));
        cells.push(("explain", explain));
        rows.push((file, settled(file, cells)));
    }
    print(&rows);
    let wrong: Vec<String> = rows
        .iter()
        .flat_map(|(file, cells)| cells.iter().map(move |cell| (file, cell)))
        .filter_map(|(file, (column, cell))| {
            let problem = cell.as_ref().err()?;
            Some(format!("{} × {column}: {problem}", file.field))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Reasons of the file in place of cells that can't apply. A reason for a cell that is filled is out of date.
fn settled(file: &Conformance, cells: Vec<(&'static str, Cell)>) -> BTreeMap<&'static str, Cell> {
    let mut reasons = file.without.clone();
    let mut settled: BTreeMap<_, _> = cells
        .into_iter()
        .map(|(column, cell)| {
            let cell = match (cell, reasons.remove(column)) {
                (Err(_), Some(reason)) if reason.len() > 10 => Ok(format!("– {reason}")),
                (Ok(_), Some(_)) => Err("filled, and yet `without` says it can't be".into()),
                (cell, _) => cell,
            };
            (column, cell)
        })
        .collect();
    if let Some(unknown) = reasons.keys().next() {
        settled.insert("without", Err(format!("there is no column {unknown}")));
    }
    settled
}

/// To the terminal itself, past what the test harness captures.
fn print(rows: &[(&Conformance, BTreeMap<&str, Cell>)]) {
    let mut notes: Vec<String> = Vec::new();
    let mut text = format!("\n{:<14}", "");
    for column in columns::ALL {
        text += &format!("{column:<11}");
    }
    for (file, cells) in rows {
        text += &format!("\n{:<14}", file.field);
        for column in columns::ALL {
            let shown = match &cells[column] {
                Ok(reason) if reason.starts_with('–') => {
                    let note = format!("{column}: {}", reason.trim_start_matches("– "));
                    let number = notes.iter().position(|known| *known == note);
                    let number = number.unwrap_or_else(|| {
                        notes.push(note);
                        notes.len() - 1
                    });
                    format!("– ({})", number + 1)
                }
                Ok(cell) => cell.clone(),
                Err(_) => "FAILED".into(),
            };
            text += &format!("{shown:<11}");
        }
    }
    text += "\n\n";
    for (number, note) in notes.iter().enumerate() {
        text += &format!("({}) {note}\n", number + 1);
    }
    for crd in crds().unwrap() {
        let size = serde_json::to_vec(&crd).unwrap().len() as f64 / 1024.0;
        text += &format!("{}: {size:.0} KiB\n", crd.metadata.name.unwrap());
    }
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
