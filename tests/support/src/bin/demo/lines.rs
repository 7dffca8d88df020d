//! Without a terminal: a line for each change, until every token has come far enough.

use std::{fmt::Write as _, io::Write, time::Duration};

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::{
    INTERVAL,
    journal::{Change, Journal},
    look::{Observation, Token},
    users::{Given, TOKEN},
    view::{View, clock, remarks, seconds},
};

/// The longest that a token of 40 s may keep its revision; its renewal is due after 20 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demo ends when every short-lived token has come this far: issued, rotated, rotated again.
const LAST_REVISION: i64 = 3;

/// And when so many tokens were handed out on request.
const LAST_REQUEST: usize = 6;

/// Prints a line; unlike `println!` it survives a reader that went away.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints what changes until it has seen enough.
pub(crate) async fn watch(view: &mut View) -> Result<()> {
    let mut explained = false;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let Some((observation, changes)) = view.update().await? else {
            continue;
        };
        let tokens = &observation.tokens;
        let readings = tokens.iter().filter_map(|token| {
            let reading = view.reader.read(&token.name, Timestamp::now())?;
            Some(format!("{} {} s", token.name, reading.least))
        });
        let readings: Vec<String> = readings.collect();
        if view.given.has_changed()? {
            say(&given(&view.given.borrow_and_update()));
        }
        for change in &changes {
            say(&line(change));
        }
        if !explained && tokens.iter().all(|it| it.revision > 0 || it.on_request) {
            remarks(tokens).for_each(|it| say(&it));
            explained = true;
        }
        let handed_out = view.given.borrow().tokens;
        if !tokens.is_empty() && tokens.iter().all(|it| done(it, handed_out)) {
            say(&format!(
                "The least life that was read from a file: {}.",
                readings.join(", ")
            ));
            return Ok(());
        }
        nothing_is_overdue(&view.journal, &observation)?;
    }
}

fn done(token: &Token, handed_out: usize) -> bool {
    match (token.on_request, token.rotates_soon()) {
        (true, _) => token.holds("Serving") && handed_out >= LAST_REQUEST,
        (false, true) => token.revision >= LAST_REVISION,
        (false, false) => token.holds("FreshnessGuaranteed"),
    }
}

fn nothing_is_overdue(journal: &Journal, observation: &Observation) -> Result<()> {
    let Some(token) = journal.overdue(observation, PATIENCE) else {
        return Ok(());
    };
    let why = match token.trouble() {
        Some((reason, message)) => format!("{reason}: {message}"),
        None => "no condition says why".to_owned(),
    };
    let (name, revision) = (&token.name, token.revision);
    bail!("{name} stayed at revision {revision} for {PATIENCE:?}: {why}");
}

fn line(change: &Change) -> String {
    let token = &change.token;
    let mut line = format!(
        "{}  {:<6} {:<11} revision {}  ",
        clock(change.time),
        token.name,
        token.provider,
        token.revision
    );
    let now = Timestamp::now();
    if let (Some(end), Some(renewal)) = (token.usable_until, token.renewal_time) {
        let (left, due) = (seconds(now, end), seconds(now, renewal));
        let _ = write!(line, "{left:>3} s left, renewal in {due:>3} s  ");
    }
    if let Some(hash) = &token.hash {
        let _ = write!(line, "content {hash}  ");
    }
    line + &change.text()
}

/// A token that was handed out.
fn given(given: &Given) -> String {
    let user = given.last();
    format!(
        "{}  {TOKEN:<6} token {} on request, for {}, in {:.0} ms",
        clock(Timestamp::now()),
        given.tokens,
        user.map_or("-", |it| it.name),
        user.map_or(0.0, |it| it.took.as_secs_f64() * 1000.0)
    )
}
