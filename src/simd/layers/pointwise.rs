//! Nonlinearities and densities over rows; their formulas come from outside, as functions on
//! blocks.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::density::activation::Curve;
use crate::simd::interleaved::{Interleaved, for_interleaved};
use crate::simd::layers::elementwise::{Finite, RowSum};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Arithmetic, Kernel, Real, Vector, math};
use crate::threads::parallel::Exec;

/// `s(y)`, `s'(y)` and `s''(y) / s'(y)`.
#[derive(Clone, Copy)]
pub(crate) struct Values<S> {
    pub s: S,
    pub slope: S,
    pub ratio: S,
}

/// Which of a layer's units the lanes of a block are.
#[derive(Clone, Copy)]
pub(crate) enum Units {
    /// So many from this one on.
    From(usize, usize),
    /// This one, of as many samples.
    One(usize),
}

/// A function of each unit's pre-activation with its derivatives; methods must be
/// `#[inline(always)]`.
pub(crate) trait Nonlinearity<T: Real>: Copy + Sync {
    /// Whether blocks gain by going side by side.
    const INTERLEAVE: bool;

    /// Of blocks, `units(g)` saying whose block g is. `s` must not be finite where y is not.
    fn values<S: Vector<T>, const N: usize>(
        &self,
        units: impl Fn(usize) -> Units,
        y: Interleaved<S, N>,
    ) -> Values<Interleaved<S, N>>;
}

/// A log-density of one latent; methods must be `#[inline(always)]`.
pub(crate) trait LogDensity<T: Real>: Copy + Sync {
    /// `log p(z)` but for the constant, and its derivative.
    fn log_p_and_score<S: Arithmetic<T>>(&self, z: S) -> (S, S);
    /// What is missing in `log p(z)`.
    fn constant(&self) -> f64;
}

/// A function of each unit that also tells how it went; methods must be `#[inline(always)]`.
pub(crate) trait Map<T: Real> {
    fn map<S: Vector<T>>(&mut self, units: Units, x: S) -> S;
}

/// Replaces every element of `x`, one a unit, by its image. Lanes past the end see zeros.
pub(crate) fn map<T: Real, F: Map<T>>(exec: Exec, x: &mut [T], f: &mut F) {
    struct Run<'a, T, F>(&'a mut [T], &'a mut F);
    impl<T: Real, F: Map<T>> Kernel<T> for Run<'_, T, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let p = self.0.as_mut_ptr();
            // Not `for_blocks`, which would have the body twice: it is long.
            for c in (0..self.0.len()).step_by(T::LANES) {
                let n = T::LANES.min(self.0.len() - c);
                // SAFETY: the slice has the elements c..c+n.
                unsafe {
                    self.1.map(Units::From(c, n), S::load_n(p.add(c), n)).store_n(p.add(c), n)
                }
            }
        }
    }
    T::dispatch(exec.level, Run(x, f));
}

/// What a pass through a nonlinearity leaves behind.
pub(crate) enum Keep<'a, T> {
    /// Only its values.
    Values,
    /// And the sum of `log s'` of each row, added.
    LogSlopes(&'a mut [f64]),
    /// And `s'` and `s''/s'`, for the backward pass.
    Derivatives { log_slopes: &'a mut [f64], slope: MatMut<'a, T>, ratio: MatMut<'a, T> },
}

/// A [`Keep`] that threads can share.
struct KeepParts<'a, T> {
    log_slopes: Option<MatMut<'a, f64>>,
    derivatives: Option<(MatMut<'a, T>, MatMut<'a, T>)>,
}

impl<'a, T> Keep<'a, T> {
    fn into_parts(self) -> KeepParts<'a, T> {
        let column = |l: &'a mut [f64]| {
            let rows = l.len();
            Some(MatMut::new(l, rows, 1))
        };
        match self {
            Keep::Values => KeepParts { log_slopes: None, derivatives: None },
            Keep::LogSlopes(l) => KeepParts { log_slopes: column(l), derivatives: None },
            Keep::Derivatives { log_slopes, slope, ratio } => {
                KeepParts { log_slopes: column(log_slopes), derivatives: Some((slope, ratio)) }
            }
        }
    }
}

/// `z = s(u + b)` row by row; `u` becomes `u + b` if `keep_y`. False if a pre-activation or a
/// value is not finite.
pub(crate) fn activate<T: Real>(
    exec: Exec,
    curve: Curve<T>,
    u: MatMut<T>,
    bias: Option<Mat<T>>,
    keep_y: bool,
    z: MatMut<T>,
    keep: Keep<T>,
) -> bool {
    assert!(u.rows == z.rows && u.cols == z.cols);
    assert!(bias.is_none_or(|b| (b.rows, b.cols) == (u.rows, u.cols)));
    match &keep {
        Keep::Values => {}
        Keep::LogSlopes(l) => assert!(l.len() >= u.rows),
        Keep::Derivatives { log_slopes, slope, ratio } => assert!(
            log_slopes.len() >= u.rows
                && (slope.rows, slope.cols) == (u.rows, u.cols)
                && (ratio.rows, ratio.cols) == (u.rows, u.cols)
        ),
    }
    let keep = &keep.into_parts();
    // Each compiled for itself: together they are many times as long.
    match curve {
        Curve::Fixed(curve) => rows(exec, Activate { curve, bias, keep_y, u: &u, z: &z, keep }),
        Curve::Learned(curve) => rows(exec, Activate { curve, bias, keep_y, u: &u, z: &z, keep }),
    }
}

/// All rows, on the team's threads.
fn rows<T: Real, C: Nonlinearity<T>>(exec: Exec, kernel: Activate<T, C>) -> bool {
    let finite = AtomicBool::new(true);
    let (n, blocks) = (kernel.u.rows, kernel.u.cols.div_ceil(T::LANES));
    exec.split(n, 1, n * blocks * COST, |from, to| {
        if !T::dispatch(exec.level, Rows { kernel: &kernel, from, to }) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

/// About how many operations a block takes.
const COST: usize = 64;

/// The logarithm of a product of slopes: they are multiplied up, and powers of two split off now
/// and then.
#[derive(Clone, Copy)]
pub(in crate::simd) struct LogProduct<S> {
    product: S,
    /// Factors since the last power was split off.
    factors: usize,
    /// Whole numbers, exact up to 2^24: a million factors in f32.
    exponent: Option<S>,
}

impl<S: Copy> LogProduct<S> {
    /// Slopes lie between 1e-6 and 2e6 (learned ones too): so many, and a mantissa that is left,
    /// multiply to a normal number.
    const MOST: usize = 6;

    #[inline(always)]
    pub fn new<T: Real>() -> Self
    where
        S: Vector<T>,
    {
        LogProduct { product: S::splat(T::ONE), factors: 0, exponent: None }
    }

    #[inline(always)]
    pub fn multiply<T: Real>(&mut self, slope: S)
    where
        S: Vector<T>,
    {
        if self.factors == Self::MOST {
            self.split();
        }
        self.product = self.product.mul(slope);
        self.factors += 1;
    }

    #[inline(always)]
    pub fn multiply_all<T: Real, const N: usize>(&mut self, slopes: Interleaved<S, N>)
    where
        S: Vector<T>,
    {
        for g in 0..N {
            self.multiply(slopes.0[g]);
        }
    }

    #[inline(always)]
    fn split<T: Real>(&mut self)
    where
        S: Vector<T>,
    {
        let (mantissa, power) = self.product.split();
        let exponent = match self.exponent {
            Some(exponent) => exponent.add(power),
            None => power,
        };
        *self = LogProduct { product: mantissa, factors: 0, exponent: Some(exponent) };
    }

    /// Adds the powers of two to the sums of the lanes; what is left to take the logarithm of.
    #[inline(always)]
    pub fn close<T: Real>(mut self, sums: &mut [f64]) -> S
    where
        S: Vector<T>,
    {
        if let Some(exponent) = self.exponent {
            let (mantissa, power) = self.product.split();
            self.product = mantissa;
            let exponent = exponent.add(power).to_array();
            for (sum, e) in sums.iter_mut().zip(exponent.as_ref()) {
                *sum += core::f64::consts::LN_2 * e.to_f64();
            }
        }
        self.product
    }
}

struct Activate<'a, T, C> {
    curve: C,
    bias: Option<Mat<'a, T>>,
    keep_y: bool,
    u: &'a MatMut<'a, T>,
    z: &'a MatMut<'a, T>,
    keep: &'a KeepParts<'a, T>,
}

struct Rows<'a, T, C> {
    kernel: &'a Activate<'a, T, C>,
    from: usize,
    to: usize,
}

impl<T: Real, C: Nonlinearity<T>> Kernel<T> for Rows<'_, T, C> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> bool {
        let mut finite = Finite::<S>::new();
        for r in self.from..self.to {
            self.kernel.row(r, &mut finite);
        }
        finite.ok()
    }
}

impl<T: Real, C: Nonlinearity<T>> Activate<'_, T, C> {
    #[inline(always)]
    fn row<S: Vector<T>>(&self, r: usize, finite: &mut Finite<S>) {
        let mut sum = RowSum::new();
        let mut slopes = LogProduct::<S>::new();
        let (whole, rest) = (self.u.cols / T::LANES, self.u.cols % T::LANES);
        for_interleaved!(S::INTERLEAVE && C::INTERLEAVE, whole, |i, N| {
            // SAFETY: every matrix has row r and these columns, the bias those elements; no other
            // thread has the row.
            let slope = unsafe { self.blocks::<S, N>((r, i * T::LANES), T::LANES, finite) };
            if self.keep.log_slopes.is_some() {
                slopes.multiply_all(slope);
            }
        });
        if rest > 0 {
            // SAFETY: as above.
            let slope = unsafe { self.blocks::<S, 1>((r, whole * T::LANES), rest, finite) };
            if self.keep.log_slopes.is_some() {
                sum.add(math::log(slope.0[0]), rest);
            }
        }
        if let Some(log_slopes) = &self.keep.log_slopes {
            if whole > 0 {
                let product = slopes.close(&mut sum.0);
                sum.add(math::log(product), T::LANES);
            }
            // SAFETY: there is one number a row, and no other thread has the row.
            unsafe { *log_slopes.at(r, 0) += sum.total() };
        }
    }

    /// `N` blocks of a row, `n` lanes of each; their slopes.
    ///
    /// # Safety
    /// Every matrix has them, the bias their columns; no other thread has them.
    #[inline(always)]
    unsafe fn blocks<S: Vector<T>, const N: usize>(
        &self,
        (r, c): (usize, usize),
        n: usize,
        finite: &mut Finite<S>,
    ) -> Interleaved<S, N> {
        // SAFETY: by contract.
        unsafe {
            let c = |g| c + g * T::LANES;
            let u = Interleaved::<S, N>::load(|g| self.u.at(r, c(g)), n);
            let y = match self.bias {
                Some(b) => u.add(Interleaved::load(|g| b.at(r, c(g)), n)),
                None => u,
            };
            if self.keep_y {
                y.store(|g| self.u.at(r, c(g)), n);
            }
            let v = self.curve.values(|g| Units::From(c(g), n), y);
            finite.see_all(v.s);
            v.s.store(|g| self.z.at(r, c(g)), n);
            if let Some((slope, ratio)) = &self.keep.derivatives {
                v.slope.store(|g| slope.at(r, c(g)), n);
                v.ratio.store(|g| ratio.at(r, c(g)), n);
            }
            v.slope
        }
    }
}

/// `log_p[r] = sum_i log p(z[r, i])`; the scores `d log p / dz` in the place of z if asked for.
pub(crate) fn density<T: Real, P: LogDensity<T>>(
    exec: Exec,
    density: P,
    z: MatMut<T>,
    log_p: &mut [f64],
    score: bool,
) {
    assert!(log_p.len() >= z.rows);
    T::dispatch(exec.level, BaseDensity { density, z, log_p, score })
}

struct BaseDensity<'a, T, P> {
    density: P,
    z: MatMut<'a, T>,
    log_p: &'a mut [f64],
    score: bool,
}

impl<T: Real, P: LogDensity<T>> Kernel<T> for BaseDensity<'_, T, P> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let (whole, rest) = (self.z.cols / T::LANES, self.z.cols % T::LANES);
        for r in 0..self.z.rows {
            let mut sum = RowSum::new();
            for_interleaved!(S::INTERLEAVE, whole, |i, N| {
                // SAFETY: z has row r and these columns.
                unsafe { self.blocks::<S, N>((r, i * T::LANES), T::LANES, &mut sum) };
            });
            if rest > 0 {
                // SAFETY: as above.
                unsafe { self.blocks::<S, 1>((r, whole * T::LANES), rest, &mut sum) };
            }
            let constant = self.density.constant() * self.z.cols as f64;
            self.log_p[r] = sum.total() + constant;
        }
    }
}

impl<T: Real, P: LogDensity<T>> BaseDensity<'_, T, P> {
    /// `N` blocks of a row, `n` lanes of each.
    ///
    /// # Safety
    /// z has them; no other thread has them.
    #[inline(always)]
    unsafe fn blocks<S: Vector<T>, const N: usize>(
        &self,
        (r, c): (usize, usize),
        n: usize,
        sum: &mut RowSum,
    ) {
        let at = |g| self.z.at(r, c + g * T::LANES);
        // SAFETY: by contract.
        unsafe {
            let z = Interleaved::<S, N>::load(|g| at(g), n);
            let (log_p, score) = self.density.log_p_and_score(z);
            sum.add_all(log_p, n);
            if self.score {
                score.store(at, n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use std::vec::Vec;

    /// The logarithms of products of slopes, each lane's own after those of all.
    struct Logarithms<'a, T>(&'a [T], &'a [T]);
    impl<T: Real> Kernel<T> for Logarithms<'_, T> {
        type Output = Vec<f64>;
        #[inline(always)]
        fn run<S: Vector<T>>(self) -> Vec<f64> {
            let mut product = LogProduct::<S>::new();
            for slope in self.0 {
                product.multiply(S::splat(*slope));
            }
            assert_eq!(self.1.len(), T::LANES);
            // SAFETY: there are the lanes.
            product.multiply(unsafe { S::load(self.1.as_ptr()) });
            let mut sums = RowSum::new();
            let log = math::log(product.close(&mut sums.0));
            sums.add(log, T::LANES);
            sums.0[..T::LANES].to_vec()
        }
    }

    fn check<T: Real>() {
        // The ends of their range, and all between.
        let patterns: [&[f64]; 3] = [&[1e-6], &[2e6], &[0.37, 2e6, 1e-6, 900.0, 0.5]];
        for pattern in patterns {
            for count in (0..30).chain([1000]) {
                let slopes = pattern.iter().cycle().take(count);
                let slopes: Vec<T> = slopes.map(|s| T::from_f64(*s)).collect();
                let own: Vec<T> = (1..=T::LANES).map(|i| T::from_f64(0.3 * i as f64)).collect();
                let of_all: f64 = slopes.iter().map(|s| libm::log(s.to_f64())).sum();
                let mut reference = None;
                for level in Level::available() {
                    let logs = T::dispatch(level, Logarithms(&slopes, &own));
                    for (log, own) in logs.iter().zip(&own) {
                        let want = of_all + libm::log(own.to_f64());
                        // A last place a factor, and the logarithm's own, of at most six factors;
                        // the wanted sum rounds too.
                        let places = count as f64 + want.abs().min(84.0) + 5.0;
                        let allowed = places * T::EPSILON + want.abs() * 1e-13;
                        assert!((log - want).abs() <= allowed, "{count} slopes: {log}, not {want}");
                    }
                    assert_eq!(reference.get_or_insert(logs.clone()), &logs, "{level:?}");
                }
            }
        }
    }

    #[test]
    fn products_of_slopes_keep_their_logarithm() {
        check::<f32>();
        check::<f64>();
    }
}
