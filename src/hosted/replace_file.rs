//! How files are written: whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Makes `bytes` the content of `path` in one step: written beside it, synchronised, renamed. A
/// kill leaves the old file or the new one, and at most one unfinished file beside it, which the
/// next call replaces.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = OsString::from(path);
    name.push(".new");
    let new = Path::new(&name);
    let write = || {
        let mut file = File::create(new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(new, path)
    };
    write().inspect_err(|_| {
        // The error is what matters; what is left of the file does not.
        let _ = fs::remove_file(new);
    })?;
    // The new name must last too.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let here = folder.as_os_str().is_empty();
        File::open(if here { Path::new(".") } else { folder })?.sync_all()?;
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
