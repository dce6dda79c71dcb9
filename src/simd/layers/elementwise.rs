//! Loops over elements, a row or a column at a time.

use crate::simd::interleaved::Interleaved;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;

/// Runs the body for the blocks of a row: offset `c`, `n` lanes.
macro_rules! for_blocks {
    ($T:ident, $cols:expr, |$c:ident, $n:ident| $body:block) => {{
        let ($n, cols) = ($T::LANES, $cols);
        let mut $c = 0;
        while $c + $n <= cols {
            $body
            $c += $n;
        }
        if $c < cols {
            let $n = cols - $c;
            $body
        }
    }};
}
pub(in crate::simd) use for_blocks;

/// Sums of blocks in f64, a chain a lane; in all, by halving, they are a row's.
pub(in crate::simd) struct RowSum(pub [f64; 16]);

impl RowSum {
    #[inline(always)]
    pub(in crate::simd) fn new() -> Self {
        RowSum([0.0; 16])
    }
    #[inline(always)]
    pub(in crate::simd) fn add<T: Real, S: Vector<T>>(&mut self, v: S, n: usize) {
        let v = v.to_array();
        if n == T::LANES {
            for i in 0..T::LANES {
                self.0[i] += v.as_ref()[i].to_f64();
            }
        } else {
            for i in 0..n {
                self.0[i] += v.as_ref()[i].to_f64();
            }
        }
    }
    #[inline(always)]
    pub(in crate::simd) fn add_all<T: Real, S: Vector<T>, const N: usize>(
        &mut self,
        v: Interleaved<S, N>,
        n: usize,
    ) {
        for g in 0..N {
            self.add(v.0[g], n);
        }
    }
    #[inline(always)]
    pub(in crate::simd) fn total(mut self) -> f64 {
        let mut half = 8;
        while half > 0 {
            for i in 0..half {
                self.0[i] += self.0[i + half];
            }
            half /= 2;
        }
        self.0[0]
    }
}

/// Remembers whether a lane was NaN or infinite, by a 1. Comparisons raise no exception that a
/// program may trap, as `v - v` of an infinite one would.
pub(in crate::simd) struct Finite<S>(S);

impl<S: Copy> Finite<S> {
    #[inline(always)]
    pub(in crate::simd) fn new<T: Real>() -> Self
    where
        S: Vector<T>,
    {
        Finite(S::zero())
    }
    #[inline(always)]
    pub(in crate::simd) fn see<T: Real>(&mut self, v: S)
    where
        S: Vector<T>,
    {
        let infinite = S::splat(T::INFINITY);
        self.0 = S::select_lt(v.abs(), infinite, self.0, S::splat(T::ONE));
    }
    #[inline(always)]
    pub(in crate::simd) fn see_all<T: Real, const N: usize>(&mut self, v: Interleaved<S, N>)
    where
        S: Vector<T>,
    {
        for g in 0..N {
            self.see(v.0[g]);
        }
    }
    #[inline(always)]
    pub(in crate::simd) fn ok<T: Real>(self) -> bool
    where
        S: Vector<T>,
    {
        self.0.to_array().as_ref().iter().all(|v| *v == T::ZERO)
    }
}

/// `delta = slope * u + ratio` in the place of `slope`, the backward pass through one layer
/// (GFJSH20 eq. 19). False if not finite.
pub(crate) fn chain<T: Real>(exec: Exec, slope: &mut [T], u: &[T], ratio: &[T]) -> bool {
    assert!(slope.len() == u.len() && slope.len() == ratio.len());
    T::dispatch(exec.level, Chain { slope, u, ratio })
}

struct Chain<'a, T> {
    slope: &'a mut [T],
    u: &'a [T],
    ratio: &'a [T],
}

impl<T: Real> Kernel<T> for Chain<'_, T> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> bool {
        let mut finite = Finite::<S>::new();
        let p = self.slope.as_mut_ptr();
        for_blocks!(T, self.slope.len(), |c, n| {
            // SAFETY: all three slices have the elements c..c+n.
            unsafe {
                let u = S::load_n(self.u.as_ptr().add(c), n);
                let ratio = S::load_n(self.ratio.as_ptr().add(c), n);
                let delta = S::load_n(p.add(c), n).fma(u, ratio);
                finite.see(delta);
                delta.store_n(p.add(c), n);
            }
        });
        finite.ok()
    }
}

/// The largest of some magnitudes, whatever is NaN left out. In `T`: conversions are calls where
/// doubles are software's.
pub(in crate::simd) fn largest<T: Real>(x: &[T]) -> T {
    x.iter().fold(T::ZERO, |m, v| if m < *v { *v } else { m })
}

/// The largest magnitude, infinite if an element is NaN or infinite.
pub(crate) fn max_abs<T: Real>(exec: Exec, x: &[T]) -> f64 {
    if x.len() < T::LANES {
        let finite = x.iter().all(|v| v.is_finite());
        let max = largest(x);
        let max = x.iter().fold(max, |m, v| if m < -*v { -*v } else { m });
        return if finite { max.to_f64() } else { f64::INFINITY };
    }
    struct MaxAbs<'a, T>(&'a [T]);
    impl<T: Real> Kernel<T> for MaxAbs<'_, T> {
        type Output = f64;
        #[inline(always)]
        fn run<S: Vector<T>>(self) -> f64 {
            let (mut max, infinity) = (S::zero(), S::splat(T::INFINITY));
            for_blocks!(T, self.0.len(), |c, n| {
                // SAFETY: the slice has the elements c..c+n.
                let x = unsafe { S::load_n(self.0.as_ptr().add(c), n) }.abs();
                max = S::select_lt(x, infinity, x, infinity).max(max);
            });
            largest(max.to_array().as_ref()).to_f64()
        }
    }
    T::dispatch(exec.level, MaxAbs(x))
}

/// `out = (x - shift) * scale`, or a copy. False if an element of x or of the result is not
/// finite.
pub(crate) fn load<T: Real>(
    exec: Exec,
    x: Mat<T>,
    transform: Option<(&[T], &[T])>,
    out: MatMut<T>,
) -> bool {
    struct Load<'a, T>(Mat<'a, T>, Option<(&'a [T], &'a [T])>, MatMut<'a, T>);
    impl<T: Real> Kernel<T> for Load<'_, T> {
        type Output = bool;
        #[inline(always)]
        fn run<S: Vector<T>>(self) -> bool {
            let mut finite = Finite::<S>::new();
            for r in 0..self.0.rows {
                for_blocks!(T, self.0.cols, |c, n| {
                    // SAFETY: the matrices have row r and columns c..c+n, the slices those elements.
                    unsafe {
                        let mut x = S::load_n(self.0.at(r, c), n);
                        finite.see(x);
                        if let Some((shift, scale)) = self.1 {
                            x = x.sub(S::load_n(shift.as_ptr().add(c), n));
                            x = x.mul(S::load_n(scale.as_ptr().add(c), n));
                            finite.see(x);
                        }
                        x.store_n(self.2.at(r, c), n);
                    }
                });
            }
            finite.ok()
        }
    }
    assert!((x.rows, x.cols) == (out.rows, out.cols));
    assert!(transform.is_none_or(|(a, b)| a.len() == x.cols && b.len() == x.cols));
    T::dispatch(exec.level, Load(x, transform, out))
}

/// `x[r, c] = rows[r] * x[r, c] * columns[c]`.
pub(crate) fn rescale<T: Real>(
    exec: Exec,
    x: MatMut<T>,
    rows: Option<&[T]>,
    columns: Option<&[T]>,
) {
    // SAFETY: each number is read before it is written, by the same thread.
    let from = unsafe { x.view() };
    rescaled(exec, from, rows, columns, &x);
}

/// `out[r, c] = rows[r] * x[r, c] * columns[c]`.
pub(crate) fn rescaled<T: Real>(
    exec: Exec,
    x: Mat<T>,
    rows: Option<&[T]>,
    columns: Option<&[T]>,
    out: &MatMut<T>,
) {
    struct Rescale<'a, T>(Mat<'a, T>, Option<&'a [T]>, Option<&'a [T]>, &'a MatMut<'a, T>);
    impl<T: Real> Kernel<T> for Rescale<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            for r in 0..self.0.rows {
                let f = S::splat(self.1.map_or(T::ONE, |rows| rows[r]));
                for_blocks!(T, self.0.cols, |c, n| {
                    // SAFETY: the matrices have row r and columns c..c+n, the slice those elements.
                    unsafe {
                        let mut x = S::load_n(self.0.at(r, c), n).mul(f);
                        if let Some(columns) = self.2 {
                            x = x.mul(S::load_n(columns.as_ptr().add(c), n));
                        }
                        x.store_n(self.3.at(r, c), n);
                    }
                });
            }
        }
    }
    assert!((x.rows, x.cols) == (out.rows, out.cols));
    assert!(rows.is_none_or(|v| v.len() >= x.rows) && columns.is_none_or(|v| v.len() == x.cols));
    T::dispatch(exec.level, Rescale(x, rows, columns, out))
}

/// `out[c] = sum_r weights[r] x[r, c]^2`, one chain over the rows.
pub(crate) fn second_moments<T: Real>(exec: Exec, x: Mat<T>, weights: &[T], out: &mut [T]) {
    struct SecondMoments<'a, T>(Mat<'a, T>, &'a [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for SecondMoments<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            for_blocks!(T, self.0.cols, |c, n| {
                // SAFETY: the matrix has columns c..c+n, `out` those elements.
                unsafe {
                    let moment = second_moment::<T, S>(self.0, self.1, c, n);
                    moment.store_n(self.2.as_mut_ptr().add(c), n);
                }
            });
        }
    }
    assert!(weights.len() >= x.rows && out.len() == x.cols);
    T::dispatch(exec.level, SecondMoments(x, weights, out))
}

/// Columns `c .. c + n` of [`second_moments`].
///
/// # Safety
/// They are there, and a weight for each row.
#[inline(always)]
pub(in crate::simd) unsafe fn second_moment<T: Real, S: Vector<T>>(
    x: Mat<T>,
    weights: &[T],
    c: usize,
    n: usize,
) -> S {
    let mut sum = S::zero();
    for r in 0..x.rows {
        // SAFETY: by contract.
        let v = unsafe { S::load_n(x.at(r, c), n) };
        sum = S::splat(weights[r]).mul(v).fma(v, sum);
    }
    sum
}

/// `out[r] = sum_c x[r, c]^2`, a chain a lane.
pub(crate) fn row_squares<T: Real>(exec: Exec, x: Mat<T>, out: &mut [T]) {
    struct RowSquares<'a, T>(Mat<'a, T>, &'a mut [T]);
    impl<T: Real> Kernel<T> for RowSquares<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            for r in 0..self.0.rows {
                let mut acc = S::zero();
                for_blocks!(T, self.0.cols, |c, n| {
                    // SAFETY: the matrix has row r and columns c..c+n.
                    let x = unsafe { S::load_n(self.0.at(r, c), n) };
                    acc = x.fma(x, acc);
                });
                self.1[r] = acc.sum();
            }
        }
    }
    assert!(out.len() >= x.rows);
    T::dispatch(exec.level, RowSquares(x, out))
}
