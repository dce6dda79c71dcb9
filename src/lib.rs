//! relgrad trains invertible fully connected networks by exact maximum likelihood.
#![no_std]
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod accumulate;
mod activation;
mod backward;
mod base_density;
mod batch;
mod config;
#[cfg(feature = "capi")]
pub mod ffi;
mod forward;
#[cfg(feature = "files")]
pub mod hosted;
mod init;
mod inverse;
mod layout;
mod likelihood;
mod linalg;
mod log_det;
mod names;
#[cfg(feature = "alloc")]
mod owned;
mod random;
mod relative;
mod sample;
mod session;
mod simd;
mod status;
mod step;
mod update;
mod workspace;

pub use accumulate::Totals;
pub use activation::Preimage;
pub use base_density::CustomBase;
pub use batch::Batch;
pub use config::{
    Activation, Base, Bias, Config, Crossing, Decay, Gradient, LogDet, Optimizer, Schedule,
};
pub use init::Start;
pub use inverse::{Inverse, Inversion};
pub use layout::{ALIGNMENT, Layout, Sizes};
#[cfg(feature = "alloc")]
pub use owned::{Model, Trainer};
pub use session::{Refresh, Scalar, Session};
pub use simd::{Level, Real};
pub use status::{Error, Result, Status, Value};
pub use step::Report;
#[cfg(feature = "alloc")]
pub use workspace::AlignedBytes;
