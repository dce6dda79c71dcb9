//! Work shared by threads: the seam to the caller's, and a pool of our own.

#[cfg(feature = "std")]
mod choice;
pub(crate) mod counters;
#[cfg(all(test, feature = "std"))]
pub(crate) mod counting;
#[cfg(feature = "std")]
pub(crate) mod each;
#[cfg(feature = "std")]
pub(crate) mod fork;
pub(crate) mod parallel;
pub(crate) mod parts;
#[cfg(feature = "std")]
mod pool;

pub use parallel::ParallelFor;
#[cfg(feature = "std")]
pub use pool::Pool;
