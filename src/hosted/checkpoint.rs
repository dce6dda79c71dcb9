//! Checkpoints: one file that holds all of a run. It is replaced in one step, so that a kill at
//! any moment leaves a whole one, and carries a checksum, so that a damaged one is not believed.
//! It is written and read tensor by tensor: it takes no memory beside the run's own.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::error::{FileError, FileResult};
use super::replace_file::write_file;
use super::tensors::{Tensor, copy, dtype, read_numbers, write_tensors};
use crate::Real;

/// First bytes of a checkpoint; the checksum of what follows, its length, and a safetensors file
/// come after them.
const MAGIC: &[u8; 8] = b"relgradC";
const HEAD: usize = 8 + 4 + 8;

/// A writer that knows the checksum and the number of the bytes that passed.
struct Summed<'w, W> {
    to: &'w mut W,
    sum: crc32fast::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.sum.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Replaces `path` by a checkpoint of these tensors.
///
/// # Errors
/// If it cannot be written; what was there before is then still there.
pub(super) fn write(path: &Path, settings: &str, tensors: Vec<Tensor>) -> FileResult<()> {
    let metadata = serde_json::json!({ "settings": settings }).to_string();
    write_file(path, |file| {
        let whole = || {
            file.write_all(&[0; HEAD])?;
            let mut out = Summed { to: &mut *file, sum: crc32fast::Hasher::new(), bytes: 0 };
            if !write_tensors(&mut out, &metadata, tensors)? {
                return Err(io::Error::other("its settings are too long"));
            }
            let (sum, bytes) = (out.sum.finalize(), out.bytes);
            file.rewind()?;
            file.write_all(MAGIC)?;
            file.write_all(&sum.to_le_bytes())?;
            file.write_all(&bytes.to_le_bytes())
        };
        whole().map_err(|e| FileError::io(path, e))
    })
}

/// A checkpoint that is whole, open to be read.
pub(super) struct Checkpoint {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the tensors begin.
    data: u64,
}

impl Checkpoint {
    /// # Errors
    /// If there is none or it is damaged.
    pub fn open(path: &Path) -> FileResult<Self> {
        let io = |e| FileError::io(path, e);
        let fault = |what: &str| FileError::format(path, "checkpoint", what.to_string());
        let mut file = File::open(path).map_err(io)?;
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(HEAD as u64).read_to_end(&mut head).map_err(io)?;
        if head.len() < HEAD || &head[..8] != MAGIC {
            return Err(fault("its first bytes are not those of a checkpoint"));
        }
        let mut sum = crc32fast::Hasher::new();
        let bytes = copy(&mut file, |bytes| {
            sum.update(bytes);
            Ok(())
        });
        let bytes = bytes.map_err(io)?;
        if head[12..] != bytes.to_le_bytes() {
            return Err(fault("it is longer or shorter than it says"));
        }
        if head[8..12] != sum.finalize().to_le_bytes() {
            return Err(fault("its checksum is wrong: the file is damaged"));
        }
        let mut length = [0; 8];
        file.seek(SeekFrom::Start(HEAD as u64)).map_err(io)?;
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        let mut header = Vec::new();
        Read::by_ref(&mut file).take(length).read_to_end(&mut header).map_err(io)?;
        let header = serde_json::from_slice::<Metadata>(&header);
        let header = header.map_err(|e| FileError::format(path, "checkpoint", e))?;
        let data = HEAD as u64 + 8 + length;
        Ok(Checkpoint { path: path.into(), file, header, data })
    }

    /// What the run was asked to do, in the words of whoever started it.
    pub fn settings(&self) -> String {
        let settings = self.header.metadata().as_ref().and_then(|m| m.get("settings"));
        settings.cloned().unwrap_or_default()
    }

    pub fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// Whole numbers.
    ///
    /// # Errors
    /// If there are none of this name.
    pub fn words(&self, name: &str) -> FileResult<Vec<u64>> {
        let count = self.header.info(name).map_or(0, |info| info.shape.iter().product());
        let mut bytes = std::vec![0; 8 * count];
        self.tensor(name, Dtype::U64, count)?
            .read_exact(&mut bytes)
            .map_err(|e| FileError::io(&self.path, e))?;
        Ok(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect())
    }

    /// Fills `values`, which are parameters.
    ///
    /// # Errors
    /// If there are none of this name, as many, in this precision, all finite.
    pub fn numbers<T: Real>(&self, name: &str, values: &mut [T]) -> FileResult<()> {
        let mut from = self.tensor(name, dtype::<T>(), values.len())?;
        read_numbers(&mut from, values).map_err(|e| FileError::io(&self.path, e))?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(v) => {
                Err(FileError::field(&self.path, name, v.to_f64().to_string(), "must be finite"))
            }
            None => Ok(()),
        }
    }

    /// Fills `bytes`.
    ///
    /// # Errors
    /// If there are none of this name, or not as many.
    pub fn bytes(&self, name: &str, bytes: &mut [u8]) -> FileResult<()> {
        let mut from = self.tensor(name, Dtype::U8, bytes.len())?;
        from.read_exact(bytes).map_err(|e| FileError::io(&self.path, e))
    }

    fn tensor(&self, name: &str, dtype: Dtype, count: usize) -> FileResult<impl Read> {
        let found = match self.header.info(name) {
            Some(info) if info.dtype == dtype && info.shape == [count] => {
                let mut file = BufReader::new(&self.file);
                let start = self.data + info.data_offsets.0 as u64;
                file.seek(SeekFrom::Start(start)).map_err(|e| FileError::io(&self.path, e))?;
                return Ok(file);
            }
            Some(info) => std::format!("{} {:?}", info.dtype, info.shape),
            None => "missing".to_string(),
        };
        let allowed = std::format!("must be {dtype} [{count}], as this run has it");
        Err(FileError::field(&self.path, name, found, allowed))
    }
}

/// The settings in a checkpoint, whatever its precision.
///
/// # Errors
/// If there is no checkpoint, or it is damaged.
pub fn checkpoint_settings(path: &Path) -> FileResult<String> {
    Ok(Checkpoint::open(path)?.settings())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = "lr = \"0.1\"\n";

    fn write_some<T: Real>(path: &Path) {
        let values = [0.5, -1.25, f64::from(f32::MIN_POSITIVE), 3.0].map(T::from_f64);
        let state: Vec<u8> = (0..=255).collect();
        let tensors = [
            Tensor::numbers("params", [4].to_vec(), &values),
            Tensor::bytes("state", Dtype::U8, [256].to_vec(), &state),
            Tensor::words("counts", &[3, u64::MAX]),
        ];
        write(path, SETTINGS, tensors.into()).unwrap();
    }

    fn comes_back<T: Real>(path: &Path) {
        write_some::<T>(path);
        let checkpoint = Checkpoint::open(path).unwrap();
        let (mut values, mut state) = ([T::from_f64(0.0); 4], [0; 256]);
        checkpoint.numbers("params", &mut values).unwrap();
        checkpoint.bytes("state", &mut state).unwrap();
        let expected = [0.5, -1.25, f64::from(f32::MIN_POSITIVE), 3.0];
        assert_eq!(values.map(|v| v.to_f64()), expected);
        assert!(state.iter().zip(0..=255).all(|(a, b)| *a == b));
        assert_eq!(checkpoint.words("counts").unwrap(), [3, u64::MAX]);
        assert_eq!(checkpoint.settings(), SETTINGS);
        assert!(checkpoint.has("params") && !checkpoint.has("best"));
        drop(checkpoint);
        let broken = [T::from_f64(0.5), T::from_f64(f64::NAN)];
        write(path, "", Vec::from([Tensor::numbers("best", [2].to_vec(), &broken)])).unwrap();
        let broken = Checkpoint::open(path).unwrap().numbers("best", &mut [T::from_f64(0.0); 2]);
        assert!(broken.unwrap_err().to_string().ends_with("best: NaN; must be finite"));
        write_some::<T>(path);
        let checkpoint = Checkpoint::open(path).unwrap();
        let refused = |e: FileResult<()>| e.unwrap_err().to_string();
        let short = refused(checkpoint.bytes("state", &mut [0; 255]));
        assert!(short.ends_with("state: U8 [256]; must be U8 [255], as this run has it"));
        assert!(refused(checkpoint.numbers("best", &mut values)).contains("best: missing"));
    }

    #[test]
    fn comes_back_bit_for_bit_and_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        comes_back::<f64>(&path);
        let other = Checkpoint::open(&path).unwrap().numbers("params", &mut [0f32; 4]);
        let other = other.unwrap_err().to_string();
        assert!(other.contains("params: F64 [4]; must be F32 [4]"), "{other}");
        comes_back::<f32>(&path);
        assert_eq!(checkpoint_settings(&path).unwrap(), SETTINGS);

        let whole = std::fs::read(&path).unwrap();
        // What follows the head is a safetensors file of its own.
        safetensors::SafeTensors::deserialize(&whole[HEAD..]).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(Checkpoint::open(&path).is_err(), "{end} bytes were believed");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            assert!(Checkpoint::open(&path).is_err(), "damage at {at} was not seen");
        }
    }
}
