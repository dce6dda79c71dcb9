//! Model files: safetensors with the network's tensors and its description as metadata.
//!
//! Tensors are `layers.K.weight` (D, D; row-major, out by in), `layers.K.bias` (D) with
//! biases, K from 0; with learned curves of S steps `layers.K.log_slope` (D) and
//! `layers.K.log_weight`, `.log_steepness` and `.center` (S, D); and optionally `input.shift` and
//! `input.scale` (D); all of them F32, or all F64. `input.origin` (D), in F64 always, is taken off
//! the data before all else, in f64. String metadata say what the tensors do not: see [`ModelFile`].

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
use super::origin::Origin;
use super::replace_file::write_file;
use super::tensors::{Tensor, write_tensors};
use crate::status::Value;
use crate::{Activation, Base, Bias, Config, Layout, Real};

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
        let config = Config { activation: self.activation, ..Config::new(self.dim, self.layers) };
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
            let allowed = "must belong to the model: layers.* and input.* are no names for others";
            return Err(FileError::field(path, name, "extra tensor", allowed));
        }
        if let Some(origin) = self.origin.as_ref().filter(|o| o.offsets().len() != self.dim) {
            let found = format!("{} numbers", origin.offsets().len());
            return Err(FileError::field(path, ORIGIN, found, format!("must be {}", self.dim)));
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
        let metadata =
            serde_json::to_string(&metadata).map_err(|e| FileError::format(path, "JSON", e))?;
        let mut tensors = match &self.parameters {
            Parameters::F32(numbers) => self.tensors_of(numbers),
            Parameters::F64(numbers) => self.tensors_of(numbers),
        };
        if let Some(origin) = &self.origin {
            tensors.push(Tensor::numbers(ORIGIN, [self.dim].to_vec(), origin.offsets()));
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
mod tests {
    use super::*;
    use std::vec;

    fn model() -> ModelFile {
        ModelFile {
            dim: 2,
            layers: 2,
            activation: Activation::SmoothLeakyRelu { a: 0.3 },
            final_activation: true,
            base: Base::Sech,
            bias: Bias::Affine,
            input_transform: true,
            origin: None,
            parameters: Parameters::F32((1..=16).map(|i| i as f32 / 8.0).collect()),
            extra: [("note".to_owned(), "a \"quoted\" \u{e9}\n".to_owned())].into(),
            extra_tensors: BTreeMap::new(),
        }
    }

    /// A safetensors file of F32 tensors that are all ones.
    fn file(tensors: &[(&str, &[usize])], metadata: &str) -> Vec<u8> {
        let tensor = |(name, shape): &(&str, &[usize])| {
            let ones = &[1.0f32; 16][..shape.iter().product()];
            Tensor::numbers(*name, shape.to_vec(), ones)
        };
        let mut bytes = Vec::new();
        let tensors = tensors.iter().map(tensor).collect();
        assert!(write_tensors(&mut bytes, metadata, tensors).unwrap());
        bytes
    }

    const PLAIN: &str = r#"{"relgrad.format": "1", "activation": "identity", "base": "normal",
        "bias": "none", "final_activation": "false"}"#;
    const ONE: (&str, &[usize]) = ("layers.0.weight", &[2, 2]);

    fn refused(bytes: &[u8]) -> String {
        ModelFile::from_bytes(bytes).unwrap_err().to_string()
    }

    #[test]
    fn round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let mut model = model();
        for bias in [Bias::Separate, Bias::Affine, Bias::Projected, Bias::None] {
            for base in [Base::Normal, Base::Sech, Base::Logistic] {
                let count = if bias == Bias::None { 12 } else { 16 };
                let numbers = (1..=count).map(|i| 1.0 / f64::from(i)).collect();
                model = ModelFile { bias, base, parameters: Parameters::F64(numbers), ..model };
                model.write(&path).unwrap();
                assert_eq!(ModelFile::read(&path).unwrap(), model);
            }
        }
        // Curves of three steps after both layers.
        let curves = (1..=12 + 2 * 20 + 4).map(|i| 1.0 / f64::from(i)).collect();
        model = ModelFile {
            activation: Activation::TanhMixture { steps: 3 },
            bias: Bias::Separate,
            parameters: Parameters::F64(curves),
            ..model
        };
        model.write(&path).unwrap();
        assert_eq!(ModelFile::read(&path).unwrap(), model);
        let bytes = std::fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("layers.1.log_slope").unwrap().shape(), [2]);
        assert_eq!(tensors.tensor("layers.0.center").unwrap().shape(), [3, 2]);
        let single = self::model();
        assert_eq!(ModelFile::from_bytes(&single.to_bytes().unwrap()).unwrap(), single);
        let without = ModelFile {
            input_transform: false,
            parameters: Parameters::F32(vec![0.5; 12]),
            ..single
        };
        without.write(&path).unwrap();
        assert_eq!(ModelFile::read(&path).unwrap(), without);
        let nowhere = without.write(folder.path().join("no/m")).unwrap_err();
        assert!(matches!(nowhere, FileError::Io { .. }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file left");
    }

    #[test]
    fn bytes_are_reproducible() {
        let mut model = model();
        model.extra = (0..20).map(|i| (i.to_string(), String::new())).collect();
        let bytes = model.to_bytes().unwrap();
        for _ in 0..10 {
            assert_eq!(model.clone().to_bytes().unwrap(), bytes);
        }
        let numbers: Vec<u8> = (1..=4).flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect();
        assert!(bytes.windows(16).any(|w| w == numbers), "W_1 is stored little-endian");
    }

    #[test]
    fn unknown_tensors_are_kept_and_half_a_transform_is_completed() {
        let bytes = file(&[ONE, ("ema", &[3]), ("input.scale", &[2])], PLAIN);
        let model = ModelFile::from_bytes(&bytes).unwrap();
        let numbers = vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
        assert_eq!(model.parameters, Parameters::F32(numbers));
        assert_eq!(model.extra_tensors["ema"].shape, [3]);
        assert_eq!(ModelFile::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
        let shift = ModelFile::from_bytes(&file(&[ONE, ("input.shift", &[2])], PLAIN)).unwrap();
        assert_eq!(shift.parameters, Parameters::F32(vec![1.0; 8]));
    }

    #[test]
    fn an_origin_is_kept_in_f64() {
        let origin = Origin::new(vec![1.7e9 + 0.1, 0.0]).unwrap();
        let with = ModelFile { origin: Some(origin), ..model() };
        let bytes = with.to_bytes().unwrap();
        assert_eq!(ModelFile::from_bytes(&bytes).unwrap(), with);
        let deeper = ModelFile { final_activation: false, ..with.clone() }.deepen(0.3).unwrap();
        assert_eq!(deeper.origin, with.origin);
        let other = Some(Origin::new(vec![1.0]).unwrap());
        let refused = ModelFile { origin: other, ..model() }.to_bytes().unwrap_err().to_string();
        assert_eq!(refused, "model: input.origin: 1 numbers; must be 2");
        let single = self::refused(&file(&[ONE, ("input.origin", &[2])], PLAIN));
        assert_eq!(single, "model: input.origin: F32 [2]; must be F64 [2]");
    }

    #[test]
    fn bad_metadata() {
        let with = |from: &str, to: &str| refused(&file(&[ONE], &PLAIN.replace(from, to)));
        let format = with("\"1\"", "\"2\"");
        assert_eq!(format, "model: relgrad.format: \"2\"; must be \"1\"");
        assert!(with("relgrad.format", "x").starts_with("model: relgrad.format: missing"));
        assert!(
            with("normal", "laplace").starts_with("model: base: \"laplace\"; must be \"normal\"")
        );
        assert!(with("none", "None").starts_with("model: bias: \"None\""));
        assert!(with("false", "0").starts_with("model: final_activation: \"0\""));
        assert!(with("identity", "relu").starts_with("model: activation: \"relu\""));
        assert!(
            with("identity", "smooth_leaky_relu:7").starts_with("model: activation.a: 7; must")
        );
        assert!(with("identity", "leaky_tanh:1,NaN").starts_with("model: activation.b: NaN"));
        assert!(with("\"1\"", "1").contains("not a valid safetensors file"));
    }

    #[test]
    fn bad_tensors() {
        let with = |tensors: &[(&str, &[usize])]| refused(&file(tensors, PLAIN));
        assert!(with(&[("x", &[1])]).starts_with("model: layers.0.weight: missing"));
        let gap = with(&[ONE, ("layers.2.weight", &[2, 2])]);
        assert_eq!(gap, "model: layers.1.weight: missing; must be F32 [2, 2]");
        let wrong = with(&[ONE, ("layers.1.weight", &[2, 1])]);
        assert_eq!(wrong, "model: layers.1.weight: F32 [2, 1]; must be F32 [2, 2]");
        assert!(with(&[("layers.0.weight", &[])]).contains("F32 []; must be F32 [1, 1]"));
        assert!(with(&[("layers.0.weight", &[0, 0])]).starts_with("model: dim: 0"));
        assert!(with(&[ONE, ("layers.0.bias", &[2])]).starts_with("model: layers.0.bias: extra"));
        let bias = refused(&file(&[ONE], &PLAIN.replace("none", "affine")));
        assert_eq!(bias, "model: layers.0.bias: missing; must be F32 [2]");
        let bytes = file(&[ONE, ("layers.1.weight", &[2, 2])], PLAIN);
        // The types stand in the header in the order of the names.
        let types = bytes.windows(3).enumerate().filter(|(_, w)| w == b"F32").map(|(i, _)| i);
        let with_type =
            |at: usize, t: &[u8]| refused(&[&bytes[..at], t, &bytes[at + 3..]].concat());
        let types: Vec<usize> = types.collect();
        let integer = with_type(types[0], b"I32");
        assert_eq!(integer, "model: layers.0.weight: I32; must be F32 or F64");
        let mixed = with_type(types[1], b"U32");
        assert_eq!(mixed, "model: layers.1.weight: U32 [2, 2]; must be F32 [2, 2]");
    }

    #[test]
    fn truncated_files() {
        let bytes = model().to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(refused(&bytes[..end]).contains("not a valid safetensors file"), "{end}");
        }
        refused(&[&bytes[..], &[0]].concat());
    }

    #[test]
    fn models_that_no_file_can_hold() {
        let refused = |change: fn(&mut ModelFile)| {
            let mut model = model();
            change(&mut model);
            model.to_bytes().unwrap_err().to_string()
        };
        let set = |m: &mut ModelFile, i: usize, value| {
            if let Parameters::F32(numbers) = &mut m.parameters {
                numbers[i] = value;
            }
        };
        assert!(refused(|m| m.base = Base::Custom).starts_with("model: base: custom; cannot"));
        assert!(refused(|m| m.layers = 3).starts_with("model: parameters: 16 numbers; must be 22"));
        assert!(refused(|m| m.dim = 0).starts_with("model: dim: 0"));
        let key = refused(|m| _ = m.extra.insert("base".to_owned(), String::new()));
        assert!(key.starts_with("model: base: extra metadata"));
        for (i, value, error) in [
            (4, f32::NAN, "model: layers.0.bias: NaN at 0; must be finite"),
            (9, f32::INFINITY, "model: layers.1.weight: inf at 3; must be finite"),
            (15, 0.0, "model: input.scale: 0 at 1; must be finite, not 0"),
        ] {
            let mut model = model();
            set(&mut model, i, value);
            assert_eq!(model.to_bytes().unwrap_err().to_string(), error);
            // The same in a file: another finite number is written, then replaced in place.
            let (old, new) = (((i + 1) as f32 / 8.0).to_le_bytes(), value.to_le_bytes());
            let mut bytes = self::model().to_bytes().unwrap();
            let at = bytes.windows(4).rposition(|w| w == old).unwrap();
            bytes[at..at + 4].copy_from_slice(&new);
            assert_eq!(self::refused(&bytes), error);
        }
    }
}
