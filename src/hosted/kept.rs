//! Copies of a run's numbers that it may need again: in memory where they are few, else in a file
//! without a name, so that a run takes hardly more memory than its parameters and their state.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::vec::Vec;

use super::error::{FileError, FileResult};
use super::tensors::{copy, read_numbers, write_numbers};
use crate::Scalar;

/// Bytes up to which a copy stays in memory.
const FEW: usize = 1 << 20;

/// A copy of parameters and state, either of which may be empty.
pub(super) struct Kept<T> {
    place: Place<T>,
    /// Lengths in bytes.
    params: u64,
    state: u64,
}

enum Place<T> {
    Memory(Vec<T>, Vec<u8>),
    /// A file that vanishes with the run, and its folder, to name it.
    File(File, PathBuf),
}

impl<T: Scalar> Kept<T> {
    /// A copy of `params` and `state`, in a file of `folder` if there is one and they are large.
    pub fn new(folder: Option<&Path>, params: &[T], state: &[u8]) -> Self {
        let bytes = [size_of_val(params), state.len()];
        let folder = folder.filter(|_| bytes[0] + bytes[1] > FEW);
        // A folder that takes no files costs memory, not the run.
        let file = folder.and_then(|f| Some((tempfile::tempfile_in(f).ok()?, f.to_path_buf())));
        let place = file.map_or(Place::Memory(Vec::new(), Vec::new()), |(f, p)| Place::File(f, p));
        let [params_bytes, state_bytes] = bytes.map(|b| b as u64);
        let mut kept = Kept { place, params: params_bytes, state: state_bytes };
        kept.store(params, state);
        kept
    }

    /// Replaces the copy by one of `params` and `state`, which have the lengths of the first ones.
    pub fn store(&mut self, params: &[T], state: &[u8]) {
        if let Place::File(file, _) = &mut self.place {
            let mut write = || {
                file.rewind()?;
                write_numbers(file, params)?;
                file.write_all(state)
            };
            if write().is_ok() {
                return;
            }
            // A full disk.
            self.place = Place::Memory(Vec::new(), Vec::new());
        }
        if let Place::Memory(to_params, to_state) = &mut self.place {
            to_params.clear();
            to_params.extend_from_slice(params);
            to_state.clear();
            to_state.extend_from_slice(state);
        }
    }

    /// Puts the copy into `params` and `state`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn load(&self, params: &mut [T], state: &mut [u8]) -> FileResult<()> {
        match &self.place {
            Place::Memory(from_params, from_state) => {
                params.copy_from_slice(from_params);
                state.copy_from_slice(from_state);
                Ok(())
            }
            Place::File(file, folder) => {
                let mut read = || {
                    let mut file = file;
                    file.rewind()?;
                    read_numbers(&mut file, params)?;
                    file.read_exact(state)
                };
                read().map_err(|e| FileError::io(folder, e))
            }
        }
    }

    /// Writes the parameters' bytes.
    pub fn write_params(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.place {
            Place::Memory(params, _) => write_numbers(out, params),
            Place::File(file, _) => self.write_part(file, 0, self.params, out),
        }
    }

    /// Writes the state's bytes.
    pub fn write_state(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.place {
            Place::Memory(_, state) => out.write_all(state),
            Place::File(file, _) => self.write_part(file, self.params, self.state, out),
        }
    }

    fn write_part(
        &self,
        mut file: &File,
        from: u64,
        bytes: u64,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        file.seek(SeekFrom::Start(from))?;
        if copy(&mut file.take(bytes), |bytes| out.write_all(bytes))? == bytes {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    #[cfg(test)]
    pub fn is_in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn files_hold_what_memory_holds() {
        let folder = tempfile::tempdir().unwrap();
        let params: Vec<f32> = (0..300_000).map(|i| i as f32 * 0.25).collect();
        let state: Vec<u8> = (0..100_001).map(|i| (i % 251) as u8).collect();
        let other: Vec<f32> = params.iter().map(|p| -p).collect();
        for (folder, in_memory) in [(None, true), (Some(folder.path()), false)] {
            let mut kept = Kept::new(folder, &params, &state);
            assert_eq!(kept.is_in_memory(), in_memory);
            for params in [&params, &other] {
                kept.store(params, &state);
                let (mut p, mut s) = (vec![0.0; params.len()], vec![0; state.len()]);
                kept.load(&mut p, &mut s).unwrap();
                assert!(p == *params && s == state);
                let (mut p, mut s) = (Vec::new(), Vec::new());
                kept.write_params(&mut p).unwrap();
                kept.write_state(&mut s).unwrap();
                let bytes: Vec<u8> = params.iter().flat_map(|p| p.to_le_bytes()).collect();
                assert!(p == bytes && s == state);
            }
        }
        // Few numbers, and folders that take no files, need none.
        assert!(Kept::new(Some(folder.path()), &params[..1000], &[]).is_in_memory());
        let nowhere = folder.path().join("no");
        assert!(Kept::new(Some(&nowhere), &params, &state).is_in_memory());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file has a name");
    }
}
