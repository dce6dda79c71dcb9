//! Gaussian elimination in a few columns: too little work a column to be dispatched.

use crate::simd::layers::elementwise::for_blocks;
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;
use core::ops::Range;

/// Factors the columns `range` of a panel, contiguous ones of `rows` numbers, from row
/// `range.start` down: the first number of the largest magnitude becomes the pivot, and each
/// element one chain of fused multiply-adds. `pivots` tells the rows that were exchanged, in the
/// whole panel. False if a pivot is 0 or a number not finite.
pub(crate) fn eliminate<T: Real>(
    exec: Exec,
    columns: &mut [T],
    rows: usize,
    range: Range<usize>,
    pivots: &mut [u64],
) -> bool {
    assert!(range.end <= rows && range.end * rows <= columns.len() && range.end <= pivots.len());
    T::dispatch(exec.level, Eliminate { columns, rows, range, pivots })
}

struct Eliminate<'a, T> {
    columns: &'a mut [T],
    rows: usize,
    range: Range<usize>,
    pivots: &'a mut [u64],
}

impl<T: Real> Kernel<T> for Eliminate<'_, T> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> bool {
        let rows = self.rows;
        for j in self.range.clone() {
            let Some(best) = largest::<T, S>(&self.columns[j * rows..][j..rows]) else {
                return false;
            };
            self.pivots[j] = (j + best) as u64;
            if best > 0 {
                self.columns.chunks_exact_mut(rows).for_each(|column| column.swap(j, j + best));
            }
            let (done, rest) = self.columns.split_at_mut((j + 1) * rows);
            let (u, l) = done[j * rows..].split_at_mut(j + 1);
            let (pivot, n) = (S::splat(u[j]), l.len());
            let l = l.as_mut_ptr();
            for_blocks!(T, n, |c, lanes| {
                // SAFETY: `l` has the elements c..c+lanes.
                unsafe { S::load_n(l.add(c), lanes).div(pivot).store_n(l.add(c), lanes) }
            });
            for column in rest.chunks_exact_mut(rows).take(self.range.end - j - 1) {
                let (u, x) = column.split_at_mut(j + 1);
                let (factor, x) = (S::splat(-u[j]), x.as_mut_ptr());
                for_blocks!(T, n, |c, lanes| {
                    // SAFETY: `l` and `x` have the elements c..c+lanes.
                    unsafe {
                        let (l, x) = (l.add(c), x.add(c));
                        factor.fma(S::load_n(l, lanes), S::load_n(x, lanes)).store_n(x, lanes);
                    }
                });
            }
        }
        true
    }
}

/// Where the first number of the largest magnitude is. `None` if that is 0, or one is not finite.
#[inline(always)]
fn largest<T: Real, S: Vector<T>>(x: &[T]) -> Option<usize> {
    let (mut max, infinity) = (S::zero(), S::splat(T::INFINITY));
    for_blocks!(T, x.len(), |c, lanes| {
        // SAFETY: the slice has the elements c..c+lanes.
        let v = unsafe { S::load_n(x.as_ptr().add(c), lanes) }.abs();
        // NaN counts as infinite.
        max = S::select_lt(v, infinity, v, infinity).max(max);
    });
    let max = crate::simd::layers::elementwise::largest(max.to_array().as_ref());
    if max > T::ZERO && max.is_finite() {
        x.iter().position(|v| *v == max || *v == -max)
    } else {
        None
    }
}
