//! How files are written: whole or not at all, where there are files to replace.

use std::borrow::ToOwned;
use std::ffi::OsString;
use std::format;
use std::fs::{self, File, TryLockError};
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
/// which the next call takes; two calls at a time have one each. Permissions stay those of the old
/// file. What is no file gets all that is written as it comes.
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
    let (new, file_of_new) = create(&file, old.is_some()).map_err(io)?;
    // The lock stays until the name is gone.
    let _lock = file_of_new.try_clone();
    let whole = || {
        let mut file_of_new = BufWriter::new(file_of_new);
        write(&mut file_of_new)?;
        let whole = file_of_new.into_inner().map_err(|e| io(e.into_error()))?;
        if let Some(permissions) = old {
            whole.set_permissions(permissions).map_err(io)?;
        }
        whole.sync_all().map_err(io)?;
        fs::rename(&new, &file).map_err(io)
    };
    whole().inspect_err(|_| {
        // The error is what matters; what is left of the file does not.
        let _ = fs::remove_file(&new);
    })?;
    // The new name must last too. Where a folder cannot be synchronised, as on some network file
    // systems, the file is in its place all the same.
    #[cfg(unix)]
    if let Some(folder) = file.parent() {
        let here = folder.as_os_str().is_empty();
        let _ = File::open(if here { Path::new(".") } else { folder }).and_then(|f| f.sync_all());
    }
    Ok(())
}

/// An empty file beside `path`, which nobody else writes to: `.new`, or with a number if another
/// call is at work there. Only its owner may read it before it has the permissions of a `secret`
/// old one.
fn create(path: &Path, secret: bool) -> io::Result<(PathBuf, File)> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    if secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    for number in 0..MOST_WRITERS {
        let mut name = OsString::from(path);
        name.push(if number == 0 { ".new".to_owned() } else { format!(".new{number}") });
        let new = PathBuf::from(name);
        let file = options.open(&new)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => continue,
            // File systems without locks have one writer at a time, as all had.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // Who had the lock may have put this very file in its place meanwhile.
        if is_at(&file, &new) {
            file.set_len(0)?;
            return Ok((new, file));
        }
    }
    let too_many = format!("{MOST_WRITERS} others write to it");
    Err(io::Error::new(io::ErrorKind::ResourceBusy, too_many))
}

/// As many at a time as there will hardly be.
const MOST_WRITERS: u32 = 100;

/// Whether `file` is the one of this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |about: &fs::Metadata| (about.dev(), about.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if id(&a) == id(&b))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
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

    /// Each writer's file is whole at every moment, and at the end.
    #[test]
    fn writers_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace_file(&path, &[0; 5000]).unwrap();
        std::thread::scope(|scope| {
            for writer in 1..=4u8 {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..50 {
                        replace_file(path, &std::vec![writer; 1000 * (1 + round % 5)]).unwrap();
                    }
                });
            }
            for _ in 0..300 {
                let bytes = fs::read(&path).unwrap();
                assert!(bytes.len().is_multiple_of(1000) && !bytes.is_empty());
                assert!(bytes.iter().all(|b| *b == bytes[0]), "of two writers");
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // What a killed one left is taken, whatever is in it.
        fs::write(folder.path().join("file.new"), [9; 9999]).unwrap();
        replace_file(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
