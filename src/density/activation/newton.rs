//! Inverting an activation: Newton's method from 0, guarded by a bracket.

use super::{Curve, Fixed, bend};
use crate::config::Learned;
use crate::simd::ops::{Map, Table, Units, map};
use crate::simd::{Real, Vector};
use crate::threads::parallel::Exec;

/// How the inversions of a call went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preimage {
    /// The most iterations that an element took.
    pub iterations: u32,
    /// The largest `|s(y) - t| / max(|t|, |s(0)|)`, of targets below the normal numbers by about
    /// the least of those; of tanh mixtures
    /// `|s(y) - t| / (|t| + sum w + s'(y) |y|)`, since they may be steep far from 0; of bends
    /// `|s(y) - t| / max(|t|, |y|, 1 / c)`.
    pub residual: f64,
}

impl Preimage {
    /// The worse of two, field by field.
    pub(crate) fn worst(self, other: Self) -> Self {
        Preimage {
            iterations: self.iterations.max(other.iterations),
            residual: self.residual.max(other.residual),
        }
    }
}

/// Enough for any bracket to be halved down to neighbouring numbers where Newton's steps fail.
const MAX_ITERATIONS: u32 = 200;

/// A preimage of a larger residual is none: it lies beyond the range of numbers.
fn most_residual<T: Real>() -> T {
    T::from_f64(1e3 * T::EPSILON)
}

/// Replaces every target `t` by `y` with `s(y) = t`; infinite where `y` does not fit.
pub(crate) fn invert<T: Real>(exec: Exec, curve: Curve<T>, t: &mut [T]) -> Preimage {
    if let Curve::Fixed(Fixed::Identity) = curve {
        return Preimage::default();
    }
    let mut newton = Newton { curve, worst: Preimage::default() };
    map(exec, t, &mut newton);
    newton.worst
}

struct Newton<'a, T> {
    curve: Curve<'a, T>,
    worst: Preimage,
}

/// Where a preimage lies, and what its residual is measured by.
struct Bracket<S> {
    low: S,
    high: S,
    scale: S,
}

impl<T: Real> Curve<'_, T> {
    /// The slopes of a fixed curve bound the root, `|t - s(0)| / most <= |y| <= |t - s(0)| / least`,
    /// those of a learned one do by `|s(y) - beta y| <= sum w`. The ends give way a little for
    /// rounding.
    #[inline(always)]
    fn bracket<S: Vector<T>>(&self, units: Units, t: S) -> Bracket<S> {
        let (zero, largest) = (S::zero(), S::splat(T::MAX));
        let wider = S::splat(T::from_f64(1.0 + 1e-5));
        let bounded = |x: S| x.abs().min(largest).copysign(x);
        match self {
            Curve::Fixed(curve) => {
                let (s0, least, most) = curve.range();
                let rise = t.sub(S::splat(s0));
                let near = rise.div(S::splat(most)).mul(S::splat(T::from_f64(1.0 - 1e-5)));
                let far = bounded(rise.div(S::splat(least)).mul(wider));
                // At rise 0 the bracket is [0, 0]; open it by what rounding of s(0) may hide.
                let slack = S::splat(T::from_f64(4.0 * T::EPSILON * s0.to_f64() / least.to_f64()));
                Bracket {
                    low: S::select_lt(rise, zero, far, near).sub(slack),
                    high: S::select_lt(rise, zero, near, far).add(slack),
                    scale: t.abs().max(S::splat(s0)),
                }
            }
            Curve::Learned(table) => {
                let (beta, sum) = table.bounds::<S>(units);
                let scale = t.abs().add(sum);
                let (middle, reach) = (bounded(t.div(beta)), bounded(sum.div(beta).mul(wider)));
                let slack = middle.abs().mul(S::splat(T::from_f64(1e-5)));
                let reach = reach.add(slack);
                Bracket { low: bounded(middle.sub(reach)), high: bounded(middle.add(reach)), scale }
            }
        }
    }
}

impl<T: Real> Newton<'_, T> {
    /// A closed form, and one step of Newton's for its rounding.
    #[inline(always)]
    fn bend<S: Vector<T>>(&mut self, table: Table<T>, units: Units, t: S) -> S {
        let [alpha, r] = table.bend::<S>(units);
        let y = bend::preimage(alpha, r, t);
        let v = bend::values(alpha, r, y);
        let y = y.sub(v.s.sub(t).div(v.slope));
        // y is what rounding of s is measured by: it may be much larger than t.
        let size = t.abs().max(y.abs()).max(r);
        let residual = bend::values(alpha, r, y).s.sub(t).abs().div(size);
        let worst = residual.to_array().as_ref().iter().fold(0.0, |m: f64, r| m.max(r.to_f64()));
        self.worst.residual = self.worst.residual.max(worst);
        self.worst.iterations = self.worst.iterations.max(1);
        S::select_lt(residual, S::splat(most_residual()), y, S::splat(T::INFINITY))
    }
}

impl<T: Real> Map<T> for Newton<'_, T> {
    /// Fixed curves are convex or concave on either side of 0, so the iterates approach the root
    /// from one side; on learned ones they may run to and fro, and the bracket is halved where a
    /// step is not half of the move before. A lane stops when its step no longer shrinks at the level
    /// of rounding.
    #[inline(always)]
    fn map<S: Vector<T>>(&mut self, units: Units, t: S) -> S {
        let (zero, one, half) = (S::zero(), S::splat(T::ONE), S::splat(T::from_f64(0.5)));
        if let Some(table) = self.curve.table()
            && table.learned() == Learned::Bend
        {
            return self.bend(table, units, t);
        }
        let largest = S::splat(T::MAX);
        let Bracket { mut low, mut high, scale } = self.curve.bracket(units, t);
        // Of half the size, which may itself be beyond the largest number.
        let few_ulps = S::splat(T::from_f64(32.0 * T::EPSILON));
        let is_learned = self.curve.table().is_some();
        let half_size = |y: S, slope: S| match is_learned {
            true => slope.fma(half.mul(y.abs()), half.mul(scale)),
            false => half.mul(scale),
        };
        let (mut y, mut last_step, mut last_move, mut open) = (zero, largest, largest, one);
        let mut iterations = 0;
        // One place for the curve's values: its code is long.
        let v = loop {
            let v = self.curve.at(units, y);
            let closed = open.to_array().as_ref().iter().all(|o| *o == T::ZERO);
            if closed || iterations == MAX_ITERATIONS {
                break v;
            }
            iterations += 1;
            let excess = v.s.sub(t);
            high = S::select_lt(excess, zero, high, high.min(y.max(low)));
            low = S::select_lt(excess, zero, low.max(y.min(high)), low);
            let step = excess.div(v.slope);
            let newton = y.sub(step);
            let middle = half.mul(low).add(half.mul(high));
            let inside = S::select_lt(newton, low, middle, newton);
            let mut next = S::select_lt(high, inside, middle, inside);
            let tolerance = half_size(y, v.slope).mul(few_ulps);
            let settled = S::select_lt(excess.abs(), tolerance, one, zero);
            if is_learned {
                let halved = S::select_lt(step.abs(), half.mul(last_move), next, middle);
                next = S::select_lt(zero, settled, next, halved);
                last_move = next.sub(y).abs();
            }
            let shrinks = S::select_lt(step.abs(), last_step, one, zero);
            // Closed when it neither moves nor (once settled) shrinks.
            let moves = S::select_lt(zero, next.sub(y).abs(), one, zero);
            let goes_on = moves.mul(one.sub(settled.mul(one.sub(shrinks))));
            y = S::select_lt(zero, open, next, y);
            last_step = step.abs();
            open = open.mul(goes_on);
        };
        // 0 for the preimage of 0 under an odd curve; below the normal numbers y is as coarse as they.
        let least = S::splat(T::from_f64(4.0 / T::MAX.to_f64()));
        let half_scale = half_size(y, v.slope).max(least);
        let residual = half.mul(v.s.sub(t).abs()).div(half_scale);
        let worst = residual.to_array().as_ref().iter().fold(0.0, |m: f64, r| m.max(r.to_f64()));
        self.worst.residual = self.worst.residual.max(worst);
        self.worst.iterations = self.worst.iterations.max(iterations);
        // Where the range of numbers ends before the preimage, the residual stays large.
        S::select_lt(residual, S::splat(most_residual()), y, S::splat(T::INFINITY))
    }
}
