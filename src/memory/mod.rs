//! The caller's memory: what lies where, and the slices that the rest works in.

#[cfg(feature = "alloc")]
#[allow(unsafe_code)]
mod aligned;
#[allow(unsafe_code)]
pub(crate) mod known;
pub(crate) mod layout;
pub(crate) mod sizes;
#[allow(unsafe_code)]
pub(crate) mod workspace;

#[cfg(feature = "alloc")]
pub(crate) use aligned::zeros;
#[cfg(feature = "alloc")]
pub use aligned::{Aligned, AlignedBytes};
pub use layout::{ALIGNMENT, Layout};
pub use sizes::Sizes;
