//! How files are written: whole or not at all, where there are files to replace.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::{FileError, FileResult};

/// Makes `bytes` the content of `path` in one step: a failure or a kill leaves what was there.
/// Links are followed, and what is no file is written to, as [`destination`] has it.
///
/// # Errors
/// If the file cannot be written.
pub fn replace_file(path: &Path, bytes: &[u8]) -> FileResult<()> {
    write_file(path, |file| file.write_all(bytes).map_err(|e| FileError::io(path, e)))
}

/// Where what is written to a path goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// A file, there or not, to be replaced in one step: the path itself, or what its symbolic
    /// links lead to.
    File(PathBuf),
    /// A device, a pipe or a stream of the process, which is written to and stays what it is.
    Stream,
}

/// Where what is written to `path` goes.
///
/// # Errors
/// Folders, links in a circle, and what the operating system refuses.
pub fn destination(path: &Path) -> FileResult<Destination> {
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => {
            let allowed = "must be a file";
            return Err(FileError::field(path, "content", "a folder", allowed));
        }
        Ok(about) if !about.is_file() => return Ok(Destination::Stream),
        _ => {}
    }
    let mut file = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        // Files that are open, such as /dev/stdout: another one in their place would not be them.
        if file.starts_with("/proc") || file.starts_with("/dev/fd") {
            return Ok(Destination::Stream);
        }
        match fs::read_link(&file) {
            // Relative to the folder that the link is in.
            Ok(target) => file = file.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(Destination::File(file)),
        }
    }
    Err(FileError::io(path, io::Error::other("its symbolic links lead nowhere")))
}

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// Makes what `write` writes the content of `path` in one step: written beside it, synchronised,
/// renamed. A kill leaves the old file or the new one, and at most one unfinished file beside it,
/// which the next call replaces. Permissions stay those of the old file. What is no file gets all
/// that is written as it comes.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> FileResult<()>,
) -> FileResult<()> {
    let io = |e| FileError::io(path, e);
    let file = match destination(path)? {
        Destination::File(file) => file,
        Destination::Stream => {
            let stream = File::options().append(true).open(path).map_err(io)?;
            let mut stream = BufWriter::new(stream);
            write(&mut stream)?;
            return stream.flush().map_err(io);
        }
    };
    let old = fs::metadata(&file).ok().map(|about| about.permissions());
    let mut name = OsString::from(&file);
    name.push(".new");
    let new = Path::new(&name);
    let whole = || {
        let mut file_of_new = BufWriter::new(create(new, old.is_some()).map_err(io)?);
        write(&mut file_of_new)?;
        let whole = file_of_new.into_inner().map_err(|e| io(e.into_error()))?;
        if let Some(permissions) = old {
            whole.set_permissions(permissions).map_err(io)?;
        }
        whole.sync_all().map_err(io)?;
        fs::rename(new, &file).map_err(io)
    };
    whole().inspect_err(|_| {
        // The error is what matters; what is left of the file does not.
        let _ = fs::remove_file(new);
    })?;
    // The new name must last too.
    #[cfg(unix)]
    if let Some(folder) = file.parent() {
        let here = folder.as_os_str().is_empty();
        let folder = File::open(if here { Path::new(".") } else { folder }).map_err(io)?;
        folder.sync_all().map_err(io)?;
    }
    Ok(())
}

/// A new file; only its owner may read it before it has the permissions of a `secret` old one.
fn create(path: &Path, secret: bool) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::string::ToString;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_new_file_is_an_ordinary_one_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, reference) = (folder.path().join("new"), folder.path().join("reference"));
        fs::write(&reference, "").unwrap();
        replace_file(&path, b"old").unwrap();
        assert_eq!(mode(&path), mode(&reference));
        replace_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), mode(&reference));
        for kept in [0o600, 0o664, 0o640] {
            fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
            replace_file(&path, b"newer").unwrap();
            assert_eq!((mode(&path), &fs::read(&path).unwrap()[..]), (kept, &b"newer"[..]));
        }
        assert!(replace_file(folder.path(), b"new").is_err());
        assert!(replace_file(&folder.path().join("no/file"), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn links_stay_and_lead_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("deep")).unwrap();
        symlink("deep/second", path("first")).unwrap();
        symlink("../target", path("deep/second")).unwrap();
        // Where nothing is yet, and where something is.
        for bytes in [&b"one"[..], b"two"] {
            replace_file(&path("first"), bytes).unwrap();
            assert_eq!(fs::read(path("target")).unwrap(), bytes);
            assert!(path("first").is_symlink() && path("deep/second").is_symlink());
        }
        symlink("circle", path("circle")).unwrap();
        let error = replace_file(&path("circle"), b"x").unwrap_err().to_string();
        assert!(error.contains("circle") && error.contains("links"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn devices_and_pipes_are_written_to() {
        replace_file(Path::new("/dev/null"), b"x").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        if !made.is_ok_and(|status| status.success()) {
            return;
        }
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || fs::read(fifo).unwrap()
        });
        replace_file(&fifo, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
        // A stream of the process that is a file underneath is not replaced.
        assert_eq!(destination(Path::new("/proc/self/fd/1")).unwrap(), Destination::Stream);
    }
}
