//! Data sets, model files, training runs with checkpoints, and the Gaussian that every result
//! is held against.

mod arrays;
mod binary_files;
mod c_header;
mod checkpoint;
mod columns;
mod conditioning;
mod data;
mod data_files;
mod deepen;
mod error;
mod foreign;
mod gaussian;
#[cfg(feature = "hdf5")]
mod hdf5_files;
mod header;
mod kept;
mod model_file;
mod model_format;
mod npy;
mod origin;
mod preprocess;
mod replace_file;
mod rows;
mod scores;
mod segments;
mod store;
mod survey;
mod tensors;
mod text_files;
mod text_records;
mod threshold;
mod toy;
mod training;

pub use binary_files::{write_npy, write_npy_rows};
pub use c_header::Precision;
pub use checkpoint::checkpoint_settings;
pub use columns::{About, Columns, Format, Kept, parse_names};
pub use conditioning::LayerReport;
pub use data::Data;
pub use data_files::{open, split_address};
pub use error::{FileError, FileResult};
pub use gaussian::GaussianBaseline;
pub use model_file::{ExtraTensor, ModelFile, Parameters};
pub use origin::{Centring, Origin, open_centred};
pub use preprocess::{Noisy, Prepared, Preprocess};
pub use replace_file::{Destination, destination, replace_file};
pub use rows::{Part, Rows, for_each_chunk, in_memory};
pub use scores::{Scores, Unscored};
pub use segments::{Mixing, Mixture, Segments};
pub use survey::{Column, Middle, Survey};
pub use text_files::{shortest, write_csv, write_text};
pub use threshold::Threshold;
pub use toy::Toy;
pub use training::{End, Epoch, Event, Plan, Training};
