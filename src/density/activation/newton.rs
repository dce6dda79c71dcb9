//! Inverting an activation: Newton's method from 0, guarded by a bracket.

use super::Curve;
use crate::simd::ops::{Map, Nonlinearity, map};
use crate::simd::{Real, Vector};
use crate::threads::parallel::Exec;

/// How the inversions of a call went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preimage {
    /// The most iterations that an element took.
    pub iterations: u32,
    /// The largest `|s(y) - t| / max(|t|, |s(0)|)`.
    pub residual: f64,
}

/// Enough for any bracket to be halved down to neighbouring numbers where Newton's steps fail.
const MAX_ITERATIONS: u32 = 200;

/// Replaces every target `t` by `y` with `s(y) = t`; infinite where `y` does not fit.
pub(crate) fn invert<T: Real>(exec: Exec, curve: Curve<T>, t: &mut [T]) -> Preimage {
    if let Curve::Identity = curve {
        return Preimage::default();
    }
    let mut newton = Newton { curve, range: curve.range(), worst: Preimage::default() };
    map(exec, t, &mut newton);
    newton.worst
}

struct Newton<T> {
    curve: Curve<T>,
    range: (T, T, T),
    worst: Preimage,
}

impl<T: Real> Map<T> for Newton<T> {
    /// Both curves are convex or concave on either side of 0, so the iterates approach the root
    /// from one side; a lane stops when its step no longer shrinks at the level of rounding.
    #[inline(always)]
    fn map<S: Vector<T>>(&mut self, t: S) -> S {
        let (s0, least, most) = self.range;
        let (zero, one, half) = (S::zero(), S::splat(T::ONE), S::splat(T::from_f64(0.5)));
        let largest = S::splat(T::MAX);
        // The slopes bound the root: |t - s0| / most <= |y| <= |t - s0| / least. The ends give
        // way a little for rounding.
        let rise = t.sub(S::splat(s0));
        let near = rise.div(S::splat(most)).mul(S::splat(T::from_f64(1.0 - 1e-5)));
        let far = rise.div(S::splat(least)).mul(S::splat(T::from_f64(1.0 + 1e-5)));
        let far = far.abs().min(largest).copysign(far);
        let mut low = S::select_lt(rise, zero, far, near);
        let mut high = S::select_lt(rise, zero, near, far);
        // At rise 0 the bracket is [0, 0]; open it by what rounding of s(0) may hide.
        let slack = S::splat(T::from_f64(4.0 * T::EPSILON * s0.to_f64() / least.to_f64()));
        low = low.sub(slack);
        high = high.add(slack);

        let scale = t.abs().max(S::splat(s0));
        let tolerance = scale.mul(S::splat(T::from_f64(16.0 * T::EPSILON)));
        let (mut y, mut last_step, mut open) = (zero, largest, one);
        let mut iterations = 0;
        while iterations < MAX_ITERATIONS {
            iterations += 1;
            let v = self.curve.values(y);
            let excess = v.s.sub(t);
            high = S::select_lt(excess, zero, high, high.min(y.max(low)));
            low = S::select_lt(excess, zero, low.max(y.min(high)), low);
            let step = excess.div(v.slope);
            let newton = y.sub(step);
            let middle = half.mul(low).add(half.mul(high));
            let inside = S::select_lt(newton, low, middle, newton);
            let next = S::select_lt(high, inside, middle, inside);
            let settled = S::select_lt(excess.abs(), tolerance, one, zero);
            let shrinks = S::select_lt(step.abs(), last_step, one, zero);
            // Closed when it neither moves nor (once settled) shrinks.
            let moves = S::select_lt(zero, next.sub(y).abs(), one, zero);
            let goes_on = moves.mul(one.sub(settled.mul(one.sub(shrinks))));
            y = S::select_lt(zero, open, next, y);
            last_step = step.abs();
            open = open.mul(goes_on);
            if open.to_array().as_ref().iter().all(|o| *o == T::ZERO) {
                break;
            }
        }
        let residual = self.curve.values(y).s.sub(t).abs().div(scale);
        // The preimage of 0 under an odd curve: 0 / 0.
        let residual = S::select_lt(zero, scale, residual, zero);
        let worst = residual.to_array().as_ref().iter().fold(0.0, |m: f64, r| m.max(r.to_f64()));
        self.worst.residual = self.worst.residual.max(worst);
        self.worst.iterations = self.worst.iterations.max(iterations);
        // Where the range of numbers ends before the preimage, the residual stays large.
        S::select_lt(residual, half, y, S::splat(T::INFINITY))
    }
}
