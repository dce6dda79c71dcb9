//! Columns far from zero, as time stamps are: f64 numbers that differ in digits which f32 does not
//! have. They are centred in f64 before they are narrowed, by an origin that belongs to the model
//! as its parameters do.

use std::boxed::Box;
use std::format;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::binary_files::number;
use super::columns::About;
use super::columns::Format;
use super::data::Data;
use super::data_files::{STREAM, open, split_address};
use super::error::{FileError, FileResult};
use super::rows::{Rows, in_memory};
use super::survey::{Middle, SAMPLE};
use crate::Real;

/// What is taken off each column, in f64, before a model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin(Vec<f64>);

/// A column whose median is farther from 0 than so many spreads has an origin: f32 would leave its
/// numbers fewer than 15 bits.
const FAR: f64 = 512.0;
/// From here on f32 does not have all whole numbers.
const WHOLE: f64 = (1 << 24) as f64;

impl Origin {
    /// `offsets`, one a feature.
    ///
    /// # Errors
    /// Offsets that are not finite, or all of them 0.
    pub fn new(offsets: Vec<f64>) -> crate::Result<Self> {
        use crate::status::{Error, Status, Value};
        if let Some(i) = offsets.iter().position(|v| !v.is_finite()) {
            let value = Value::At(i as u64, offsets[i]);
            return Err(Error::new(Status::NonFiniteData, "origin", value, "must be finite"));
        }
        if offsets.iter().all(|v| *v == 0.0) {
            let allowed = "must hold a number that is not 0";
            return Err(Error::new(Status::NonFiniteData, "origin", Value::None, allowed));
        }
        Ok(Origin(offsets))
    }

    /// The medians of columns that are so far from 0, for their spread, that f32 would lose
    /// them, and 0 for the others: their numbers, scales and exports stay as they are. `None` if
    /// there is no such column. Medians, because one fill value of 1e20 would move a mean to
    /// where no row is. Looks at 4,096 rows at most.
    ///
    /// # Errors
    /// Those of [`Rows::fetch`].
    pub fn of(rows: &dyn Rows<f64>) -> FileResult<Option<Self>> {
        let sample = in_memory(rows, SAMPLE)?;
        let offset = |c: usize| {
            let mut column: Vec<f64> =
                sample.values().iter().skip(c).step_by(sample.dim()).copied().collect();
            column.sort_unstable_by(f64::total_cmp);
            let Middle { median, spread } = Middle::of(&column);
            let is_far = match spread > 0.0 {
                true => median.abs() > FAR * spread,
                false => median.abs() >= WHOLE,
            };
            if is_far { median } else { 0.0 }
        };
        let offsets: Vec<f64> = (0..sample.dim()).map(offset).collect();
        Ok(offsets.iter().any(|v| *v != 0.0).then_some(Origin(offsets)))
    }

    /// One number a feature.
    pub fn offsets(&self) -> &[f64] {
        &self.0
    }

    /// Rows as the model takes them; numbers beyond the range of `T` become infinite.
    pub fn centre<T: Real>(&self, x: &[f64]) -> Vec<T> {
        x.iter().zip(self.0.iter().cycle()).map(|(x, o)| T::from_f64(x - o)).collect()
    }

    /// Rows of the model (samples, say) in the data's own place.
    pub fn restore<T: Real>(&self, x: &[T]) -> Vec<f64> {
        x.iter().zip(self.0.iter().cycle()).map(|(x, o)| x.to_f64() + o).collect()
    }
}

/// Where the rows of a file are centred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Centring<'a> {
    /// As a model has it, or not at all.
    At(Option<&'a Origin>),
    /// Where [`Origin::of`] finds it for f32; not at all for f64, which loses nothing.
    Found,
}

/// [`open`], with an origin taken off in f64 before numbers become `T`; and the origin.
///
/// # Errors
/// Those of [`open`]; an origin of another number of features.
pub fn open_centred<T: Real + 'static>(
    path: impl AsRef<Path>,
    format: &Format,
    centring: Centring,
) -> FileResult<(Box<dyn Rows<T>>, Option<Origin>)> {
    let path = path.as_ref();
    let find = T::BITS == 32 && centring == Centring::Found;
    let given = match centring {
        Centring::At(origin) => origin,
        Centring::Found => None,
    };
    if !find && given.is_none() {
        return Ok((open(path, format)?, None));
    }
    // Left in the file where that is possible: what is held is held as `T`. Archives are read whole,
    // since their checksums are of the whole.
    let stream = format.stream || !is_archive(path);
    let wide = open::<f64>(path, &Format { stream, ..format.clone() })?;
    let origin = if find { Origin::of(&*wide)? } else { given.cloned() };
    if let Some(origin) = &origin
        && origin.0.len() != wide.dim()
    {
        let (found, allowed) = (wide.dim().to_string(), format!("must be {}", origin.0.len()));
        return Err(FileError::field(path, "features", found, allowed));
    }
    let offsets = origin.as_ref().map_or_else(|| vec![0.0; wide.dim()], |o| o.0.clone());
    let rows = Centred { path: path.into(), wide, offsets };
    let bytes = Rows::<T>::rows(&rows) as u64 * rows.offsets.len() as u64 * u64::from(T::BITS) / 8;
    match format.stream || bytes > STREAM {
        true => Ok((Box::new(rows), origin)),
        false => {
            let data = in_memory::<T>(&rows, usize::MAX)?;
            Ok((Box::new(Held { data, about: rows.wide.about().cloned() }), origin))
        }
    }
}

/// Whether a file begins as npz does. Pipes, which can be read once only, are read whole anyway.
fn is_archive(path: &Path) -> bool {
    let (path, _) = split_address(path);
    let mut head = [0; 2];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head == *b"PK"
}

/// Rows that are centred already, and what their file says of them.
struct Held<T> {
    data: Data<T>,
    about: Option<About>,
}

impl<T: Real> Rows<T> for Held<T> {
    fn dim(&self) -> usize {
        self.data.dim()
    }

    fn rows(&self) -> usize {
        self.data.rows()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        self.data.fetch(pass, rows, out)
    }

    fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }
}

/// Rows less an origin.
struct Centred {
    path: PathBuf,
    wide: Box<dyn Rows<f64>>,
    offsets: Vec<f64>,
}

/// Numbers that are centred at a time.
const AT_ONCE: usize = 1 << 16;

impl<T: Real> Rows<T> for Centred {
    fn dim(&self) -> usize {
        self.offsets.len()
    }

    fn rows(&self) -> usize {
        self.wide.rows()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let dim = self.offsets.len();
        let at_once = (AT_ONCE / dim).max(1).min(rows.len().max(1));
        let mut values = vec![0.0; at_once * dim];
        for (rows, out) in rows.chunks(at_once).zip(out.chunks_mut(at_once * dim)) {
            let values = &mut values[..out.len()];
            self.wide.fetch(pass, rows, values)?;
            for (i, (out, value)) in out.iter_mut().zip(values).enumerate() {
                *out =
                    number(*value - self.offsets[i % dim]).map_err(|problem| FileError::Cell {
                        path: self.path.clone(),
                        row: rows[i / dim] as u64 + 1,
                        column: i % dim + 1,
                        value: value.to_string(),
                        problem,
                    })?;
            }
        }
        Ok(())
    }

    fn about(&self) -> Option<&About> {
        self.wide.about()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time stamp, a plain number, a large constant, a small one; a fill value in one row.
    fn far() -> Vec<f64> {
        let row = |i: u32| {
            let u = (f64::from(i) * 0.618).fract();
            let stamp = if i == 17 { 1e20 } else { 1.7e9 + u };
            [stamp, 100.0 * u - 3.0, 123_456_789.25, 0.1]
        };
        (0..500).flat_map(row).collect()
    }

    #[test]
    fn only_what_floats_would_lose_is_centred_and_by_no_fill_value() {
        let data = Data::new(4, far()).unwrap();
        let origin = Origin::of(&data).unwrap().unwrap();
        let &[stamp, plain, large, small] = origin.offsets() else { panic!() };
        assert!((1.7e9..1.7e9 + 1.0).contains(&stamp), "{stamp}");
        assert_eq!((plain, large, small), (0.0, 123_456_789.25, 0.0));
        let near = Data::new(1, (0..100).map(f64::from).collect()).unwrap();
        assert_eq!(Origin::of(&near).unwrap(), None);
    }

    #[test]
    fn rows_of_files_are_centred_before_they_are_narrowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("far.npy");
        super::super::write_npy(&path, 4, &far()).unwrap();
        for stream in [false, true] {
            let format = Format { stream, ..Format::default() };
            let (rows, origin) = open_centred::<f32>(&path, &format, Centring::Found).unwrap();
            let origin = origin.unwrap();
            let data = in_memory(&*rows, 1000).unwrap();
            assert_eq!(data.values(), origin.centre::<f32>(&far()));
            let back = origin.restore(data.values());
            let worst = back.iter().zip(far()).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
            assert!(worst.fold(0.0, f64::max) < 1e-7);
            let at = Centring::At(Some(&origin));
            let (again, _) = open_centred::<f32>(&path, &format, at).unwrap();
            assert_eq!(in_memory(&*again, 1000).unwrap(), data);
            let (plain, none) = open_centred::<f64>(&path, &format, Centring::Found).unwrap();
            assert_eq!((in_memory(&*plain, 1000).unwrap().values(), none), (&far()[..], None));
        }
        let other = Origin::new([1.0, 2.0].to_vec()).unwrap();
        let format = Format::default();
        let error = open_centred::<f32>(&path, &format, Centring::At(Some(&other)));
        let error = error.err().unwrap().to_string();
        assert!(error.ends_with("features: 4; must be 2"), "{error}");
        super::super::write_npy(&path, 1, &[1e300, 1.0, 2.0, 3.0]).unwrap();
        let error = open_centred::<f32>(&path, &format, Centring::Found).err().unwrap();
        assert!(error.to_string().contains("row 1, column 1"), "{error}");
        assert!(Origin::new([0.0].to_vec()).is_err() && Origin::new([f64::NAN].to_vec()).is_err());
    }
}
