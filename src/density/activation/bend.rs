//! `s(y) = y + alpha (sqrt(y^2 + r^2) - r)` with `alpha = tanh theta` and `r = 1 / c` learned: a line that
//! bends at 0, to slopes `1 - alpha` and `1 + alpha`. From `theta = 0` on it can bend to either side,
//! where a kink of fixed sign would have to cross a singular weight.
//!
//! With `h = sqrt(y^2 + r^2)` and `q = y / h`: `s' = 1 + alpha q`, `s'' = alpha r^2 / h^3`.

use crate::simd::ops::Values;
use crate::simd::{Arithmetic, Real, Vector};

/// Beyond this, r is nothing beside y.
fn far<T: Real>() -> f64 {
    libm::sqrt(T::MAX.to_f64()) * 1e-3
}

/// `sqrt(y^2 + r^2)` without overflow.
#[inline(always)]
fn hypotenuse<T: Real, S: Arithmetic<T>>(y: S, r: S) -> S {
    let near = y.abs().min(S::splat(T::from_f64(far::<T>())));
    near.fma(near, r.mul(r)).sqrt().max(y.abs())
}

/// h, and `h - r` without cancellation.
#[inline(always)]
fn rise<T: Real, S: Arithmetic<T>>(y: S, r: S) -> (S, S) {
    let h = hypotenuse(y, r);
    (h, y.div(h.add(r)).mul(y))
}

/// The curve.
#[inline(always)]
pub(crate) fn values<T: Real, S: Arithmetic<T>>(alpha: S, r: S, y: S) -> Values<S> {
    let (h, rise) = rise(y, r);
    let (q, p) = (y.div(h), r.div(h));
    let slope = alpha.fma(q, S::splat(T::ONE));
    let ratio = alpha.mul(p).mul(p).div(h.mul(slope));
    Values { s: alpha.fma(rise, y), slope, ratio }
}

/// Takes a sample into the sums over samples that the gradient by theta and `log c` is made of, without
/// the factors `1 - alpha^2` and `alpha`, with `g` the derivative of its log-likelihood by `s(y)` and
/// `over = 1 / s'`, both times its weight:
///
/// `(1 - alpha^2) ((h - r) g + q / s')` by theta,
/// `alpha (r (1 - r / h) g + q (r / h)^2 / s')` by `log c`.
#[inline(always)]
pub(crate) fn add<T: Real, S: Arithmetic<T>>(sums: &mut [S; 2], r: S, y: S, [g, over]: [S; 2]) {
    let (h, rise) = rise(y, r);
    let (q, p) = (y.div(h), r.div(h));
    let q_over = q.mul(over);
    sums[0] = rise.fma(g, sums[0].add(q_over));
    // r (1 - r / h) = p (h - r).
    sums[1] = p.mul(rise).fma(g, p.mul(p).fma(q_over, sums[1]));
}

/// y with `s(y) = t`, in closed form: with `T = t + alpha r` and `p = sqrt(T^2 + (1 - alpha^2) r^2)`
/// `y = (T - alpha p) / (1 - alpha^2)`, or, where that cancels, `t (t + 2 alpha r) / (T + alpha p)`.
#[inline(always)]
pub(crate) fn preimage<T: Real, S: Vector<T>>(alpha: S, r: S, t: S) -> S {
    let (zero, one, two) = (S::zero(), S::splat(T::ONE), S::splat(T::from_f64(2.0)));
    let shifted = alpha.fma(r, t);
    let left = one.sub(alpha).mul(one.add(alpha));
    let p = hypotenuse(shifted, left.sqrt().mul(r));
    let cancels = alpha.mul(shifted);
    let of = |yes: S, no: S| S::select_lt(zero, cancels, yes, no);
    let numerator = of(t, shifted.sub(alpha.mul(p)));
    let factor = of(two.mul(alpha).fma(r, t), one);
    numerator.mul(factor.div(of(alpha.fma(p, shifted), left)))
}

/// The curves that every unit starts with: lines, whose bends would be as wide as standardised
/// pre-activations are. Two rows of `dim`, theta and `log c`.
pub(crate) fn start<T: Real>(params: &mut [T]) {
    params.fill(T::ZERO);
}
