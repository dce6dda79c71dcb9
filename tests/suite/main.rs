//! Whole-system tests, in one program: the kernels are compiled for it once.

mod common;
mod condition;

mod bits;
#[cfg(feature = "files")]
mod digits;
mod failures;
mod golden;
mod gradients;
mod inference;
mod inverse;
mod learned;
mod log_det;
mod max_batch;
mod memory;
mod properties;
#[path = "../reference.rs"]
mod reference;
mod refusals;
mod split;
mod starts;
mod stationary;
mod stress;
mod trust_region;
