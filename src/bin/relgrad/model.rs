//! Model files of either precision.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use relgrad::hosted::{
    Columns, ModelFile, Observed, Origin, Parameters, Prepared, Preprocess, Rows,
};
use relgrad::{Model, Pool, Scalar};

use crate::conditions::joint;
use crate::data::{check_stream, prepared};
use crate::failure::Failure;
use crate::flags::Format;
use crate::outputs;

/// A model and what its file says beside it.
pub struct Opened<T> {
    pub model: Model<T>,
    pub preprocess: Preprocess,
    /// The columns of a table that are its features.
    pub columns: Columns,
    pub origin: Option<Origin>,
    /// Where conditions come from; `None` without any.
    pub observed: Option<Observed>,
}

/// Rows of a call of the kernels that only evaluate a model: so many that more are no faster, unless
/// a great number of layers make each of them long.
pub fn batch_of(config: &relgrad::Config) -> usize {
    // Three blocks a layer at least, in single precision; 64 MiB.
    let row = 3 * config.layers.saturating_mul(config.dim.next_multiple_of(16));
    (MOST_OF_ROWS / row.max(1)).clamp(LEAST_BATCH, BATCH)
}

const BATCH: usize = 256;
const LEAST_BATCH: usize = 16;
const MOST_OF_ROWS: usize = 1 << 24;

impl<T: Scalar + 'static> Opened<T> {
    /// The rows of a file as the model sees them, with their conditions if it has one.
    pub fn rows(
        &self,
        path: &Path,
        format: &Format,
        seed: Option<u64>,
    ) -> Result<Box<dyn Rows<T>>, Failure> {
        let rows = self.features(path, format, seed)?;
        joint(rows, self.observed.as_ref(), path, format.condition.as_ref())
    }

    /// The same without conditions.
    pub fn features(
        &self,
        path: &Path,
        format: &Format,
        seed: Option<u64>,
    ) -> Result<Prepared<Box<dyn Rows<T>>>, Failure> {
        if let Some(seed) = seed.filter(|_| !dequantises(&self.preprocess)) {
            return Err(format!("--seed {seed}: no effect: no data are dequantised here").into());
        }
        let preparation = (self.origin.as_ref(), self.preprocess);
        self.prepared(path, format, &self.columns, preparation, seed.unwrap_or(1))
    }

    /// The rows of a file as they are: latents, or data prepared elsewhere; without conditions.
    pub fn plain_features(
        &self,
        path: &Path,
        format: &Format,
        columns: &Columns,
    ) -> Result<Prepared<Box<dyn Rows<T>>>, Failure> {
        self.prepared(path, format, columns, (None, Preprocess::None), 0)
    }

    fn prepared(
        &self,
        path: &Path,
        format: &Format,
        columns: &Columns,
        preparation: (Option<&Origin>, Preprocess),
        seed: u64,
    ) -> Result<Prepared<Box<dyn Rows<T>>>, Failure> {
        check_stream(path, format)?;
        let format = format.of_model(columns, self.observed.as_ref());
        prepared(path, &format, preparation, seed, (self.model.config().dim, "the model"))
    }

    pub fn of(file: &ModelFile) -> Result<Self, Failure> {
        let config = file.config();
        let config = relgrad::Config { max_batch: batch_of(&config), ..config };
        let mut model = Model::blank(config)?.with_parallel(threads(None)?);
        model.set_params(&file.parameters.to_vec())?;
        let (columns, origin) = (file.columns()?, file.origin.clone());
        let (preprocess, observed) = (file.preprocess()?, file.observed());
        Ok(Opened { model, preprocess, columns, origin, observed })
    }

    /// Samples, all given the same condition if the model has one.
    pub fn draw(&mut self, rows: usize, given: Option<&[T]>, seed: u64) -> Result<Vec<T>, Failure> {
        Ok(match given {
            Some(given) => {
                let (len, mut all) = (given.len().saturating_mul(rows), Vec::new());
                if all.try_reserve_exact(len).is_err() {
                    let allowed = "must be as many as there is memory for";
                    return Err(format!("rows: {rows}; {allowed}").into());
                }
                all.resize(len, T::ZERO);
                all.chunks_exact_mut(given.len()).for_each(|to| to.copy_from_slice(given));
                self.model.sample_given(&all, seed)?
            }
            None => self.model.sample(rows, seed)?,
        })
    }

    /// Names of the features.
    pub fn names(&self) -> Option<&[String]> {
        self.columns.names.as_deref()
    }

    /// Rows of the model in the data's own units and place.
    pub fn restore(&self, mut rows: Vec<T>) -> Restored<T> {
        self.preprocess.undo(&mut rows);
        match &self.origin {
            None => Restored::Own(rows),
            Some(origin) => Restored::Wide(origin.restore(&rows)),
        }
    }
}

/// Rows as they are written: in f64 if the model's precision does not hold them.
pub enum Restored<T> {
    Own(Vec<T>),
    Wide(Vec<f64>),
}

impl<T: Scalar> Restored<T> {
    pub fn write(&self, path: &Path, dim: usize, names: Option<&[String]>) -> Result<(), Failure> {
        match self {
            Restored::Own(rows) => outputs::write(path, dim, rows, names),
            Restored::Wide(rows) => outputs::write(path, dim, rows, names),
        }
    }

    pub fn values(&self) -> Vec<f64> {
        match self {
            Restored::Own(rows) => rows.iter().map(|v| v.to_f64()).collect(),
            Restored::Wide(rows) => rows.clone(),
        }
    }
}

/// Whether noise is drawn for data, so that a seed matters.
pub fn dequantises(preprocess: &Preprocess) -> bool {
    !matches!(preprocess, Preprocess::None | Preprocess::Logit { levels: None, .. })
}

/// So many threads, or all that the machine runs at once.
pub fn threads(count: Option<NonZeroUsize>) -> Result<Arc<Pool>, Failure> {
    let pool = count.map_or_else(Pool::of_machine, |n| Pool::new(n.get()));
    Ok(Arc::new(pool.map_err(|e| format!("threads: {e}"))?))
}

/// How many.
pub fn thread_count(count: Option<NonZeroUsize>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    count.map_or_else(all, NonZeroUsize::get)
}

/// What a command does with a model, whatever its precision.
pub trait Use {
    fn with<T: Scalar + 'static>(self, file: ModelFile, model: Opened<T>) -> Result<(), Failure>;
}

/// Opens the model at `path` and hands it over.
pub fn open(path: &Path, what: impl Use) -> Result<(), Failure> {
    let file = ModelFile::read(path)?;
    match file.parameters {
        Parameters::F32(_) => {
            let model = Opened::<f32>::of(&file)?;
            what.with(file, model)
        }
        Parameters::F64(_) => {
            let model = Opened::<f64>::of(&file)?;
            what.with(file, model)
        }
    }
}
