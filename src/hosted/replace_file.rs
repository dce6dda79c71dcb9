//! How files are written: whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use super::error::{FileError, FileResult};

/// Makes `bytes` the content of `path` in one step: a failure or a kill leaves what was there.
///
/// # Errors
/// If the file cannot be written.
pub fn replace_file(path: &Path, bytes: &[u8]) -> FileResult<()> {
    write_file(path, |file| file.write_all(bytes).map_err(|e| FileError::io(path, e)))
}

/// Makes what `write` writes the content of `path` in one step: written beside it, synchronised,
/// renamed. A kill leaves the old file or the new one, and at most one unfinished file beside it,
/// which the next call replaces.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> FileResult<()>,
) -> FileResult<()> {
    let io = |e| FileError::io(path, e);
    let mut name = OsString::from(path);
    name.push(".new");
    let new = Path::new(&name);
    let whole = || {
        let mut file = BufWriter::new(File::create(new).map_err(io)?);
        write(&mut file)?;
        file.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(io)?;
        fs::rename(new, path).map_err(io)
    };
    whole().inspect_err(|_| {
        // The error is what matters; what is left of the file does not.
        let _ = fs::remove_file(new);
    })?;
    // The new name must last too.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let here = folder.as_os_str().is_empty();
        let folder = File::open(if here { Path::new(".") } else { folder }).map_err(io)?;
        folder.sync_all().map_err(io)?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_new_file_is_an_ordinary_one_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (path, reference) = (folder.path().join("new"), folder.path().join("reference"));
        fs::write(&path, "old").unwrap();
        fs::write(&reference, "").unwrap();
        replace_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), mode(&reference) & 0o644);
        assert!(replace_file(folder.path(), b"new").is_err());
        assert!(replace_file(&folder.path().join("no/file"), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    }
}
