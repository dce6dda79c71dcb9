//! Vector kernels: one algorithm for every instruction set, with the same bits on each.
//!
//! A [`Block`] is always 64 bytes wide, 16 `f32` or 8 `f64`, whatever registers it is made
//! of; every loop is written once over it. A [`Kernel`] is a loop with its operands;
//! [`Real::dispatch`] compiles it for each instruction set and runs it on the one asked for.
//! Since the width, the order of operations and every rounding are fixed, results do not
//! depend on the instruction set.
// Tiles are indexed as in the formulas.
#![allow(clippy::needless_range_loop)]
// A branch on a constant, unlike a guard, keeps what it excludes from being compiled.
#![allow(clippy::collapsible_match)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
#[cfg(feature = "std")]
mod choice;
mod dots;
mod elementwise;
mod eliminate;
mod entry;
mod flat;
mod group;
mod level;
pub(crate) mod math;
pub(crate) mod matrix;
mod natural;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod neon;
pub(crate) mod parallel;
pub(crate) mod parts;
#[cfg(feature = "measure")]
pub mod peak;
mod pointwise;
#[cfg(feature = "std")]
mod pool;
mod portable;
mod product;
mod real;
mod sink;
mod small;
mod small_sums;
mod spread;
mod transpose;
mod triangle;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use block::{Arithmetic, Block, Kernel};
pub(crate) use entry::Kernels;
pub use level::Level;
pub use parallel::ParallelFor;
#[cfg(feature = "std")]
pub use pool::Pool;
pub use real::Real;

pub(crate) mod ops {
    //! What the kernels take and give; they themselves are methods of [`Kernels`](super::Kernels).
    pub(crate) use super::natural::{Average, Squares, Terms};
    pub(crate) use super::pointwise::{Keep, LogDensity, Map, Nonlinearity, Values, map};
    pub(crate) use super::sink::{Accumulate, Adam, Ascend, Gradient, Momentum, Plain, Scaled};
    pub(crate) use super::small::{Net, Passes};
}
