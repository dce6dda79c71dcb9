//! Vector kernels: one algorithm for every instruction set, with the same bits on each.
//!
//! A [`Block`] is always 64 bytes wide, 16 `f32` or 8 `f64`, whatever registers it is made
//! of; every loop is written once over it. A [`Kernel`] is a loop with its operands;
//! [`Real::dispatch`] compiles it for each instruction set and runs it on the one asked for.
//! Since the width, the order of operations and every rounding are fixed, results do not
//! depend on the instruction set.
// Tiles are indexed as in the formulas.
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod elementwise;
mod level;
pub(crate) mod math;
pub(crate) mod matrix;
mod pointwise;
mod portable;
mod product;
mod real;
mod sink;

pub(crate) use block::{Block, Kernel};
pub use level::Level;
pub use real::Real;

pub(crate) mod ops {
    //! The loops, as safe functions on slices.
    pub(crate) use super::elementwise::*;
    pub(crate) use super::pointwise::*;
    pub(crate) use super::product::*;
    pub(crate) use super::sink::*;
}
