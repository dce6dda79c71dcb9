//! Memory as numbers.

/// Numbers for which every bit pattern is valid.
pub trait Plain: Copy + 'static {}
impl Plain for u8 {}
impl Plain for f32 {}
impl Plain for f64 {}
impl Plain for u64 {}
