//! Conveniences that own their memory.

pub(crate) mod model;
mod nonlinear;
mod trainer;

pub use model::{Data, Model, Team};
pub use nonlinear::NonlinearIca;
pub use trainer::{Position, Snapshot, Stepped, Trainer};
