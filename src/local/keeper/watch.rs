//! Notices that files were changed which others may change: the manifest and those with the key.

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
pub(in crate::local) type Mark = (u64, u64, i64, i64);

impl Watch {
    /// `manifest` is the mark of the manifest from before it was read: a change since then is noticed.
    pub(super) fn of(parts: &Parts, spec: &RealtimeTokenSpec, manifest: Option<Mark>) -> Self {
        let fields = provider_of(spec).map_or(&[][..], |provider| provider.secret_fields());
        let mut places = parts.keys.places(fields);
        let mut seen: Vec<_> = places.iter().map(|place| mark(place)).collect();
        places.push(parts.manifest.path().clone());
        seen.push(manifest);
        Self { places, seen }
    }

    /// Whether one of them is another than when last asked.
    pub(super) fn changed(&mut self) -> bool {
        let seen: Vec<_> = self.places.iter().map(|place| mark(place)).collect();
        let changed = seen != self.seen;
        self.seen = seen;
        changed
    }
}

pub(in crate::local) fn mark(path: &Path) -> Option<Mark> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}
