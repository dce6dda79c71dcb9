//! The files that a run is made of, and what tells whether they are still the same.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::args::{Init, Train, Validation};
use crate::flags::Given;

/// Bytes of a file up to which all of it is looked at; of longer ones, so many pieces.
const WHOLE: u64 = 1 << 30;
const PIECES: u64 = 1024;
const PIECE: u64 = 1 << 16;

/// The flags that name files on which the run depends, and the files.
pub fn of(args: &Train) -> Vec<(&'static str, PathBuf)> {
    let mut sources = vec![("data", args.data.clone())];
    if let Some(Validation::File(path)) = &args.val {
        sources.push(("val", path.clone()));
    }
    sources.extend(args.test.clone().map(|path| ("test", path)));
    let conditions = [
        ("condition", args.format.condition.as_ref().and_then(Given::file)),
        ("val_condition", args.val_condition.as_deref()),
        ("test_condition", args.test_condition.as_deref()),
    ];
    sources.extend(conditions.into_iter().filter_map(|(flag, path)| Some((flag, path?.into()))));
    if let Init::File(path) = args.init() {
        sources.push(("init", path));
    }
    sources
}

/// A path that means the same in every folder.
pub fn absolute(path: &Path) -> PathBuf {
    // Standard input.
    if path == Path::new("-") {
        return path.into();
    }
    std::path::absolute(path).unwrap_or(path.into())
}

/// Length and checksum of a file, with the array that is taken from it: the same for the same
/// content. Of files above 1 GiB, 1,024 pieces of 64 KiB are looked at, evenly spread, the first
/// and the last among them. `None` if there is no file, or none that can be read twice.
pub fn fingerprint(path: &Path) -> Option<String> {
    let address = path.to_str().filter(|_| !path.exists()).and_then(|t| t.rsplit_once(':'));
    let (path, array) = match address {
        Some((file, array)) => (Path::new(file), format!(", array {array}")),
        None => (path, String::new()),
    };
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let (bytes, sum, pieces) = sum(&mut File::open(path).ok()?).ok()?;
    Some(format!("{bytes} bytes, crc32 {sum:08x}{pieces}{array}"))
}

fn sum(file: &mut (impl Read + Seek)) -> io::Result<(u64, u32, &'static str)> {
    let bytes = file.seek(SeekFrom::End(0))?;
    let mut sum = crc32fast::Hasher::new();
    let mut buffer = vec![0; PIECE as usize];
    let is_whole = bytes <= WHOLE;
    let pieces = if is_whole { bytes.div_ceil(PIECE) } else { PIECES };
    for i in 0..pieces {
        let start = match is_whole {
            true => i * PIECE,
            false => (u128::from(bytes - PIECE) * u128::from(i) / u128::from(PIECES - 1)) as u64,
        };
        let piece = &mut buffer[..PIECE.min(bytes - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        sum.update(piece);
    }
    Ok((bytes, sum.finalize(), if is_whole { "" } else { " of a sample" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    #[test]
    fn content_is_told_and_not_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 253) as u8).collect();
        std::fs::write(path("a"), &bytes).unwrap();
        std::fs::write(path("b"), &bytes).unwrap();
        let known = fingerprint(&path("a")).unwrap();
        assert_eq!(known, format!("200000 bytes, crc32 {:08x}", crc32fast::hash(&bytes)));
        assert_eq!(fingerprint(&path("b")).unwrap(), known);
        for at in [0, 65_535, 65_536, 199_999] {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            std::fs::write(path("b"), &edited).unwrap();
            assert_ne!(fingerprint(&path("b")).unwrap(), known, "edited at {at}");
        }
        assert_eq!(fingerprint(&path("a:x")).unwrap(), format!("{known}, array x"));
        std::fs::write(path("b"), []).unwrap();
        assert_eq!(fingerprint(&path("b")).unwrap(), "0 bytes, crc32 00000000");
        assert!(fingerprint(&path("no")).is_none() && fingerprint(folder.path()).is_none());
        assert_eq!(absolute(Path::new("-")), Path::new("-"));
        assert!(absolute(Path::new("x")).is_absolute());
    }

    /// Of a long file the ends are looked at, and its length.
    #[test]
    fn long_files_are_sampled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let mut file = File::create(&path).unwrap();
        // Holes take no room.
        let bytes = 3 * WHOLE;
        file.set_len(bytes).unwrap();
        let known = fingerprint(&path).unwrap();
        assert!(known.ends_with(" of a sample"), "{known}");
        for at in [0, bytes - 1] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[1]).unwrap();
            assert_ne!(fingerprint(&path).unwrap(), known);
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[0]).unwrap();
        }
        assert_eq!(fingerprint(&path).unwrap(), known);
        file.set_len(bytes + 1).unwrap();
        assert_ne!(fingerprint(&path).unwrap(), known);
    }
}
