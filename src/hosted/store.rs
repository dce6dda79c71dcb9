//! Models to and from model files.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::path::Path;
use std::string::ToString;
use std::vec::Vec;

use super::columns::Columns;
use super::error::{FileError, FileResult};
use super::model_file::{ModelFile, Parameters};
use super::model_format::{ORIGIN, STANDARD};
use super::observed::{Observed, Reading};
use super::origin::Origin;
use super::preprocess::Preprocess;
use crate::{Config, Model, Scalar};

impl Parameters {
    /// The numbers in the precision of `T`.
    pub fn to_vec<T: Scalar>(&self) -> Vec<T> {
        match self {
            Parameters::F32(p) => p.iter().map(|v| T::from_f64((*v).into())).collect(),
            Parameters::F64(p) => p.iter().map(|v| T::from_f64(*v)).collect(),
        }
    }

    fn of<T: Scalar>(params: &[T]) -> Self {
        if T::BITS == 32 {
            return Parameters::F32(params.iter().map(|v| v.to_f64() as f32).collect());
        }
        Parameters::F64(params.iter().map(|v| v.to_f64()).collect())
    }
}

/// The metadata key of the columns that a model takes.
const COLUMNS: &str = "columns";
/// The metadata key of a model's preprocessing.
const PREPROCESS: &str = "preprocess";

impl ModelFile {
    /// The file of a model: its parameters, not the optimiser's state.
    pub fn of<T: Scalar>(model: &Model<T>) -> Self {
        let c = model.config();
        ModelFile {
            dim: c.dim,
            layers: c.layers,
            activation: c.activation,
            final_activation: c.final_activation,
            base: c.base,
            bias: c.bias,
            condition: c.condition,
            conditioned: c.conditioned,
            observed: None,
            input_transform: c.input_transform,
            origin: None,
            parameters: Parameters::of(model.params()),
            extra: BTreeMap::new(),
            extra_tensors: BTreeMap::new(),
        }
    }

    /// Says in the file what is taken off data, in f64, before the model sees them.
    pub fn with_origin(self, origin: Option<Origin>) -> Self {
        ModelFile { origin, ..self }
    }

    /// Says in the file where conditions come from.
    pub fn with_observed(self, observed: Option<Observed>) -> Self {
        ModelFile { observed, ..self }
    }

    /// Where conditions come from; if the file does not say, they are numbers as they are, or
    /// classes by number from 0. `None` for a model without a condition.
    pub fn observed(&self) -> Option<Observed> {
        let plain = || Some(Observed { columns: None, reading: Reading::plain(self.condition)? });
        self.observed.clone().or_else(plain)
    }

    /// Says in the file how data are prepared for the model.
    pub fn with_preprocess(mut self, preprocess: Preprocess) -> Self {
        if preprocess != Preprocess::None {
            self.extra.insert(PREPROCESS.to_owned(), preprocess.to_string());
        }
        self
    }

    /// How data are prepared for the model.
    ///
    /// # Errors
    /// If the file says something unknown.
    pub fn preprocess(&self) -> FileResult<Preprocess> {
        let Some(text) = self.extra.get(PREPROCESS) else { return Ok(Preprocess::None) };
        text.parse().map_err(|e: crate::Error| {
            FileError::field(Path::new("model"), PREPROCESS, text.as_str(), e.allowed)
        })
    }

    /// Says in the file which columns of a table are the model's features.
    pub fn with_columns(mut self, columns: Option<&Columns>) -> Self {
        if let Some(text) = columns.and_then(Columns::to_metadata) {
            self.extra.insert(COLUMNS.to_owned(), text);
        }
        self
    }

    /// Which columns of a table are the model's features; without names, all of them in their
    /// order, unless the file says more.
    ///
    /// # Errors
    /// If what the file says is none of [`Columns`] for the model.
    pub fn columns(&self) -> FileResult<Columns> {
        let Some(text) = self.extra.get(COLUMNS) else { return Ok(Columns::all(self.dim)) };
        Columns::of_metadata(text, self.dim).ok_or_else(|| {
            let allowed = "must be an object of names (each once), numbers and of";
            FileError::field(Path::new("model"), COLUMNS, text.as_str(), allowed)
        })
    }

    /// The file's model as a configuration; all else as in [`Config::new`].
    pub fn config(&self) -> Config {
        Config {
            activation: self.activation,
            final_activation: self.final_activation,
            base: self.base,
            bias: self.bias,
            condition: self.condition,
            conditioned: self.conditioned,
            input_transform: self.input_transform,
            ..Config::new(self.dim, self.layers)
        }
    }
}

impl<T: Scalar> Model<T> {
    /// Writes the model's file (its parameters, not the optimiser's state), whole or not at all.
    ///
    /// # Errors
    /// Those of [`ModelFile::write`].
    pub fn save(&self, path: impl AsRef<Path>) -> FileResult<()> {
        ModelFile::of(self).write(path)
    }

    /// Reads a model's file, with the defaults of [`Config::new`] for all that is not in it.
    ///
    /// # Errors
    /// Those of [`ModelFile::read`] and [`Session::refresh`](crate::Session::refresh); a file
    /// with an [`Origin`], which a `Model` alone would not take off its data, or with conditions
    /// that are standardised.
    pub fn load(path: impl AsRef<Path>) -> FileResult<Self> {
        let path = path.as_ref();
        let file = ModelFile::read(path)?;
        if file.origin.is_some() {
            let allowed = "a Model has none: read a ModelFile, and centre data by its origin";
            return Err(FileError::field(path, ORIGIN, "present", allowed));
        }
        if let Some(Observed { reading: Reading::Numbers { .. }, .. }) = &file.observed {
            let allowed = "a Model has none: read a ModelFile, and conditions by its Reading";
            return Err(FileError::field(path, STANDARD[0], "present", allowed));
        }
        Ok(Model::from_params(file.config(), file.parameters.to_vec())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_model_is_the_same_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let data: Vec<f32> = (0..60).map(|i| (i as f32 * 0.618).fract()).collect();
        let start = crate::Start::Standardized;
        let mut model = Model::from_data(Config::new(3, 2), &data, start, 1).unwrap();
        model.save(&path).unwrap();
        let mut loaded = Model::<f32>::load(&path).unwrap();
        assert_eq!(model.params(), loaded.params());
        assert_eq!(model.config(), loaded.config());
        let mean = model.mean_log_likelihood(&data).unwrap();
        assert_eq!(mean, loaded.mean_log_likelihood(&data).unwrap());
        let origin = Origin::new([0.0, 1e9, 0.0].to_vec()).unwrap();
        ModelFile::of(&model).with_origin(Some(origin)).write(&path).unwrap();
        let refused = Model::<f32>::load(&path).err().unwrap().to_string();
        assert!(refused.contains("input.origin: present; a Model has none"), "{refused}");
    }
}
