//! Nonlinearities and densities over rows; their formulas come from outside, as functions on
//! blocks.

use core::sync::atomic::{AtomicBool, Ordering};

use super::elementwise::{Finite, RowSum, for_blocks};
use super::matrix::MatMut;
use super::parallel::Exec;
use super::{Block, Kernel, Real, math};

/// `s(y)`, `s'(y)` and `s''(y) / s'(y)`.
#[derive(Clone, Copy)]
pub(crate) struct Values<S> {
    pub s: S,
    pub slope: S,
    pub ratio: S,
}

/// An elementwise function with its derivatives; methods must be `#[inline(always)]`.
pub(crate) trait Nonlinearity<T: Real>: Copy + Sync {
    fn values<S: Block<T>>(&self, y: S) -> Values<S>;
}

/// A log-density of one latent; methods must be `#[inline(always)]`.
pub(crate) trait LogDensity<T: Real>: Copy + Sync {
    /// `log p(z)` but for the constant, and its derivative.
    fn log_p_and_score<S: Block<T>>(&self, z: S) -> (S, S);
    /// What is missing in `log p(z)`.
    fn constant(&self) -> f64;
}

/// An elementwise function that also tells how it went; methods must be `#[inline(always)]`.
pub(crate) trait Map<T: Real> {
    fn map<S: Block<T>>(&mut self, x: S) -> S;
}

/// Replaces every element of `x` by its image. Lanes past the end see zeros.
pub(crate) fn map<T: Real, F: Map<T>>(exec: Exec, x: &mut [T], f: &mut F) {
    struct Run<'a, T, F>(&'a mut [T], &'a mut F);
    impl<T: Real, F: Map<T>> Kernel<T> for Run<'_, T, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: Block<T>>(self) {
            let p = self.0.as_mut_ptr();
            for_blocks!(T, self.0.len(), |c, n| {
                // SAFETY: the slice has the elements c..c+n.
                unsafe { self.1.map(S::load_n(p.add(c), n)).store_n(p.add(c), n) }
            });
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
pub(crate) fn activate<T: Real, C: Nonlinearity<T>>(
    exec: Exec,
    curve: C,
    u: MatMut<T>,
    bias: Option<&[T]>,
    keep_y: bool,
    z: MatMut<T>,
    keep: Keep<T>,
) -> bool {
    assert!(u.rows == z.rows && u.cols == z.cols);
    assert!(bias.is_none_or(|b| b.len() == u.cols));
    match &keep {
        Keep::Values => {}
        Keep::LogSlopes(l) => assert!(l.len() >= u.rows),
        Keep::Derivatives { log_slopes, slope, ratio } => assert!(
            log_slopes.len() >= u.rows
                && (slope.rows, slope.cols) == (u.rows, u.cols)
                && (ratio.rows, ratio.cols) == (u.rows, u.cols)
        ),
    }
    let n = u.rows;
    let finite = AtomicBool::new(true);
    let kernel = Activate { curve, bias, keep_y, u: &u, z: &z, keep: &keep.into_parts() };
    exec.split(n, 1, n * u.cols.div_ceil(T::LANES) * COST, |from, to| {
        if !T::dispatch(exec.level, Rows { kernel: &kernel, from, to }) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

/// About how many operations a block takes.
const COST: usize = 64;

/// Slopes multiplied up, so that one logarithm serves six of them. They lie between 1e-6 and 2e6:
/// the product stays a normal number.
#[derive(Clone, Copy)]
pub(super) struct LogProduct<S> {
    product: S,
    factors: usize,
}

impl<S: Copy> LogProduct<S> {
    const MOST: usize = 6;

    #[inline(always)]
    pub fn new<T: Real>() -> Self
    where
        S: Block<T>,
    {
        LogProduct { product: S::splat(T::ONE), factors: 0 }
    }

    /// Takes in a slope; the logarithm of those so far if there is no room for more.
    #[inline(always)]
    pub fn multiply<T: Real>(&mut self, slope: S) -> Option<S>
    where
        S: Block<T>,
    {
        self.product = self.product.mul(slope);
        self.factors += 1;
        if self.factors == Self::MOST { self.rest() } else { None }
    }

    /// The logarithm of those so far, if any.
    #[inline(always)]
    pub fn rest<T: Real>(&mut self) -> Option<S>
    where
        S: Block<T>,
    {
        let LogProduct { product, factors } = core::mem::replace(self, Self::new());
        if factors > 0 { Some(math::log(product)) } else { None }
    }
}

struct Activate<'a, T, C> {
    curve: C,
    bias: Option<&'a [T]>,
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
    fn run<S: Block<T>>(self) -> bool {
        let mut finite = Finite::<S>::new();
        for r in self.from..self.to {
            self.kernel.row(r, &mut finite);
        }
        finite.ok()
    }
}

impl<T: Real, C: Nonlinearity<T>> Activate<'_, T, C> {
    #[inline(always)]
    fn row<S: Block<T>>(&self, r: usize, finite: &mut Finite<S>) {
        let mut sum = RowSum::new();
        let mut slopes = LogProduct::<S>::new();
        for_blocks!(T, self.u.cols, |c, n| {
            // SAFETY: every matrix has row r and columns c..c+n, the bias those elements; no other
            // thread has the row.
            unsafe {
                let u = S::load_n(self.u.at(r, c), n);
                let y = match self.bias {
                    Some(b) => u.add(S::load_n(b.as_ptr().add(c), n)),
                    None => u,
                };
                if self.keep_y {
                    y.store_n(self.u.at(r, c), n);
                }
                let v = self.curve.values(y);
                finite.see(y);
                finite.see(v.s);
                v.s.store_n(self.z.at(r, c), n);
                if let Some((slope, ratio)) = &self.keep.derivatives {
                    v.slope.store_n(slope.at(r, c), n);
                    v.ratio.store_n(ratio.at(r, c), n);
                }
                if self.keep.log_slopes.is_some() {
                    if n < T::LANES {
                        sum.add(math::log(v.slope), n);
                    } else if let Some(logs) = slopes.multiply(v.slope) {
                        sum.add(logs, n);
                    }
                }
            }
        });
        if let Some(log_slopes) = &self.keep.log_slopes {
            if let Some(logs) = slopes.rest() {
                sum.add(logs, T::LANES);
            }
            // SAFETY: there is one number a row, and no other thread has the row.
            unsafe { *log_slopes.at(r, 0) += sum.total() };
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
    fn run<S: Block<T>>(self) {
        for r in 0..self.z.rows {
            let mut sum = RowSum::new();
            for_blocks!(T, self.z.cols, |c, n| {
                // SAFETY: z has row r and columns c..c+n.
                unsafe {
                    let z = self.z.at(r, c);
                    let (log_p, score) = self.density.log_p_and_score(S::load_n(z, n));
                    sum.add(log_p, n);
                    if self.score {
                        score.store_n(z, n);
                    }
                }
            });
            let constant = self.density.constant() * self.z.cols as f64;
            self.log_p[r] = sum.total() + constant;
        }
    }
}
