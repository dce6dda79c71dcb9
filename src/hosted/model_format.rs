//! The parts of a model file: names, texts, numbers.

use core::iter::repeat_n;
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use safetensors::{Dtype, tensor::TensorView};

use super::columns::Columns;
use super::error::{FileError, FileResult};
use super::observed::{Observed, Reading};
use super::origin::Origin;
use crate::{Bias, Condition, Conditioned, Config, Real};

/// The metadata key of the version of this format, and the version.
pub(super) const FORMAT: (&str, &str) = ("relgrad.format", "1");
/// All metadata keys with a meaning here.
pub(super) const KEYS: [&str; 10] = [
    FORMAT.0,
    "activation",
    "base",
    "bias",
    "final_activation",
    "condition",
    "conditioned",
    LABELS,
    SEGMENTS,
    OBSERVED,
];

pub(super) use crate::names::{BASES, BIASES, CONDITIONED};
pub(super) const BOOLS: [(&str, bool); 2] = [("true", true), ("false", false)];

pub(super) const SHIFT: &str = "input.shift";
pub(super) const SCALE: &str = "input.scale";
/// In f64 whatever the precision of the others; no parameter.
pub(super) const ORIGIN: &str = "input.origin";

/// The metadata of what is observed with each row.
const LABELS: &str = "condition.labels";
const SEGMENTS: &str = "condition.segments";
const OBSERVED: &str = "condition.columns";
/// What standardises it; in f64, no parameters.
pub(super) const STANDARD: [&str; 2] = ["condition.shift", "condition.scale"];

pub(super) fn is_ours(tensor: &str) -> bool {
    ["layers.", "input.", "condition."].iter().any(|ours| tensor.starts_with(ours))
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
    let u = config.condition_len();
    let latents = if config.conditions_latents() { &["location", "log_scale"][..] } else { &[] };
    let latents = latents.iter().map(move |name| (format!("condition.{name}"), [u, dim].to_vec()));
    let conditioned = if config.conditions_layers() { layers } else { 0 };
    let conditioned =
        (0..conditioned).map(move |k| (format!("layers.{k}.condition"), [u, dim].to_vec()));
    let input = if config.input_transform { &[SHIFT, SCALE][..] } else { &[] };
    let input = input.iter().map(move |&name| (name.to_owned(), [dim].to_vec()));
    let network = (0..layers).flat_map(layer).chain((0..curves).flat_map(curve));
    network.chain(latents).chain(conditioned).chain(input)
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
    let Some(numbers) = take_doubles(path, stored, ORIGIN, dim)? else { return Ok(None) };
    let origin = Origin::new(numbers)
        .map_err(|e| FileError::field(path, ORIGIN, "not finite, or 0 throughout", e.allowed))?;
    Ok(Some(origin))
}

/// So many F64 numbers of this name, if they are there; they are taken out of `stored`.
fn take_doubles(
    path: &Path,
    stored: &mut BTreeMap<String, TensorView<'_>>,
    name: &str,
    len: usize,
) -> FileResult<Option<Vec<f64>>> {
    let Some(view) = stored.remove(name) else { return Ok(None) };
    if view.dtype() != Dtype::F64 || view.shape() != [len] {
        let found = format!("{} {:?}", view.dtype(), view.shape());
        return Err(FileError::field(path, name, found, format!("must be F64 [{len}]")));
    }
    let numbers = view.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    Ok(Some(numbers.collect()))
}

/// The condition and what depends on it; none in files that do not say.
pub(super) fn take_condition(
    path: &Path,
    metadata: &mut BTreeMap<String, String>,
) -> FileResult<(Condition, Conditioned)> {
    let conditioned = match metadata.contains_key("conditioned") {
        true => take_choice(path, metadata, "conditioned", &CONDITIONED)?,
        false => Conditioned::Both,
    };
    let condition = metadata.remove("condition").map_or(Ok(Condition::None), |text| {
        text.parse().map_err(|e: crate::Error| {
            field_error(path, "condition", Some(text.clone()), e.allowed.into())
        })
    })?;
    // Nothing depends on what is not there.
    Ok(match condition {
        Condition::None => (condition, Conditioned::Both),
        _ => (condition, conditioned),
    })
}

/// Where conditions come from, if the file says so; taken out of it.
pub(super) fn take_observed(
    path: &Path,
    metadata: &mut BTreeMap<String, String>,
    stored: &mut BTreeMap<String, TensorView<'_>>,
    condition: Condition,
) -> FileResult<Option<Observed>> {
    let mut take = |key: &str| metadata.remove(key);
    let refused = |key, text, allowed: &str| field_error(path, key, Some(text), allowed.to_owned());
    let reading = match condition {
        Condition::None => return Ok(None),
        Condition::Numbers { width } => {
            let [shift, scale] =
                STANDARD.map(|name| take_doubles(path, stored, name, width as usize));
            match (shift?, scale?) {
                (Some(shift), Some(scale)) => Some(Reading::Numbers { shift, scale }),
                (None, None) => None,
                (shift, _) => {
                    let name = STANDARD[usize::from(shift.is_some())];
                    let allowed = "must be there, as the other one is".to_owned();
                    return Err(field_error(path, name, None, allowed));
                }
            }
        }
        Condition::Classes { .. } => match (take(LABELS), take(SEGMENTS)) {
            (Some(text), _) => {
                let labels = serde_json::from_str(&text).map(Reading::Labels);
                Some(labels.map_err(|_| refused(LABELS, text, "must be a JSON array of texts"))?)
            }
            (None, Some(text)) => {
                let segments = text.parse().map(Reading::Segments);
                Some(segments.map_err(|_| refused(SEGMENTS, text, "must be a whole number"))?)
            }
            (None, None) => None,
        },
    };
    let (reading, text) = match (reading, take(OBSERVED)) {
        (None, None) => return Ok(None),
        (reading, text) => (reading.or_else(|| Reading::plain(condition)), text),
    };
    let Some(reading) = reading else { return Ok(None) };
    let allowed = "must be an object of names (each once), numbers and of";
    let columns = text.map(|text| {
        let columns = Columns::of_metadata(&text, reading.width());
        columns.ok_or_else(|| refused(OBSERVED, text, allowed))
    });
    Ok(Some(Observed { columns: columns.transpose()?, reading }))
}

/// What a file says of where conditions come from, but for the numbers that standardise them.
pub(super) fn put_observed(metadata: &mut BTreeMap<String, String>, observed: &Observed) {
    let mut put = |key: &str, text: String| _ = metadata.insert(key.to_owned(), text);
    match &observed.reading {
        Reading::Numbers { .. } => {}
        Reading::Labels(labels) => put(LABELS, serde_json::Value::from(labels.clone()).to_string()),
        Reading::Segments(count) => put(SEGMENTS, count.to_string()),
    }
    if let Some(text) = observed.columns.as_ref().and_then(Columns::to_metadata) {
        put(OBSERVED, text);
    }
}
