//! `s(y) = a y + (1 - a) log(1 + e^y)`, `0 < a < 1` (GFJSH20 eq. 34).

use crate::simd::ops::Values;
use crate::simd::{Block, Real, math};

/// With `t = e^-|y|` and `q = t / (1 + t)`, both of full relative accuracy in the tails:
/// `log(1 + e^y) = max(y, 0) + log(1 + t)`, `s' = a + (1 - a) q` below 0 and `1 - (1 - a) q`
/// above, `s'' = (1 - a) t / (1 + t)^2`.
#[inline(always)]
pub(super) fn values<T: Real, S: Block<T>>(a: T, y: S) -> Values<S> {
    let (one, zero) = (S::splat(T::ONE), S::zero());
    let (a, rest) = (S::splat(a), S::splat(T::ONE - a));
    let t = math::exp_neg(y.abs().neg());
    let d = one.div(one.add(t));
    let q = t.mul(d);
    let linear = S::select_lt(y, zero, a.mul(y), y);
    let s = rest.mul(math::log1p_unit(t)).add(linear);
    let slope = S::select_lt(y, zero, rest.fma(q, a), rest.neg().fma(q, one));
    Values { s, slope, bend: rest.mul(q).mul(d) }
}

/// `s(0) = (1 - a) log 2`, slopes from `a` to 1.
pub(super) fn range<T: Real>(a: T) -> (T, T, T) {
    (T::from_f64((1.0 - a.to_f64()) * core::f64::consts::LN_2), a, T::ONE)
}
