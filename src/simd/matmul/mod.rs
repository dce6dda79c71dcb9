//! Matrix products.

pub(super) mod contiguous;
pub(super) mod epilogue;
pub(crate) mod matrix;
pub(super) mod nn;
pub(super) mod nt;
pub(super) mod staggered;
