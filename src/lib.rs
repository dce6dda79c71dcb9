//! relgrad trains **invertible fully connected networks by exact maximum likelihood**: density
//! estimation, anomaly scores, sampling, linear and nonlinear ICA. The log-determinant of the
//! Jacobian is optimised through relative gradients, so that a step costs `O(L D^2)` a sample
//! where the ordinary gradient pays `O(D^3)` (Gresele, Fissore, Javaloy, Schoelkopf,
//! Hyvaerinen, "Relative gradient optimization of the Jacobian term in unsupervised deep
//! learning", NeurIPS 2020; "GFJSH20" below and beside each formula).
//!
//! # The model
//!
//! `z_0 = x`, `y_k = W_k z_{k-1} + b_k`, `z_k = s(y_k)` for k = 1..L, all layers `D x D`, the last
//! one affine unless `final_activation`; the latents `z_L` are independent under a fixed density.
//!
//! ```text
//! log p(x) = sum_i log p_i(z_L[i]) + sum_k sum_i log s'(y_k[i]) + sum_k log|det W_k|
//! ```
//!
//! All of relgrad climbs the mean of this, in nats. Weights are row-major `(output, input)`,
//! batches row-major `(rows, D)`; parameters are one flat slice ([`Layout`]).
//!
//! # Where to start
//!
//! - With an allocator: [`Model`] owns everything, [`Trainer`] runs epochs over a data set.
//! - Without: [`Sizes`] says what memory a [`Config`] needs, [`Session`] works in it; no call
//!   allocates, locks or panics.
//! - From C, C++ and whatever speaks to C: `include/relgrad.h` (feature `capi`).
//! - With files: `hosted` reads .npy, .npz, .csv, IDX and raw numbers, runs trainings with
//!   checkpoints, and keeps models as safetensors.
//!
//! # Same bits everywhere
//!
//! Every output element has one fixed order of fused multiply-adds, and exp, log and tanh are
//! relgrad's own, so results do not depend on the instruction set, the number of threads, the
//! batch a row sits in, [`Config::max_batch`], or the build profile. One dependence stays, in
//! training only: with 17 to 160 features, steps of 7/8 D rows or more sum a layer's inputs in
//! another order than steps of fewer rows. Targets without hardware FMA emulate it, unless
//! `--cfg relgrad_fast_no_fma` is in RUSTFLAGS.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | (none) | the `no_std` core: [`Session`] in the caller's memory |
//! | `alloc` | `Model`, `Trainer` |
//! | `std` (default) | `Pool`, hardware FMA for portable code, panics caught at the C ABI's edge |
//! | `files` (default) | `hosted`: data readers, model files, training runs, the Gaussian baseline |
//! | `cli` | the program `relgrad` |
//! | `capi` | the C ABI |
//!
//! Features only add. Two choices are for whoever builds the program, in RUSTFLAGS:
//! `--cfg relgrad_panic_handler`, for C static libraries without std, brings a panic handler that calls C's
//! `abort`; `--cfg relgrad_fast_no_fma`, on targets without hardware FMA, multiplies and adds in two
//! roundings instead of emulating one: faster, and not the bits of other machines.
//!
//! # Finding a formula
//!
//! Folders are floors, each of which uses those before it: `threads`, `simd` and `linalg` are the
//! kernels; `density` has the curves and the densities of the latents; `memory` says what lies
//! where; `plan` chooses the ways. `step` has a file a stage, in the order of one batch: `batch`,
//! `forward`, `scores`, `backward` (or `lanes`), `summed`, `norms`, `natural`, `propose`,
//! `determinant`, `commit`; its `mod.rs` composes them. `session` is the face of it all, with starts,
//! evaluation, inverses and samples; `owned` adds memory, `hosted` files, `ffi` C.
#![no_std]
#![deny(missing_docs, missing_debug_implementations, unsafe_op_in_unsafe_fn, unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod alarm;
mod config;
mod density;
#[cfg(feature = "capi")]
#[allow(unsafe_code)]
pub mod ffi;
#[cfg(feature = "files")]
pub mod hosted;
#[cfg(feature = "alloc")]
mod ica;
mod linalg;
#[cfg(feature = "measure")]
#[doc(hidden)]
pub mod measure;
mod memory;
#[cfg(feature = "alloc")]
pub mod metrics;
mod names;
#[cfg(feature = "alloc")]
mod owned;
mod plain;
mod plan;
mod random;
mod scalar;
mod session;
#[allow(unsafe_code)]
mod simd;
mod status;
mod step;
#[allow(unsafe_code)]
mod threads;

pub use alarm::Alarm;
pub use config::{
    Activation, Base, Bias, Condition, Conditioned, Config, Crossing, Decay, Gradient, LogDet,
    Optimizer, Schedule,
};
pub use density::{CustomBase, Preimage};
#[cfg(feature = "alloc")]
pub use ica::{Component, Components, Ica, Kind, SourceDensity, Stop};
pub use memory::{ALIGNMENT, Layout, Sizes};
#[cfg(feature = "alloc")]
pub use memory::{Aligned, AlignedBytes};
#[cfg(feature = "std")]
pub use owned::Searched;
#[cfg(feature = "alloc")]
pub use owned::{Data, Model, NonlinearIca, Position, Snapshot, Stepped, Team, Trainer};
pub use scalar::Scalar;
pub use session::{Entries, Evaluator, Inverse, Inversion, Refresh, Session, Start, blob};
pub use simd::{Level, Real};
pub use status::{Error, Result, Status, Value};
pub use step::{Batch, Report, Totals};
pub use threads::ParallelFor;
#[cfg(feature = "std")]
pub use threads::Pool;

/// The README's programs.
#[cfg(all(doctest, feature = "alloc"))]
#[doc = include_str!("../README.md")]
struct Readme;
