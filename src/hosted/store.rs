//! Models to and from model files.

use std::collections::BTreeMap;
use std::path::Path;
use std::vec::Vec;

use super::error::FileResult;
use super::model_file::{ModelFile, Parameters};
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

impl ModelFile {
    /// The file's model as a configuration; all else as in [`Config::new`].
    pub fn config(&self) -> Config {
        Config {
            activation: self.activation,
            final_activation: self.final_activation,
            base: self.base,
            bias: self.bias,
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
        let c = self.config();
        let file = ModelFile {
            dim: c.dim,
            layers: c.layers,
            activation: c.activation,
            final_activation: c.final_activation,
            base: c.base,
            bias: c.bias,
            input_transform: c.input_transform,
            parameters: Parameters::of(self.params()),
            extra: BTreeMap::new(),
            extra_tensors: BTreeMap::new(),
        };
        file.write(path)
    }

    /// Reads a model's file, with the defaults of [`Config::new`] for all that is not in it.
    ///
    /// # Errors
    /// Those of [`ModelFile::read`] and [`Session::refresh`](crate::Session::refresh).
    pub fn load(path: impl AsRef<Path>) -> FileResult<Self> {
        let file = ModelFile::read(path)?;
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
    }
}
