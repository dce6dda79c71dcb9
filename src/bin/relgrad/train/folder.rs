//! The folder of a run's checkpoint.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use super::args::Train;
use super::settings::{CHECKPOINT, default_folder};
use crate::failure::Failure;

/// The name of the file that a process locks while it works in the folder. It stays there: the
/// lock is what counts, and it ends with the process.
const LOCK: &str = "run.lock";

/// A folder in which one process at a time works.
pub struct Folder {
    path: PathBuf,
    lock: Option<File>,
    /// Whether `--checkpoint` names it; otherwise only an interrupted run is saved there.
    pub is_named: bool,
}

impl Folder {
    /// The folder of a run, taken for this process if it is there.
    pub fn open(args: &Train) -> Result<Self, Failure> {
        let path = args.checkpoint.clone();
        let path = path.unwrap_or_else(|| default_folder(&args.out.clone().into()));
        let path = std::path::absolute(&path).unwrap_or(path);
        let mut folder = Folder { path, lock: None, is_named: args.checkpoint.is_some() };
        if folder.path.is_dir() {
            folder.take()?;
        }
        Ok(folder)
    }

    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// Takes the folder for this process; makes it if it is not there, or not any more.
    pub fn take(&mut self) -> Result<(), Failure> {
        let fault = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        fs::create_dir_all(&self.path).map_err(|e| fault(&e))?;
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.path.join(LOCK);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|e| fault(&e))?;
        match file.try_lock() {
            Ok(()) => {
                // For the message of others; without it the lock holds too.
                let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            }
            Err(TryLockError::WouldBlock) => {
                let process = fs::read_to_string(&path).unwrap_or_default();
                let process = if process.is_empty() { "another".into() } else { process };
                return Err(fault(&format!(
                    "in use by a run that is under way (process {process}); wait until it ends, \
                     or name another folder with --checkpoint"
                ))
                .into());
            }
            // Some network file systems have no locks; runs work there as well.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(fault(&e).into()),
        }
        self.lock = Some(file);
        Ok(())
    }

    /// Removes the checkpoint of a run that begins anew.
    pub fn clear(&self) -> Result<(), Failure> {
        match fs::remove_file(self.checkpoint()) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(format!("{}: {e}", self.checkpoint().display()).into())
            }
            _ => Ok(()),
        }
    }

    /// After a run that has finished: nothing is left of a folder that nobody asked for.
    pub fn finish(self) {
        if !self.is_named && self.lock.is_some() {
            // What cannot be removed does no harm.
            let _ = self.clear();
            let _ = fs::remove_file(self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}
