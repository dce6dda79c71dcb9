//! Data sets, model files, training runs with checkpoints, and the Gaussian that every result
//! is held against.

mod binary_files;
mod c_header;
mod checkpoint;
mod conditioning;
mod data;
mod data_files;
mod deepen;
mod error;
mod gaussian;
#[cfg(feature = "hdf5")]
mod hdf5_files;
mod kept;
mod model_file;
mod model_format;
mod preprocess;
mod replace_file;
mod rows;
mod store;
mod tensors;
mod text_files;
mod threshold;
mod toy;
mod training;

pub use binary_files::{write_npy, write_npy_rows};
pub use c_header::Precision;
pub use checkpoint::checkpoint_settings;
pub use conditioning::LayerReport;
pub use data::Data;
pub use data_files::{Format, open};
pub use error::{FileError, FileResult};
pub use gaussian::GaussianBaseline;
pub use model_file::{ExtraTensor, ModelFile, Parameters};
pub use preprocess::{Prepared, Preprocess};
pub use replace_file::replace_file;
pub use rows::{Part, Rows, for_each_chunk, in_memory};
pub use text_files::write_csv;
pub use threshold::Threshold;
pub use toy::Toy;
pub use training::{End, Epoch, Event, Plan, Training};
