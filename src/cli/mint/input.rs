//! Files and standard input, with a bound.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::MintCliError;

/// No manifest, key or CA bundle is larger; what is must be another file than meant.
const LARGEST: u64 = 1024 * 1024;

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, MintCliError> {
    let failed = |error| MintCliError::Read(name_of(path), error);
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(File::open(path).map_err(failed)?),
    };
    source.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(MintCliError::TooLarge(name_of(path)));
    }
    Ok(bytes)
}

pub(crate) fn name_of(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".into()
    } else {
        path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("big");
        std::fs::write(&file, vec![b'#'; 1024 * 1024]).unwrap();
        assert_eq!(read(&file).unwrap().len(), 1024 * 1024);
        std::fs::write(&file, vec![b'#'; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(read(&file), Err(MintCliError::TooLarge(_))));
        assert!(matches!(read(Path::new("/dev/zero")), Err(MintCliError::TooLarge(_))));
    }
}
