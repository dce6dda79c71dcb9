//! Cholesky factorisation in f64: whitening, and the Gaussian baseline.

use crate::simd::Kernels;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;

/// Columns that are factored at a time.
const PANEL: usize = 64;
/// Where halving ends.
const NARROW: usize = 4;

/// How many numbers of scratch [`factor`] needs for order `n`.
pub(crate) const fn panel_len(n: usize) -> usize {
    n * if n < PANEL { n } else { PANEL }
}

/// What was left of a variance that had to be positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NotPositive {
    pub index: usize,
    pub value: f64,
}

/// Factors the symmetric `n x n` matrix `a = L L^T` in place; only the lower triangle is read
/// and written, O(n^3 / 3). `panel` has [`panel_len`] numbers. Fails unless `a` is positive
/// definite to working precision; a diagonal element is compared with what it was.
pub(crate) fn factor(
    exec: Exec,
    a: &mut [f64],
    n: usize,
    panel: &mut [f64],
) -> Result<(), NotPositive> {
    for from in (0..n).step_by(PANEL) {
        let width = PANEL.min(n - from);
        let rows = n - from;
        // The columns of L before, transposed: row `j` of the panel is column `from + j`.
        let panel = &mut panel[..width * rows];
        let done = Mat::with_ld(&a[from * n..], rows, from, n);
        f64::matmul_nt(exec, done.first_rows(width), done, MatMut::new(panel, width, rows));
        for (i, row) in a[from * n..].chunks_exact(n).enumerate() {
            for (j, v) in row[from..=from + i.min(width - 1)].iter().enumerate() {
                panel[j * rows + i] = v - panel[j * rows + i];
            }
        }
        for j in 0..width {
            let (above, row) = panel.split_at_mut(j * rows);
            let row = &mut row[j..rows];
            let mut column = [0.0; PANEL];
            for (c, above) in column.iter_mut().zip(above.chunks_exact(rows)) {
                *c = above[j];
            }
            if j > 0 {
                let above = Mat::with_ld(&above[j..], j, rows - j, rows);
                let out = MatMut::new(row, 1, rows - j);
                f64::subtract_product(exec, Mat::new(&column[..j], 1, j), above, out);
            }
            let resolution = a[(from + j) * (n + 1)] * n as f64 * f64::EPSILON;
            let left = row[0];
            if !(left > resolution && left.is_finite()) {
                return Err(NotPositive { index: from + j, value: left });
            }
            let root = libm::sqrt(left);
            row[0] = root;
            row[1..].iter_mut().for_each(|v| *v /= root);
        }
        for (i, row) in a[from * n..].chunks_exact_mut(n).enumerate() {
            for (j, v) in row[from..=from + i.min(width - 1)].iter_mut().enumerate() {
                *v = panel[j * rows + i];
            }
        }
    }
    Ok(())
}

/// Solves `L^T X = Q` in place for `n x m` X, where L has rows of `ld` numbers, O(n^2 m).
pub(crate) fn solve_transposed(
    exec: Exec,
    l: &[f64],
    ld: usize,
    n: usize,
    x: &mut [f64],
    m: usize,
) {
    if n <= NARROW {
        for i in (0..n).rev() {
            let (done, row) = x.split_at_mut(i * m);
            row[..m].iter_mut().for_each(|v| *v /= l[i * ld + i]);
            if i > 0 {
                let l = Mat::new(&l[i * ld..], 1, i);
                let out = MatMut::new(done, i, m);
                f64::subtract_transposed(exec, l, Mat::new(row, 1, m), out);
            }
        }
        return;
    }
    let h = (n / 2).next_multiple_of(NARROW);
    let (top, bottom) = x.split_at_mut(h * m);
    solve_transposed(exec, &l[h * ld + h..], ld, n - h, bottom, m);
    let off = Mat::with_ld(&l[h * ld..], n - h, h, ld);
    let out = MatMut::new(top, h, m);
    f64::subtract_transposed(exec, off, Mat::new(bottom, n - h, m), out);
    solve_transposed(exec, l, ld, h, top, m);
}
