//! Conveniences that own their memory.

pub(crate) mod model;
mod trainer;

pub use model::{Data, Model, Team};
pub use trainer::{Position, Snapshot, Stepped, Trainer};
