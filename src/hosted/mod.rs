//! Files: data sets, models, and the Gaussian that every result is held against.

mod data;
mod data_files;
mod error;
mod gaussian;
mod model_file;
mod model_format;
mod replace_file;
mod store;

pub use data::Data;
pub use data_files::write_npy;
pub use error::{FileError, FileResult};
pub use gaussian::GaussianBaseline;
pub use model_file::{ExtraTensor, ModelFile, Parameters};
