//! `s(y) = tanh(a y) + b y`, `a, b > 0` (GFJSH20 eq. 35).

use crate::simd::ops::Values;
use crate::simd::{Arithmetic, Real, math};

/// With `e = e^(-2 a |y|)`: `tanh'(a y) = 4 a e / (1 + e)^2`, which keeps its relative accuracy
/// in the tails where `1 - tanh^2` cancels; `s'' = -2 a tanh(a y) tanh'(a y)`.
#[inline(always)]
pub(super) fn values<T: Real, S: Arithmetic<T>>(a: T, b: T, y: S) -> Values<S> {
    let one = S::splat(T::ONE);
    let (a, b) = (S::splat(a), S::splat(b));
    let (th, e) = math::tanh_exp(a.mul(y));
    let d = one.div(one.add(e));
    let bounded = S::splat(T::from_f64(4.0)).mul(a).mul(e).mul(d).mul(d);
    let bend = S::splat(T::from_f64(-2.0)).mul(a).mul(th).mul(bounded);
    let slope = bounded.add(b);
    Values { s: b.fma(y, th), slope, ratio: bend.div(slope) }
}

/// `s(0) = 0`, slopes from `b` to `a + b`.
pub(super) fn range<T: Real>(a: T, b: T) -> (T, T, T) {
    (T::ZERO, b, a + b)
}
