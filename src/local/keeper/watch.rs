//! Notices that files were changed which others may change: the manifest, those with the key, those that are kept.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Parts;
use crate::api::RealtimeTokenSpec;
use crate::resolve::provider_of;

/// The files as they were last seen.
pub(super) struct Watch {
    places: Vec<PathBuf>,
    seen: Vec<Option<Mark>>,
}

/// Which file it is, its size and its times of change.
type Mark = (u64, u64, i64, i64);

impl Watch {
    pub(super) fn of(parts: &Parts, spec: &RealtimeTokenSpec) -> Self {
        let fields = provider_of(spec).map_or(&[][..], |provider| provider.secret_fields());
        let mut places = parts.keys.places(fields);
        places.push(parts.manifest.path().clone());
        let seen = places.iter().map(|place| mark(place)).collect();
        Self { places, seen }
    }

    /// Whether one of them is another than when last asked.
    pub(super) fn changed(&mut self, parts: &Parts) -> bool {
        let seen: Vec<_> = self.places.iter().map(|place| mark(place)).collect();
        let changed = seen != self.seen;
        self.seen = seen;
        changed || !parts.directory.is_whole()
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}
