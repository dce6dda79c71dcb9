//! `s(y) = a y + (1 - a) log(1 + e^y)`, `0 < a < 1` (GFJSH20 eq. 34).

use crate::simd::ops::Values;
use crate::simd::{Arithmetic, Real, math};

/// With `t = e^-|y|` and `n = a + t` below 0, `1 + a t` above, all of full relative accuracy in the
/// tails: `log(1 + e^y) = max(y, 0) + log(1 + t)`, `s' = n / (1 + t)`,
/// `s''/s' = (1 - a) t / ((1 + t) n)`. One quotient, `r = 1 / (n (1 + t) (2 + t))`, serves all,
/// the logarithm's `t / (2 + t)` too.
#[inline(always)]
pub(super) fn values<T: Real, S: Arithmetic<T>>(a: T, y: S) -> Values<S> {
    let (one, zero) = (S::splat(T::ONE), S::zero());
    let (a, rest) = (S::splat(a), S::splat(T::ONE - a));
    let t = math::exp_neg(y.abs().neg());
    let n = S::select_lt(y, zero, a.add(t), a.fma(t, one));
    let two = S::splat(T::from_f64(2.0));
    let (above, both) = (two.add(t), n.mul(one.add(t)));
    let r = one.div(both.mul(above));
    let of_both = r.mul(above);
    let log = math::log1p_unit_given(t, t.mul(both).mul(r));
    let linear = S::select_lt(y, zero, a.mul(y), y);
    let slope = n.mul(n).mul(of_both);
    Values { s: rest.fma(log, linear), slope, ratio: rest.mul(t).mul(of_both) }
}

/// `s(0) = (1 - a) log 2`, slopes from `a` to 1.
pub(super) fn range<T: Real>(a: T) -> (T, T, T) {
    (T::from_f64((1.0 - a.to_f64()) * core::f64::consts::LN_2), a, T::ONE)
}
