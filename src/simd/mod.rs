//! Vector kernels: one algorithm for every instruction set, with the same bits on each.
//!
//! A [`Vector`] is always 64 bytes wide, 16 `f32` or 8 `f64`, whatever registers it is made
//! of; every loop is written once over it. A [`Kernel`] is a loop with its operands;
//! [`Real::dispatch`] compiles it for each instruction set and runs it on the one asked for.
//! Since the width, the order of operations and every rounding are fixed, results do not
//! depend on the instruction set.
// Tiles are indexed as in the formulas.
#![allow(clippy::needless_range_loop)]
// A branch on a constant, unlike a guard, keeps what it excludes from being compiled.
#![allow(clippy::collapsible_match)]

mod interleaved;
mod isa;
mod kernels;
mod layers;
pub(crate) mod math;
pub(crate) mod matmul;
#[cfg(feature = "measure")]
pub mod peak;
mod real;
mod systems;
mod vector;

pub use isa::level::Level;
pub(crate) use kernels::Kernels;
pub use real::Real;
pub(crate) use vector::{Arithmetic, Kernel, Vector};

pub(crate) mod ops {
    //! What the kernels take and give; they themselves are methods of [`Kernels`](super::Kernels).
    pub(crate) use super::interleaved::Interleaved;
    pub(crate) use super::layers::lanes::{Layers, Passes};
    pub(crate) use super::layers::mixture::{CurveStep, Table, table_len};
    pub(crate) use super::layers::natural::{Average, Squares, Terms};
    pub(crate) use super::layers::pointwise::{
        Keep, LogDensity, Map, Nonlinearity, Units, Values, map,
    };
    pub(crate) use super::matmul::epilogue::{Adam, Ascend, Gradient, Momentum, Scaled};
}
