//! The program of the test's pods, built by `src/probe.rs`: static and of the standard library only, since it is all
//! that there is in its image.
//!
//! `probe pause` holds a pod's namespaces. `probe read FILE RECORD MILLISECONDS` reads FILE that often, and appends to
//! RECORD when it read and what: `<Unix time, ms> <length>\n<content>\n`, or `<Unix time, ms> -\n<error>\n`.

use std::{
    error::Error,
    fs::{self, File},
    io::Write,
    time::{Duration, SystemTime},
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["pause"] => loop {
            std::thread::park();
        },
        ["read", file, record, every] => read(file, record, Duration::from_millis(every.parse()?)),
        _ => Err("usage: probe pause | probe read FILE RECORD MILLISECONDS".into()),
    }
}

fn read(file: &str, record: &str, every: Duration) -> Result<(), Box<dyn Error>> {
    let mut record = File::options().create(true).append(true).open(record)?;
    loop {
        let content = fs::read(file);
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
