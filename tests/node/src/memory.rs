//! What is in the memory of a running process. Needs root where the process is not dumpable.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use anyhow::{Context, Result};

/// Something to look for, by a name that can be printed.
pub struct Needle {
    pub name: String,
    bytes: Vec<u8>,
}

impl Needle {
    /// The end of a secret as it is and as base64, wherever in a longer text that begins. The end alone, since a buffer
    /// that is used again may have lost the beginning.
    pub fn of_secret(name: &str, secret: &str) -> Vec<Self> {
        let tail = &secret.as_bytes()[secret.len().saturating_sub(18)..];
        let mut needles = vec![Self {
            name: name.to_owned(),
            bytes: tail.to_vec(),
        }];
        for before in 0..3 {
            let mut text = vec![0; before];
            text.extend(tail);
            let encoded = serde_json::to_string(&k8s_openapi::ByteString(text)).unwrap_or_default();
            // Without the quotes, and without the groups that hold something else too.
            let groups: Vec<&[u8]> = encoded.trim_matches('"').as_bytes().chunks(4).collect();
            let whole = &groups[usize::from(before > 0)..groups.len() - 1];
            needles.push(Self {
                name: format!("{name} as base64"),
                bytes: whole.concat(),
            });
        }
        needles
    }
}

/// The names of those that are in memory, with the mapping where each was found.
pub fn found(pid: u32, needles: &[Needle]) -> Result<Vec<String>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem")).context("read another process's memory, as root")?;
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let (from, to) = range.context("a line of maps")?;
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        let mut content = vec![0; usize::try_from(to - from)?];
        // A mapping may be gone by now.
        if memory.read_exact_at(&mut content, from).is_err() {
            continue;
        }
        for needle in needles {
            for (at, _) in content
                .windows(needle.bytes.len())
                .enumerate()
                .filter(|(_, it)| *it == needle.bytes)
            {
                let place = line.split_whitespace().nth(5).unwrap_or("anonymous");
                found.push(format!("{} at {:x} in {place}", needle.name, from + at as u64));
            }
        }
    }
    Ok(found)
}
