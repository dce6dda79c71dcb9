//! `s(y) = beta y + sum_j w_j tanh(a_j (y - m_j))` with learned `beta, w, a > 0` and m: a line and
//! steps, whose slope is `beta` plus a mixture of logistic densities.
//!
//! With `x = a (y - m)`, `t = tanh x` and `r = 1 - t^2`:
//!
//! `s' = beta + sum w a r`, `s'' = -2 sum w a^2 t r`.

// Steps of a group are indexed as in the formulas.
#![allow(clippy::needless_range_loop)]

use crate::simd::ops::{Interleaved, Values};
use crate::simd::{Arithmetic, Real, Vector, math};

/// A step's parameters, in the order in which [`Table`](crate::simd::ops::Table) has them.
#[derive(Clone, Copy)]
pub(crate) struct Step<S> {
    pub weight: S,
    /// `w a`, the slope at the center.
    pub rise: S,
    pub steepness: S,
    pub center: S,
}

/// Runs the body for `steps` steps by groups: `N` steps, a constant, from step `j` on, four where
/// blocks are better off so ([`Vector::INTERLEAVE`]). A step's arithmetic does not depend on the
/// others in its group but for the pairs of [`reciprocals`].
macro_rules! for_steps {
    ($S:ident, $steps:expr, |$j:ident, $N:ident| $body:block) => {{
        let (mut $j, steps) = (0, $steps);
        while $S::INTERLEAVE && $j + 4 <= steps {
            const $N: usize = 4;
            $body
            $j += $N;
        }
        while $j + 2 <= steps {
            const $N: usize = 2;
            $body
            $j += $N;
        }
        if $j < steps {
            const $N: usize = 1;
            $body
        }
    }};
}
pub(crate) use for_steps;

/// Steps `j .. j + N`, of which `get(j)` gives the parameters.
#[inline(always)]
pub(crate) fn group<S: Copy, const N: usize>(
    get: impl Fn(usize) -> Step<S> + Copy,
    j: usize,
) -> [Step<S>; N] {
    let mut of = [get(j); N];
    for g in 1..N {
        of[g] = get(j + g);
    }
    of
}

/// `x`, `t` and `r` of N steps.
#[derive(Clone, Copy)]
pub(crate) struct Bends<S, const N: usize> {
    pub x: Interleaved<S, N>,
    pub t: Interleaved<S, N>,
    pub r: Interleaved<S, N>,
}

impl<S, const N: usize> Bends<S, N> {
    /// With `e = e^(-2|x|)` and `q = e - 1`, each of full relative accuracy: `|t| = -q / (2 + q)`,
    /// `r = (1 - |t|) (1 + |t|) = 2 e (1 + |t|) / (2 + q)`. Where r is 0 in all but name, x goes no
    /// further.
    #[inline(always)]
    pub fn new<T: Real>(steps: &[Step<S>; N], y: S) -> Self
    where
        S: Arithmetic<T>,
    {
        let mut x = Interleaved([S::zero(); N]);
        for g in 0..N {
            x.0[g] = steps[g].steepness.mul(y.sub(steps[g].center));
        }
        let most = Interleaved::splat(T::from_f64(0.5 * math::most_exponent::<T>()));
        let magnitude = x.abs().min(most);
        let (e, q) = math::exp_and_expm1(magnitude.mul(Interleaved::splat(T::from_f64(-2.0))));
        let over = reciprocals(q.add(Interleaved::splat(T::from_f64(2.0))));
        let (t, two) = (q.neg().mul(over), Interleaved::splat(T::from_f64(2.0)));
        let r = e.mul(over).mul(two.fma(t, two));
        Bends { x: magnitude.copysign(x), t: t.copysign(x), r }
    }
}

/// `1 / d` of numbers between 1 and 2, one division for two of them.
#[inline(always)]
fn reciprocals<T: Real, S: Arithmetic<T>, const N: usize>(
    d: Interleaved<S, N>,
) -> Interleaved<S, N> {
    let (one, mut out) = (S::splat(T::ONE), d);
    let mut g = 0;
    while g + 2 <= N {
        let over = one.div(d.0[g].mul(d.0[g + 1]));
        out.0[g] = over.mul(d.0[g + 1]);
        out.0[g + 1] = over.mul(d.0[g]);
        g += 2;
    }
    if g < N {
        out.0[g] = one.div(d.0[g]);
    }
    out
}

/// The curve of `steps` steps, of which `get(j)` gives the parameters.
#[inline(always)]
pub(crate) fn values<T: Real, S: Vector<T>>(
    beta: S,
    steps: usize,
    // By value: calls through a reference to it are not always inlined, and then slow.
    get: impl Fn(usize) -> Step<S> + Copy,
    y: S,
) -> Values<S> {
    let (mut s, mut slope, mut bend) = (beta.mul(y), beta, S::zero());
    for_steps!(S, steps, |j, N| {
        let of = group::<S, N>(get, j);
        let bends = Bends::<S, N>::new(&of, y);
        for g in 0..N {
            let (t, r) = (bends.t.0[g], bends.r.0[g]);
            let rise = of[g].rise.mul(r);
            s = of[g].weight.fma(t, s);
            slope = slope.add(rise);
            bend = of[g].steepness.mul(t).fma(rise, bend);
        }
    });
    let ratio = bend.mul(S::splat(T::from_f64(-2.0))).div(slope);
    Values { s, slope, ratio }
}

/// The sums over samples that a step's gradient is made of, without the factors w and `w a`.
#[derive(Clone, Copy)]
pub(crate) struct StepSums<S> {
    pub weight: S,
    pub steepness: S,
    pub center: S,
}

/// Takes a sample into the sums, with `g` the derivative of its log-likelihood by `s(y)` and
/// `over = 1 / s'`, both times its weight: a sample's log-likelihood has the derivatives
///
/// `w (t g + a r / s')` by `log w`,
/// `w r (x g + a (1 - 2 x t) / s')` by `log a`,
/// `w a r (-g + 2 a t / s')` by m.
#[inline(always)]
pub(crate) fn add<T: Real, S: Arithmetic<T>>(
    sums: &mut StepSums<S>,
    steepness: S,
    [x, t, r]: [S; 3],
    [g, over]: [S; 2],
) {
    let (one, two) = (S::splat(T::ONE), S::splat(T::from_f64(2.0)));
    let (a_over, t2) = (steepness.mul(over), t.mul(two));
    sums.weight = t.fma(g, r.fma(a_over, sums.weight));
    let by_log_a = x.mul(g).sub(t2.fma(x, one.neg()).mul(a_over));
    sums.steepness = r.fma(by_log_a, sums.steepness);
    sums.center = r.fma(t2.fma(a_over, g.neg()), sums.center);
}

/// The curves that every unit starts with: [`STEEPNESS`] and [`SLOPE`], as a leaky tanh has them,
/// steps of weight `1 / K` evenly over [`SPREAD`] on either side of 0, where standardised
/// pre-activations are. `1 + 3 K` rows of `dim`.
pub(crate) fn start<T: Real>(params: &mut [T], dim: usize, steps: usize) {
    let count = steps as f64;
    for (row, params) in params.chunks_exact_mut(dim).enumerate() {
        let value = match row.checked_sub(1) {
            None => libm::log(SLOPE),
            Some(j) if j < steps => -libm::log(count),
            Some(j) if j < 2 * steps => libm::log(STEEPNESS),
            Some(j) if steps > 1 => SPREAD * (2.0 * (j - 2 * steps) as f64 / (count - 1.0) - 1.0),
            Some(_) => 0.0,
        };
        params.fill(T::from_f64(value));
    }
}

const SLOPE: f64 = 0.5;
const STEEPNESS: f64 = 3.0;
const SPREAD: f64 = 1.5;
