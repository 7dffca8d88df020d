//! On a terminal: a table on the alternate screen, drawn over and over, and the keys.

use std::{env, fmt::Write as _, io::Write};

use anyhow::Result;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    INTERVAL,
    act::Actor,
    keys::{self, Action, Keyboard},
    look::{Observation, Token},
    reader::{self, Reading},
    table::{self, Content, Line},
    view::{View, remarks},
};

/// Shows the table until somebody presses q.
pub(crate) async fn watch(view: &mut View, mut actor: Actor, guide: &[String]) -> Result<()> {
    let mut keyboard = Keyboard::open();
    let mut resized = signal(SignalKind::window_change())?;
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut screen = Screen::open();
    let mut shown: Option<Observation> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Some((observation, _)) = view.update().await? {
                    shown = Some(observation);
                }
            }
            _ = resized.recv() => {}
            action = next(&mut keyboard) => {
                if action == Action::Quit {
                    return Ok(());
                }
                let done = actor.act(action).await;
                view.journal.note(Timestamp::now(), done);
            }
        }
        if let Some(observation) = &shown {
            let keys = match &keyboard {
                Some(_) => keys::help(actor.provider_down),
                None => "Ctrl-C takes everything down.".to_owned(),
            };
            draw(&mut screen, view, &observation.tokens, guide, keys);
        }
    }
}

async fn next(keyboard: &mut Option<Keyboard>) -> Action {
    match keyboard {
        Some(keyboard) => keyboard.next().await,
        None => std::future::pending().await,
    }
}

fn draw(screen: &mut Screen, view: &mut View, tokens: &[Token], guide: &[String], keys: String) {
    let now = Timestamp::now();
    let read = |token: &Token| (token.clone(), view.reader.read(&token.name, now));
    let rows: Vec<(Token, Option<Reading>)> = tokens.iter().map(read).collect();
    let about_files = format!(
        "FILE HAS: the life of the token in a pod's file, which follows the Secret every {} s here.",
        reader::DELAY.as_secs()
    );
    let content = Content {
        tokens: &rows,
        given: &view.given.borrow(),
        recent: view.journal.recent().cloned().collect(),
        keys,
        guide,
        remarks: remarks(tokens).chain([about_files]).collect(),
    };
    let (width, height) = size();
    screen.draw(&table::lines(&content, width, height, now), (width, height));
}

/// The alternate screen. Dropping it shows what was there before.
struct Screen {
    coloured: bool,
    size: (usize, usize),
}

impl Screen {
    fn open() -> Self {
        write("\x1b[?1049h\x1b[?25l");
        Self {
            coloured: env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
            size: (0, 0),
        }
    }

    /// Draws the lines over those before, in one piece so that nothing flickers. A window of another size is cleared
    /// first: terminals keep pieces of what they showed.
    fn draw(&mut self, lines: &[Line], size: (usize, usize)) {
        let mut frame = String::new();
        if self.size != size {
            frame.push_str("\x1b[2J");
            self.size = size;
        }
        frame.push_str("\x1b[H");
        for (i, (colour, line)) in lines.iter().enumerate() {
            // None after the last one, which would scroll.
            let end = if i == 0 { "" } else { "\r\n" };
            let _ = match (*colour, self.coloured) {
                (0, _) | (_, false) => write!(frame, "{end}{line}\x1b[K"),
                (colour, true) => write!(frame, "{end}\x1b[{colour}m{line}\x1b[0m\x1b[K"),
            };
        }
        frame.push_str("\x1b[J");
        write(&frame);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write("\x1b[?25h\x1b[?1049l");
    }
}

fn write(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Columns and lines of the window, asked for each frame.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}
