//! The parts of a model file: names, texts, numbers.

use core::iter::repeat_n;
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::path::Path;
use std::string::String;
use std::vec::Vec;

use safetensors::{Dtype, tensor::TensorView};

use super::error::{FileError, FileResult};
use super::origin::Origin;
use crate::{Bias, Config, Real};

/// The metadata key of the version of this format, and the version.
pub(super) const FORMAT: (&str, &str) = ("relgrad.format", "1");
/// All metadata keys with a meaning here.
pub(super) const KEYS: [&str; 5] = [FORMAT.0, "activation", "base", "bias", "final_activation"];

pub(super) use crate::names::{BASES, BIASES};
pub(super) const BOOLS: [(&str, bool); 2] = [("true", true), ("false", false)];

pub(super) const SHIFT: &str = "input.shift";
pub(super) const SCALE: &str = "input.scale";
/// In f64 whatever the precision of the others; no parameter.
pub(super) const ORIGIN: &str = "input.origin";

pub(super) fn is_ours(tensor: &str) -> bool {
    tensor.starts_with("layers.") || tensor.starts_with("input.")
}

/// Names and shapes of the tensors in the order of [`Parameters`](super::model_file::Parameters).
pub(super) fn tensors(config: &Config) -> impl Iterator<Item = (String, Vec<usize>)> {
    let (dim, layers, bias) = (config.dim, config.layers, config.bias);
    let (steps, curves) =
        (config.steps(), if config.has_curves() { config.activated() } else { 0 });
    let of_steps: &[&str] = match steps {
        0 => &[],
        _ => &["log_weight", "log_steepness", "center"],
    };
    let of_units: &[&str] = if steps == 0 { &["theta", "log_sharpness"] } else { &["log_slope"] };
    let layer = move |k| {
        let weight = (format!("layers.{k}.weight"), [dim, dim].to_vec());
        let bias = (bias != Bias::None).then(|| (format!("layers.{k}.bias"), [dim].to_vec()));
        [Some(weight), bias].into_iter().flatten()
    };
    let curve = move |k| {
        let of_steps =
            of_steps.iter().map(move |name| (format!("layers.{k}.{name}"), [steps, dim].to_vec()));
        let of_units =
            of_units.iter().map(move |name| (format!("layers.{k}.{name}"), [dim].to_vec()));
        of_units.chain(of_steps)
    };
    let input = if config.input_transform { &[SHIFT, SCALE][..] } else { &[] };
    let input = input.iter().map(move |&name| (name.to_owned(), [dim].to_vec()));
    (0..layers).flat_map(layer).chain((0..curves).flat_map(curve)).chain(input)
}

pub(super) fn name_of<V: PartialEq>(
    names: &[(&'static str, V)],
    value: &V,
) -> Option<&'static str> {
    names.iter().find(|(_, v)| v == value).map(|(name, _)| *name)
}

/// Takes metadata `key`, which must be one of `names`.
pub(super) fn take_choice<V: Copy>(
    path: &Path,
    metadata: &mut BTreeMap<String, String>,
    key: &str,
    names: &[(&str, V)],
) -> FileResult<V> {
    let value = metadata.remove(key);
    match names.iter().find(|(name, _)| value.as_deref() == Some(name)) {
        Some((_, choice)) => Ok(*choice),
        None => {
            let quoted: Vec<String> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
            Err(field_error(path, key, value, format!("must be {}", quoted.join(" or "))))
        }
    }
}

pub(super) fn field_error(
    path: &Path,
    key: &str,
    value: Option<String>,
    allowed: String,
) -> FileError {
    let value = value.map_or("missing".to_owned(), |v| format!("{v:?}"));
    FileError::field(path, key, value, allowed)
}

/// The numbers of all `tensors`, which are taken out of `stored`.
pub(super) fn take_numbers<T: Real, const SIZE: usize>(
    path: &Path,
    stored: &mut BTreeMap<String, TensorView<'_>>,
    dtype: Dtype,
    tensors: impl Iterator<Item = (String, Vec<usize>)>,
    number: fn([u8; SIZE]) -> T,
) -> FileResult<Vec<T>> {
    let mut numbers = Vec::new();
    for (name, shape) in tensors {
        match stored.remove(&name) {
            Some(view) if view.dtype() == dtype && view.shape() == shape => {
                numbers.extend(view.data().as_chunks().0.iter().map(|bytes| number(*bytes)));
            }
            None if name == SHIFT => numbers.extend(repeat_n(T::from_f64(0.0), shape[0])),
            None if name == SCALE => numbers.extend(repeat_n(T::from_f64(1.0), shape[0])),
            other => {
                let found = other.map_or("missing".to_owned(), |view| {
                    format!("{} {:?}", view.dtype(), view.shape())
                });
                return Err(FileError::field(
                    path,
                    name,
                    found,
                    format!("must be {dtype} {shape:?}"),
                ));
            }
        }
    }
    Ok(numbers)
}

/// The origin, if there is one; it is taken out of `stored`.
pub(super) fn take_origin(
    path: &Path,
    stored: &mut BTreeMap<String, TensorView<'_>>,
    dim: usize,
) -> FileResult<Option<Origin>> {
    let Some(view) = stored.remove(ORIGIN) else { return Ok(None) };
    if view.dtype() != Dtype::F64 || view.shape() != [dim] {
        let found = format!("{} {:?}", view.dtype(), view.shape());
        return Err(FileError::field(path, ORIGIN, found, format!("must be F64 [{dim}]")));
    }
    let numbers = view.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    let origin = Origin::new(numbers.collect())
        .map_err(|e| FileError::field(path, ORIGIN, "not finite, or 0 throughout", e.allowed))?;
    Ok(Some(origin))
}
