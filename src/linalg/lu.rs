//! LU factorisation with partial pivoting, blocked by rows: `P A = L U`.

use crate::parallel::Exec;
use crate::simd::Real;
use crate::simd::matrix::{Mat, MatMut};

/// Columns that are factored at a time.
pub(crate) const PANEL: usize = 32;

/// The determinant's sign and the logarithm of its magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Determinant {
    pub negative: bool,
    pub log_abs: f64,
}

/// Factors the `n x n` matrix `a` in place, O(2/3 n^3). `panel` has `n * PANEL` numbers,
/// `pivots` `n`. `None` if a pivot is 0 or not finite.
pub(crate) fn factor<T: Real>(
    exec: Exec,
    a: &mut [T],
    n: usize,
    panel: &mut [T],
    pivots: &mut [u64],
) -> Option<Determinant> {
    let mut determinant = Determinant { negative: false, log_abs: 0.0 };
    let mut from = 0;
    while from < n {
        let width = PANEL.min(n - from);
        let to = from + width;
        // The panel's columns, contiguous: row i of the panel is row from + i of `a`.
        let rows = n - from;
        let panel = &mut panel[..rows * width];
        for (i, row) in panel.chunks_exact_mut(width).enumerate() {
            row.copy_from_slice(&a[(from + i) * n + from..][..width]);
        }
        for j in 0..width {
            let best = pivot_row(panel, width, j)?;
            pivots[from + j] = (from + best) as u64;
            if best != j {
                determinant.negative = !determinant.negative;
                swap_rows(a, n, from + j, from + best);
                swap_rows(panel, width, j, best);
            }
            let pivot = panel[j * width + j];
            determinant.negative ^= pivot < T::ZERO;
            determinant.log_abs += libm::log(libm::fabs(pivot.to_f64()));
            let (above, below) = panel.split_at_mut((j + 1) * width);
            let source = &above[j * width..][j + 1..width];
            for row in below.chunks_exact_mut(width) {
                let factor = row[j] / pivot;
                row[j] = factor;
                for (x, s) in row[j + 1..].iter_mut().zip(source) {
                    *x = *x - factor * *s;
                }
            }
        }
        for (i, row) in panel.chunks_exact(width).enumerate() {
            a[(from + i) * n + from..][..width].copy_from_slice(row);
        }
        if to < n {
            // U12 = L11^-1 A12, row by row; A22 -= L21 U12.
            let (above, below) = a.split_at_mut(to * n);
            for i in 1..width {
                let (done, row) = above.split_at_mut((from + i) * n);
                let l = Mat::new(&panel[i * width..][..i], 1, i);
                let u = Mat::with_ld(&done[from * n + to..], i, n - to, n);
                T::subtract_product(exec, l, u, MatMut::new(&mut row[to..n], 1, n - to));
            }
            let l = Mat::new(&panel[width * width..], n - to, width);
            let u = Mat::with_ld(&above[from * n + to..], width, n - to, n);
            let out = MatMut::with_ld(&mut below[to..], n - to, n - to, n);
            T::subtract_product(exec, l, u, out);
        }
        from = to;
    }
    determinant.log_abs.is_finite().then_some(determinant)
}

/// The row at or below `j` with the largest magnitude in column `j`.
fn pivot_row<T: Real>(panel: &[T], width: usize, j: usize) -> Option<usize> {
    let mut best = (T::ZERO, j);
    for (i, row) in panel.chunks_exact(width).enumerate().skip(j) {
        let v = if row[j] < T::ZERO { -row[j] } else { row[j] };
        if !v.is_finite() {
            return None;
        }
        if best.0 < v {
            best = (v, i);
        }
    }
    (best.0 > T::ZERO).then_some(best.1)
}

fn swap_rows<T>(a: &mut [T], ld: usize, i: usize, j: usize) {
    let (low, high) = (i.min(j), i.max(j));
    if low != high {
        let (above, below) = a.split_at_mut(high * ld);
        above[low * ld..][..ld].swap_with_slice(&mut below[..ld]);
    }
}

/// Whether `pivots` are row exchanges of a factorisation: `i <= pivots[i] < n`.
pub(crate) fn is_permutation(pivots: &[u64], n: usize) -> bool {
    pivots.iter().enumerate().all(|(i, p)| (i as u64..n as u64).contains(p))
}

/// Solves `A X = B` in place for `x = B` of `n x m`, O(2 n^2 m).
pub(crate) fn solve<T: Real>(
    exec: Exec,
    lu: &[T],
    pivots: &[u64],
    n: usize,
    x: &mut [T],
    m: usize,
) {
    for (i, p) in pivots[..n].iter().enumerate() {
        swap_rows(x, m, i, *p as usize);
    }
    // L X = B downwards: earlier blocks at once, then row by row within the block.
    let mut from = 0;
    while from < n {
        let to = n.min(from + PANEL);
        let (done, rest) = x.split_at_mut(from * m);
        if from > 0 {
            let l = Mat::with_ld(&lu[from * n..], to - from, from, n);
            let out = MatMut::new(&mut rest[..(to - from) * m], to - from, m);
            T::subtract_product(exec, l, Mat::new(done, from, m), out);
        }
        for i in from + 1..to {
            let (done, row) = rest.split_at_mut((i - from) * m);
            let l = Mat::new(&lu[i * n + from..][..i - from], 1, i - from);
            let out = MatMut::new(&mut row[..m], 1, m);
            T::subtract_product(exec, l, Mat::new(done, i - from, m), out);
        }
        from = to;
    }
    // U X = B upwards.
    let mut to = n;
    while to > 0 {
        let from = (to - 1) / PANEL * PANEL;
        let (block, done) = x.split_at_mut(to * m);
        if to < n {
            let u = Mat::with_ld(&lu[from * n + to..], to - from, n - to, n);
            let out = MatMut::new(&mut block[from * m..], to - from, m);
            T::subtract_product(exec, u, Mat::new(done, n - to, m), out);
        }
        for i in (from..to).rev() {
            let (row, done) = block.split_at_mut((i + 1) * m);
            let row = &mut row[i * m..];
            if i + 1 < to {
                let u = Mat::new(&lu[i * n + i + 1..][..to - i - 1], 1, to - i - 1);
                let out = MatMut::new(row, 1, m);
                T::subtract_product(exec, u, Mat::new(done, to - i - 1, m), out);
            }
            let pivot = lu[i * n + i];
            row.iter_mut().for_each(|v| *v = *v / pivot);
        }
        to = from;
    }
}

/// `out = A^-1` from its factorisation, O(2 n^3).
pub(crate) fn invert<T: Real>(exec: Exec, lu: &[T], pivots: &[u64], n: usize, out: &mut [T]) {
    out[..n * n].fill(T::ZERO);
    for i in 0..n {
        out[i * n + i] = T::ONE;
    }
    solve(exec, lu, pivots, n, &mut out[..n * n], n);
}

/// `max |(A B)_ij - I_ij|`, row by row in `row`: how good an inverse is. NaN if one element is.
pub(crate) fn inverse_error<T: Real>(exec: Exec, a: &[T], b: &[T], n: usize, row: &mut [T]) -> f64 {
    let mut worst: f64 = 0.0;
    for i in 0..n {
        let out = MatMut::new(&mut row[..n], 1, n);
        T::multiply(exec, Mat::new(&a[i * n..][..n], 1, n), Mat::new(b, n, n), out);
        for (j, v) in row[..n].iter().enumerate() {
            let identity = if i == j { 1.0 } else { 0.0 };
            let error = libm::fabs(v.to_f64() - identity);
            if error.is_nan() {
                return error;
            }
            worst = worst.max(error);
        }
    }
    worst
}
