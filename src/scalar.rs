//! The numbers that everything is generic over.

use crate::memory::workspace::Plain;
use crate::simd::Real;

/// Numbers that a [`Session`](crate::Session) computes with: `f32` or `f64`.
#[allow(private_bounds)]
pub trait Scalar: Real + Plain {}
impl Scalar for f32 {}
impl Scalar for f64 {}
