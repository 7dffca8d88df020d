//! The program of the test's pods, built by `src/probe.rs`: static and of the standard library only, since it is all
//! that there is in its image.
//!
//! `probe pause` holds a pod's namespaces. `probe read FILE RECORD MILLISECONDS` reads FILE that often, and appends to
//! RECORD when it read and what: `<Unix time, ms> <length>\n<content>\n`, or `<Unix time, ms> -\n<error>\n`.
//! `probe repeat RECORD MILLISECONDS PROGRAM ARGUMENT…` runs PROGRAM again and again, with that pause, and records likewise
//! what it printed, or that it failed.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Write},
    process::Command,
    time::{Duration, SystemTime},
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["pause"] => loop {
            std::thread::park();
        },
        ["read", file, record, every] => repeat(|| fs::read(file), record, every),
        ["repeat", record, every, program, ref args @ ..] => repeat(|| run(program, args), record, every),
        _ => Err("usage: probe pause | read FILE RECORD MILLISECONDS | repeat RECORD MILLISECONDS PROGRAM ARGUMENT…".into()),
    }
}

fn run(program: &str, args: &[&str]) -> io::Result<Vec<u8>> {
    let output = Command::new(program).args(args).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).replace('\n', " | ");
    Err(io::Error::other(format!("{}: {said}", output.status)))
}

fn repeat(look: impl Fn() -> io::Result<Vec<u8>>, record: &str, every: &str) -> Result<(), Box<dyn Error>> {
    let every = Duration::from_millis(every.parse()?);
    let mut record = File::options().create(true).append(true).open(record)?;
    loop {
        let content = look();
        // After the read, so that no life is overstated.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
        let mut entry = Vec::new();
        match content {
            Ok(content) => {
                writeln!(entry, "{now} {}", content.len())?;
                entry.extend(content);
            }
            Err(error) => write!(entry, "{now} -\n{error}")?,
        }
        entry.push(b'\n');
        record.write_all(&entry)?;
        std::thread::sleep(every);
    }
}
