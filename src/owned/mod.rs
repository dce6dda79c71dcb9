//! Conveniences that own their memory.

pub(crate) mod data;
pub(crate) mod model;
mod nonlinear;
mod trainer;

pub use data::Data;
pub use model::{Model, Team};
pub use nonlinear::NonlinearIca;
#[cfg(feature = "std")]
pub use nonlinear::Searched;
pub use trainer::{Position, Snapshot, Stepped, Trainer};
