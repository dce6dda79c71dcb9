//! Model files: safetensors with the network's tensors and its description as metadata.
//!
//! Tensors are `layers.K.weight` (D, D; row-major, out by in), `layers.K.bias` (D) with
//! biases, K from 0; with learned curves of S steps `layers.K.log_slope` (D) and
//! `layers.K.log_weight`, `.log_steepness` and `.center` (S, D); with a condition of d numbers or
//! classes `condition.location` and `condition.log_scale` of the latents and `layers.K.condition`,
//! what it adds to biases, as far as there are such (d, D); and optionally `input.shift` and
//! `input.scale` (D); all of them F32, or all F64. In F64 always: `input.origin` (D), which is taken
//! off the data before all else, and `condition.shift` and `condition.scale` (d), which standardise
//! conditions. String metadata say what the tensors do not: see [`ModelFile`].

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::io::Write;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::error::{FileError, FileResult};
use super::model_format::*;
use super::observed::{Observed, Reading};
use super::origin::Origin;
use super::replace_file::write_file;
use super::tensors::{Tensor, write_tensors};
use crate::status::Value;
use crate::{Activation, Base, Bias, Condition, Conditioned, Config, Layout, Real};

/// The parameters of a model in the order of all of relgrad: `W_1, b_1, W_2, b_2, ...`, then
/// shift and scale.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameters {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

/// A tensor that relgrad does not know, kept as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A model as a file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// Features.
    pub dim: usize,
    /// Layers.
    pub layers: usize,
    /// Metadata `activation`: `tanh_mixture:k`, `smooth_leaky_relu:a`, `leaky_tanh:a,b` or `identity`.
    pub activation: Activation,
    /// Metadata `final_activation`: `true` or `false`.
    pub final_activation: bool,
    /// Metadata `base`: `normal`, `sech` or `logistic`.
    pub base: Base,
    /// Metadata `bias`: `separate`, `affine`, `projected` or `none`.
    pub bias: Bias,
    /// Metadata `condition`: `numbers:width`, `classes:count`, or `none`, as in files without it.
    pub condition: Condition,
    /// Metadata `conditioned`: `latents`, `layers` or `both`.
    pub conditioned: Conditioned,
    /// Where conditions come from: metadata `condition.columns` and `.labels` or `.segments`.
    pub observed: Option<Observed>,
    /// Whether the parameters end with shift and scale. A file may hold only one of the two:
    /// the shift is then 0, or the scale 1.
    pub input_transform: bool,
    /// What is taken off the data, in f64, before they become numbers of the model's precision.
    pub origin: Option<Origin>,
    /// All parameters.
    pub parameters: Parameters,
    /// Other metadata; read and written back.
    pub extra: BTreeMap<String, String>,
    /// Other tensors; read and written back.
    pub extra_tensors: BTreeMap<String, ExtraTensor>,
}

/// What errors call bytes that come from no file.
pub(super) const IN_MEMORY: &str = "model";

impl ModelFile {
    /// Reads a model.
    ///
    /// # Errors
    /// Names the file, the key at fault, its value and what is allowed.
    pub fn read(path: impl AsRef<Path>) -> FileResult<Self> {
        let path = path.as_ref();
        Self::parse(path, &std::fs::read(path).map_err(|e| FileError::io(path, e))?)
    }

    /// Reads a model from the bytes of a file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_bytes(bytes: &[u8]) -> FileResult<Self> {
        Self::parse(Path::new(IN_MEMORY), bytes)
    }

    /// Writes the model so that at every moment `path` is the old file or the new one, whole.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes), or if the folder cannot be written to.
    pub fn write(&self, path: impl AsRef<Path>) -> FileResult<()> {
        let path = path.as_ref();
        write_file(path, |file| self.serialize(path, file))
    }

    /// The bytes of the model's file: the same for equal models, on every machine.
    ///
    /// # Errors
    /// If a field is out of range, parameters are not finite or of the wrong number, the base is
    /// [`Base::Custom`], or an extra key is one of the format's own.
    pub fn to_bytes(&self) -> FileResult<Vec<u8>> {
        let mut bytes = Vec::new();
        self.serialize(Path::new(IN_MEMORY), &mut bytes)?;
        Ok(bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> FileResult<Self> {
        let fault = |e| FileError::format(path, "safetensors", e);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(fault)?;
        let file = SafeTensors::deserialize(bytes).map_err(fault)?;
        let mut extra: BTreeMap<_, _> = header.metadata().clone().into_iter().flatten().collect();
        take_choice(path, &mut extra, FORMAT.0, &[(FORMAT.1, ())])?;
        let base = take_choice(path, &mut extra, "base", &BASES)?;
        let bias = take_choice(path, &mut extra, "bias", &BIASES)?;
        let final_activation = take_choice(path, &mut extra, "final_activation", &BOOLS)?;
        let (condition, conditioned) = take_condition(path, &mut extra)?;
        let text = extra.remove("activation");
        let activation = text.as_deref().and_then(|t| t.parse().ok()).ok_or_else(|| {
            let allowed = "must be \"tanh_mixture:k\", \"smooth_leaky_relu:a\", \"leaky_tanh:a,b\" or \
                           \"identity\"";
            field_error(path, "activation", text, allowed.to_owned())
        })?;

        let mut stored: BTreeMap<_, _> = file.tensors().into_iter().collect();
        let is_weight = |name: &&String| name.starts_with("layers.") && name.ends_with(".weight");
        let layers = stored.keys().filter(is_weight).count().max(1);
        let first = stored.get("layers.0.weight").ok_or_else(|| {
            field_error(path, "layers.0.weight", None, "must be F32 or F64 (D, D)".to_owned())
        })?;
        let dim = first.shape().first().copied().unwrap_or(1);
        let input_transform = stored.contains_key(SHIFT) || stored.contains_key(SCALE);
        let config = Config {
            activation,
            final_activation,
            bias,
            condition,
            conditioned,
            input_transform,
            ..Config::new(dim, layers)
        };
        let ours = tensors(&config);
        let parameters = match first.dtype() {
            Dtype::F32 => {
                let read = f32::from_le_bytes;
                Parameters::F32(take_numbers(path, &mut stored, Dtype::F32, ours, read)?)
            }
            Dtype::F64 => {
                let read = f64::from_le_bytes;
                Parameters::F64(take_numbers(path, &mut stored, Dtype::F64, ours, read)?)
            }
            other => {
                let found = other.to_string();
                return Err(FileError::field(path, "layers.0.weight", found, "must be F32 or F64"));
            }
        };
        let origin = take_origin(path, &mut stored, dim)?;
        let observed = take_observed(path, &mut extra, &mut stored, condition)?;
        let keep = |(name, view): (String, TensorView<'_>)| {
            let (dtype, shape) = (view.dtype(), view.shape().to_vec());
            (name, ExtraTensor { dtype, shape, bytes: view.data().to_vec() })
        };
        let extra_tensors = stored.into_iter().map(keep).collect();
        let model = ModelFile {
            dim,
            layers,
            activation,
            final_activation,
            base,
            bias,
            condition,
            conditioned,
            observed,
            input_transform,
            origin,
            parameters,
            extra,
            extra_tensors,
        };
        model.check(path)?;
        Ok(model)
    }

    /// What a file must fulfil beyond its form, whether read or to be written.
    pub(super) fn check(&self, path: &Path) -> FileResult<()> {
        let config = Config {
            activation: self.activation,
            condition: self.condition,
            ..Config::new(self.dim, self.layers)
        };
        config.check().map_err(|e| {
            let value = match e.value {
                Value::Int(v) => v.to_string(),
                Value::Real(v) => v.to_string(),
                _ => String::new(),
            };
            FileError::field(path, e.argument, value, e.allowed)
        })?;
        if let Some(key) = self.extra.keys().find(|key| KEYS.contains(&key.as_str())) {
            return Err(FileError::field(path, key, "extra metadata", "must be a key of your own"));
        }
        if let Some(name) = self.extra_tensors.keys().find(|name| is_ours(name)) {
            let allowed = "must belong to the model: layers.*, input.* and condition.* are no names \
                           for others";
            return Err(FileError::field(path, name, "extra tensor", allowed));
        }
        if let Some(origin) = self.origin.as_ref().filter(|o| o.offsets().len() != self.dim) {
            let found = format!("{} numbers", origin.offsets().len());
            return Err(FileError::field(path, ORIGIN, found, format!("must be {}", self.dim)));
        }
        if let Some(observed) = &self.observed
            && let Some(allowed) = observed.reading.fault(self.condition)
        {
            let found = observed.reading.describe();
            return Err(FileError::field(path, "condition", found, allowed));
        }
        match &self.parameters {
            Parameters::F32(numbers) => self.check_numbers(path, numbers),
            Parameters::F64(numbers) => self.check_numbers(path, numbers),
        }
    }

    fn check_numbers<T: Real>(&self, path: &Path, mut numbers: &[T]) -> FileResult<()> {
        let expected = Layout::new(&self.config()).params_len();
        if numbers.len() != expected {
            let found = format!("{} numbers", numbers.len());
            return Err(FileError::field(path, "parameters", found, format!("must be {expected}")));
        }
        for (name, shape) in tensors(&self.config()) {
            let (tensor, rest) = numbers.split_at(shape.iter().product());
            numbers = rest;
            let bad = |v: &T| !v.to_f64().is_finite() || (name == SCALE && v.to_f64() == 0.0);
            if let Some(i) = tensor.iter().position(bad) {
                let found = format!("{} at {i}", tensor[i].to_f64());
                let allowed =
                    if name == SCALE { "must be finite, not 0" } else { "must be finite" };
                return Err(FileError::field(path, name, found, allowed));
            }
        }
        Ok(())
    }

    /// Writes the file's bytes, without a copy of the parameters.
    fn serialize(&self, path: &Path, out: &mut dyn Write) -> FileResult<()> {
        self.check(path)?;
        let Some(base) = name_of(&BASES, &self.base) else {
            let allowed = "cannot be saved: a file holds normal, sech and logistic only";
            return Err(FileError::field(path, "base", "custom", allowed));
        };
        let mut metadata = self.extra.clone();
        let mut put = |key: &str, value: &str| metadata.insert(key.to_owned(), value.to_owned());
        put(FORMAT.0, FORMAT.1);
        put("activation", &self.activation.to_string());
        put("base", base);
        put("bias", name_of(&BIASES, &self.bias).unwrap_or_default());
        put("final_activation", name_of(&BOOLS, &self.final_activation).unwrap_or_default());
        if self.condition != Condition::None {
            put("condition", &self.condition.to_string());
            put("conditioned", name_of(&CONDITIONED, &self.conditioned).unwrap_or_default());
        }
        if let Some(observed) = &self.observed {
            put_observed(&mut metadata, observed);
        }
        let metadata =
            serde_json::to_string(&metadata).map_err(|e| FileError::format(path, "JSON", e))?;
        let mut tensors = match &self.parameters {
            Parameters::F32(numbers) => self.tensors_of(numbers),
            Parameters::F64(numbers) => self.tensors_of(numbers),
        };
        if let Some(origin) = &self.origin {
            tensors.push(Tensor::numbers(ORIGIN, [self.dim].to_vec(), origin.offsets()));
        }
        if let Some(Observed { reading: Reading::Numbers { shift, scale }, .. }) = &self.observed {
            for (name, numbers) in STANDARD.into_iter().zip([shift, scale]) {
                tensors.push(Tensor::numbers(name, [numbers.len()].to_vec(), numbers));
            }
        }
        tensors.extend(
            self.extra_tensors
                .iter()
                .map(|(name, t)| Tensor::bytes(name.as_str(), t.dtype, t.shape.clone(), &t.bytes)),
        );
        let fits = write_tensors(out, &metadata, tensors).map_err(|e| FileError::io(path, e))?;
        if fits {
            return Ok(());
        }
        Err(FileError::field(path, "header", "too long", "must be at most 100 MB"))
    }

    fn tensors_of<'n, T: Real>(&self, mut numbers: &'n [T]) -> Vec<Tensor<'n>> {
        let config = self.config();
        let names = tensors(&config);
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let (own, rest) = numbers.split_at(shape.iter().product());
            numbers = rest;
            Tensor::numbers(name, shape, own)
        };
        names.map(tensor).collect()
    }
}

#[cfg(test)]
mod tests;
