//! What a layer does besides its products, and whole passes with the samples in the lanes.

pub(super) mod elementwise;
pub(super) mod lane_sums;
pub(super) mod lanes;
#[cfg(feature = "alloc")]
pub(super) mod log_cosh;
pub(super) mod mixture;
pub(super) mod natural;
pub(super) mod pointwise;
