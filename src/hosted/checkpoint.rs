//! Checkpoints: one file that holds all of a run. It is replaced in one step, so that a kill at
//! any moment leaves a whole one, and carries a checksum, so that a damaged one is not believed.

use std::borrow::ToOwned;
use std::collections::HashMap;
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::error::{FileError, FileResult};
use super::replace_file::replace_file;
use crate::{Position, Scalar, Snapshot};

/// All of a run at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<T> {
    /// The run itself.
    pub now: Snapshot<T>,
    /// Where it goes back to when it diverges.
    pub good: Snapshot<T>,
    /// The best parameters on validation.
    pub best: Vec<T>,
    /// Whole numbers that the training loop keeps.
    pub counts: Vec<u64>,
    /// Real numbers that the training loop keeps.
    pub values: Vec<f64>,
    /// What the run was asked to do, in the words of whoever started it.
    pub settings: String,
}

/// First bytes of a checkpoint; the checksum of what follows, its length, and a safetensors file
/// come after them.
const MAGIC: &[u8; 8] = b"relgradC";
const HEAD: usize = 8 + 4 + 8;
const POSITIONS: [&str; 2] = ["now.position", "good.position"];

impl<T: Scalar> Checkpoint<T> {
    /// Replaces `path` by this checkpoint.
    ///
    /// # Errors
    /// If it cannot be written; what was there before is then still there.
    pub fn write(&self, path: &Path) -> FileResult<()> {
        let float = if T::BITS == 32 { Dtype::F32 } else { Dtype::F64 };
        let bytes = |values: &[T]| match T::BITS {
            32 => values.iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| v.to_f64().to_le_bytes()).collect::<Vec<u8>>(),
        };
        let words = |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let reals: Vec<u64> = self.values.iter().map(|v| v.to_bits()).collect();
        let tensors = [
            ("now.params", float, bytes(&self.now.params)),
            ("now.state", Dtype::U8, self.now.state.clone()),
            (POSITIONS[0], Dtype::U64, words(&pack(&self.now.position))),
            ("good.params", float, bytes(&self.good.params)),
            ("good.state", Dtype::U8, self.good.state.clone()),
            (POSITIONS[1], Dtype::U64, words(&pack(&self.good.position))),
            ("best", float, bytes(&self.best)),
            ("counts", Dtype::U64, words(&self.counts)),
            ("values", Dtype::U64, words(&reals)),
        ];
        let fault = |e| FileError::format(path, "checkpoint", e);
        let size = |dtype| if dtype == Dtype::U8 { 1 } else { T::BITS as usize / 8 };
        let mut views = Vec::new();
        for (name, dtype, bytes) in &tensors {
            let size = if *dtype == Dtype::U64 { 8 } else { size(*dtype) };
            let shape = [bytes.len() / size].to_vec();
            views.push((*name, TensorView::new(*dtype, shape, bytes).map_err(fault)?));
        }
        let settings = HashMap::from([("settings".to_owned(), self.settings.clone())]);
        let payload = safetensors::serialize(views, Some(settings)).map_err(fault)?;
        let head = [
            &MAGIC[..],
            &crc32fast::hash(&payload).to_le_bytes(),
            &(payload.len() as u64).to_le_bytes(),
        ];
        let file = [&head.concat()[..], &payload].concat();
        replace_file(path, &file)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If there is none, it is damaged, or it is of the other precision.
    pub fn read(path: &Path) -> FileResult<Self> {
        let payload = payload(path)?;
        let fault = |e| FileError::format(path, "checkpoint", e);
        let file = SafeTensors::deserialize(&payload).map_err(fault)?;
        let float = if T::BITS == 32 { Dtype::F32 } else { Dtype::F64 };
        let tensor = |name: &str, dtype: Dtype| {
            let view = file.tensor(name).map_err(fault)?;
            if view.dtype() != dtype {
                let found = view.dtype().to_string();
                return Err(FileError::field(path, name, found, format!("must be {dtype}")));
            }
            Ok(view.data().to_vec())
        };
        let floats = |name| {
            let bytes = tensor(name, float)?;
            Ok::<Vec<T>, FileError>(match T::BITS {
                32 => bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| T::from_f64(f32::from_le_bytes(*b).into()))
                    .collect(),
                _ => bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| T::from_f64(f64::from_le_bytes(*b)))
                    .collect(),
            })
        };
        let words = |name| {
            let bytes = tensor(name, Dtype::U64)?;
            Ok::<Vec<u64>, FileError>(
                bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect(),
            )
        };
        let snapshot = |params, state, position| {
            let position = unpack(&words(position)?).ok_or_else(|| {
                FileError::field(path, position, "too short", "must be 4 or 5 numbers")
            })?;
            let state = tensor(state, Dtype::U8)?;
            Ok::<_, FileError>(Snapshot { params: floats(params)?, state, position })
        };
        Ok(Checkpoint {
            now: snapshot("now.params", "now.state", POSITIONS[0])?,
            good: snapshot("good.params", "good.state", POSITIONS[1])?,
            best: floats("best")?,
            counts: words("counts")?,
            values: words("values")?.into_iter().map(f64::from_bits).collect(),
            settings: settings_of(path, &payload)?,
        })
    }
}

/// The settings in a checkpoint, whatever its precision.
///
/// # Errors
/// If there is no checkpoint, or it is damaged.
pub fn checkpoint_settings(path: &Path) -> FileResult<String> {
    settings_of(path, &payload(path)?)
}

fn settings_of(path: &Path, payload: &[u8]) -> FileResult<String> {
    let fault = |e| FileError::format(path, "checkpoint", e);
    let (_, header) = SafeTensors::read_metadata(payload).map_err(fault)?;
    let settings = header.metadata().as_ref().and_then(|m| m.get("settings"));
    Ok(settings.cloned().unwrap_or_default())
}

/// The safetensors file in a checkpoint that is whole.
fn payload(path: &Path) -> FileResult<Vec<u8>> {
    let mut file = std::fs::read(path).map_err(|e| FileError::io(path, e))?;
    let fault = |what: &str| Err(FileError::format(path, "checkpoint", what.to_owned()));
    if file.len() < HEAD || &file[..8] != MAGIC {
        return fault("its first bytes are not those of a checkpoint");
    }
    let payload = file.split_off(HEAD);
    let (length, sum) = (&file[12..20], &file[8..12]);
    if length != (payload.len() as u64).to_le_bytes() {
        return fault("it is longer or shorter than it says");
    }
    if sum != crc32fast::hash(&payload).to_le_bytes() {
        return fault("its checksum is wrong: the file is damaged");
    }
    Ok(payload)
}

fn pack(position: &Position) -> [u64; 5] {
    let Position { pass, row, sum, rate_factor, first_step } = *position;
    [pass, row, sum.to_bits(), rate_factor.to_bits(), first_step]
}

fn unpack(words: &[u64]) -> Option<Position> {
    let [pass, row, sum, rate_factor] = *words.first_chunk()?;
    let (sum, rate_factor) = (f64::from_bits(sum), f64::from_bits(rate_factor));
    // Older checkpoints are of runs that began with their model.
    let first_step = words.get(4).copied().unwrap_or(0);
    Some(Position { pass, row, sum, rate_factor, first_step })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint<T: Scalar>() -> Checkpoint<T> {
        let snapshot = |x: f64, pass| Snapshot {
            params: [x, 0.1, -3.0].map(T::from_f64).to_vec(),
            state: [1, 2, 3, 255].to_vec(),
            position: Position { pass, row: 7, sum: -0.1, rate_factor: 0.5, first_step: 70 },
        };
        Checkpoint {
            now: snapshot(1.5, 3),
            good: snapshot(2.5, 2),
            best: [1.0 / 3.0].map(T::from_f64).to_vec(),
            counts: [1, u64::MAX].to_vec(),
            values: [f64::NEG_INFINITY, 0.1].to_vec(),
            settings: "lr = \"0.1\"\n".to_owned(),
        }
    }

    #[test]
    fn positions_of_older_checkpoints_are_read() {
        let position = Position { first_step: 0, ..checkpoint::<f64>().now.position };
        assert_eq!(unpack(&pack(&position)[..4]), Some(position));
        assert_eq!(unpack(&pack(&position)[..3]), None);
    }

    #[test]
    fn comes_back_bit_for_bit_and_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        checkpoint::<f64>().write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint::<f64>());
        let other = Checkpoint::<f32>::read(&path).unwrap_err().to_string();
        assert!(other.ends_with("now.params: F64; must be F32"), "{other}");
        checkpoint::<f32>().write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint::<f32>());
        assert_eq!(checkpoint_settings(&path).unwrap(), "lr = \"0.1\"\n");

        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(Checkpoint::<f32>::read(&path).is_err(), "{end} bytes were believed");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            assert!(Checkpoint::<f32>::read(&path).is_err(), "damage at {at} was not seen");
        }
    }
}
