//! LU factorisation with partial pivoting, `P A = L U`, a panel of columns at a time and looking
//! left: a panel first takes in all columns before it, by one triangular solution and one
//! product. So nearly all work is in long products on contiguous panels, as it is for systems
//! and inverses. Triangles and panels are halved until they are narrow.
//!
//! Each element of L and U is one chain of fused multiply-adds in the order of the columns, so
//! equal rows cancel exactly, and no bit depends on the blocks.

use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;
use crate::threads::parts::{for_pairs, for_parts};
use core::ops::Range;

/// Columns that are worked on at a time.
pub(crate) const PANEL: usize = 64;
/// A few threads take so many of them at least.
const THREADS_COLUMNS: usize = 16;
/// The largest order that is factored without kernels.
pub(crate) const PLAIN: usize = 16;
/// About how many multiply-adds moving a block of numbers takes.
const MOVE: usize = 4;
/// Rows at which the halving of triangles ends.
const SHORT: usize = 16;
/// Columns at which the halving of panels ends; so few numbers in all are not halved either.
const NARROW: usize = 8;
const SMALL: usize = 1024;

/// How many numbers of scratch [`factor`] and [`invert`] need for order `n`.
pub(crate) const fn panel_len(n: usize) -> usize {
    2 * n * if n < PANEL { n } else { PANEL }
}

/// A determinant's sign and magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Determinant {
    pub negative: bool,
    pub magnitude: Magnitude,
}

impl Determinant {
    /// The logarithm of its magnitude.
    pub fn log_abs(&self) -> f64 {
        self.magnitude.log()
    }
}

/// The magnitude of a product, `e^log rest`: one logarithm for as many factors as fit into the
/// exponent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Magnitude {
    log: f64,
    rest: f64,
}

impl Magnitude {
    /// That of a product of no factors.
    pub const ONE: Self = Magnitude { log: 0.0, rest: 1.0 };

    pub fn log(&self) -> f64 {
        self.log + libm::log(self.rest)
    }

    /// Neither 0 nor infinite nor NaN.
    fn is_proper(&self) -> bool {
        self.log.is_finite() && self.rest.is_finite() && self.rest > 0.0
    }

    /// With more factors. Four at a time, since each product waits for the one before.
    pub fn times(mut self, values: impl Iterator<Item = f64>) -> Self {
        let mut values = values.map(libm::fabs).fuse();
        while let Some(first) = values.next() {
            let [b, c, d] = core::array::from_fn(|_| values.next().unwrap_or(1.0));
            let four = [first, b, c, d];
            if four.iter().all(|v| (1e-25..1e25).contains(v)) {
                self.multiply((first * b) * (c * d));
            } else {
                four.into_iter().for_each(|v| self.multiply(v));
            }
        }
        self
    }

    // Each copy would be a kilobyte where doubles are software's.
    #[inline(never)]
    fn multiply(&mut self, v: f64) {
        let range = 1e-100..=1e100;
        if range.contains(&v) {
            self.rest *= v;
        } else {
            self.log += libm::log(v);
        }
        if !range.contains(&self.rest) {
            self.log += libm::log(self.rest);
            self.rest = 1.0;
        }
    }
}

/// Factors the `n x n` matrix `a` in place, O(2/3 n^3). `panel` has [`panel_len`] numbers,
/// `pivots` `n`. `None` if a pivot is 0 or not finite.
pub(crate) fn factor<T: Real>(
    exec: Exec,
    a: &mut [T],
    n: usize,
    panel: &mut [T],
    pivots: &mut [u64],
) -> Option<Determinant> {
    if n <= PLAIN {
        return factor_plainly(a, n, pivots);
    }
    let mut negative = false;
    let (panel, columns) = panel.split_at_mut(panel_len(n) / 2);
    for from in (0..n).step_by(PANEL) {
        let width = PANEL.min(n - from);
        let (to, rows) = (from + width, n - from);
        let (panel, columns) = (&mut panel[..n * width], &mut columns[..rows * width]);
        let (share, across, within) = share::<T>(exec, width, from * (from / 2 + rows));
        let (before, done) = (&*a, &pivots[..from]);
        for_pairs(across, (panel, n * share), (columns, rows * share), |i, panel, columns| {
            let (first, width) = (from + i * share, panel.len() / n);
            // The columns as the exchanges so far leave them.
            for (panel, row) in panel.chunks_exact_mut(width).zip(before.chunks_exact(n)) {
                panel.copy_from_slice(&row[first..][..width]);
            }
            for (i, p) in done.iter().enumerate() {
                swap_rows(panel, width, i, *p as usize);
            }
            // U above the diagonal block; L U off the rest.
            let (above, rest) = panel.split_at_mut(from * width);
            solve_lower(within, before, n, from, above, width);
            if from > 0 {
                let l = Mat::with_ld(&before[from * n..], rows, from, n);
                let out = MatMut::new(rest, rows, width);
                T::subtract_product(within, l, Mat::new(above, from, width), out);
            }
            // Transposed, a column is contiguous.
            let turned = MatMut::new(columns, width, rows);
            T::transpose(within, Mat::new(rest, rows, width), turned);
        });
        put_columns(exec, (panel, share), from, (a, n), from..to);
        let (pivots, rest) = (&mut pivots[from..to], &mut panel[..rows * width]);
        factor_columns(exec, columns, rows, 0..width, pivots, rest)?;
        for (j, p) in pivots.iter().enumerate() {
            negative ^= (*p as usize != j) ^ (columns[j * rows + j] < T::ZERO);
        }
        let turned = MatMut::new(rest, rows, width);
        T::transpose(exec, Mat::new(columns, width, rows), turned);
        put_columns(exec, (rest, width), rows, (&mut a[from * n..], n), from..to);
        for (i, p) in pivots.iter_mut().enumerate() {
            let (upper, lower) = (from + i, from + *p as usize);
            *p = lower as u64;
            if upper != lower {
                let (above, below) = a.split_at_mut(lower * n);
                above[upper * n..][..from].swap_with_slice(&mut below[..from]);
            }
        }
    }
    let magnitude = Magnitude::ONE.times(a.iter().step_by(n + 1).take(n).map(|v| v.to_f64()));
    magnitude.is_proper().then_some(Determinant { negative, magnitude })
}

/// [`factor`] of a small matrix by the textbook's loops, in two roundings where the larger ones
/// have one: calls to kernels would take longer than the arithmetic.
fn factor_plainly<T: Real>(a: &mut [T], n: usize, pivots: &mut [u64]) -> Option<Determinant> {
    let mut negative = false;
    for j in 0..n {
        let mut best = (T::ZERO, j);
        for i in j..n {
            let v = a[i * n + j];
            let size = if v < T::ZERO { -v } else { v };
            if !size.is_finite() {
                return None;
            }
            if best.0 < size {
                best = (size, i);
            }
        }
        if best.0 == T::ZERO {
            return None;
        }
        pivots[j] = best.1 as u64;
        swap_rows(a, n, j, best.1);
        let (above, below) = a.split_at_mut((j + 1) * n);
        let source = &above[j * n..][..n];
        let pivot = source[j];
        negative ^= (best.1 != j) ^ (pivot < T::ZERO);
        for row in below.chunks_exact_mut(n) {
            let factor = row[j] / pivot;
            row[j] = factor;
            let rest = row[j + 1..].iter_mut().zip(&source[j + 1..]);
            rest.for_each(|(x, s)| *x = *x - factor * *s);
        }
    }
    let magnitude = Magnitude::ONE.times(a.iter().step_by(n + 1).take(n).map(|v| v.to_f64()));
    magnitude.is_proper().then_some(Determinant { negative, magnitude })
}

/// How many of `width` columns are a thread's own, each of which takes `terms` multiplications,
/// and who works across these shares and within one: more than a few threads would have too narrow
/// ones, and share every product instead.
fn share<T: Real>(exec: Exec, width: usize, terms: usize) -> (usize, Exec, Exec) {
    let alone = Exec::serial(exec.level);
    let share = exec.share(width, THREADS_COLUMNS, terms * width.div_ceil(T::LANES));
    if share < width && exec.threads() * THREADS_COLUMNS <= PANEL {
        (share, exec, alone)
    } else {
        (width, alone, exec)
    }
}

/// The first `rows` rows of a panel into the columns `to` of `a`, whose rows have `n` numbers.
/// The panel lies as the threads left it, `share` columns each.
fn put_columns<T: Real>(
    exec: Exec,
    (panel, share): (&[T], usize),
    rows: usize,
    (a, n): (&mut [T], usize),
    to: Range<usize>,
) {
    let height = panel.len() / to.len();
    for_rows(exec, &mut a[..rows * n], n, to.len(), |above, a| {
        for (part, first) in panel.chunks(height * share).zip(to.clone().step_by(share)) {
            let width = part.len() / height;
            let part = part[above * width..].chunks_exact(width);
            for (part, row) in part.zip(a.chunks_exact_mut(n)) {
                row[first..][..width].copy_from_slice(part);
            }
        }
    });
}

/// Calls `body(above, rows)` for bands of rows of `n` numbers that cover `a`, with how many rows
/// are above; of each row about `touched` numbers are moved.
fn for_rows<T: Real>(
    exec: Exec,
    a: &mut [T],
    n: usize,
    touched: usize,
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    let rows = a.len() / n;
    if rows > 0 {
        let band = exec.share(rows, 1, rows * touched.div_ceil(T::LANES) * MOVE);
        for_parts(exec, (a, band * n), |i, part| body(i * band, part));
    }
}

/// Factors some of a panel's columns of `rows` numbers, of which the ones before have been taken
/// in; exchanges rows of the whole panel. `corner` has at least a quarter of the
/// panel's width squared.
fn factor_columns<T: Real>(
    exec: Exec,
    columns: &mut [T],
    rows: usize,
    range: Range<usize>,
    pivots: &mut [u64],
    corner: &mut [T],
) -> Option<()> {
    let (from, width) = (range.start, range.len());
    if width <= NARROW || width * rows <= SMALL {
        return T::eliminate(exec, columns, rows, range, pivots).then_some(());
    }
    let (height, width) = (width / 2, width - width / 2);
    let middle = from + height;
    factor_columns(exec, columns, rows, from..middle, pivots, corner)?;
    // U beside the diagonal block, its columns contiguous again.
    let (left, right) = columns.split_at_mut(middle * rows);
    let left = &left[from * rows..];
    let corner = &mut corner[..height * width];
    let right = &mut right[..width * rows];
    for (j, column) in right.chunks_exact(rows).enumerate() {
        let corner = corner[j..].iter_mut().step_by(width);
        corner.zip(&column[from..]).for_each(|(c, v)| *c = *v);
    }
    for k in 1..height {
        let (done, rest) = corner.split_at_mut(k * width);
        let l = Mat::new(&left[(k - 1) * rows + from..][k..height], 1, height - k);
        let out = MatMut::new(rest, height - k, width);
        let row = Mat::new(&done[(k - 1) * width..], 1, width);
        T::subtract_transposed(exec, l, row, out);
    }
    for (j, column) in right.chunks_exact_mut(rows).enumerate() {
        let corner = corner[j..].iter().step_by(width);
        column[from..].iter_mut().zip(corner).for_each(|(v, c)| *v = *c);
    }
    // L U off the rest.
    let u = Mat::new(corner, height, width);
    let l = Mat::with_ld(&left[middle..], height, rows - middle, rows);
    let out = MatMut::with_ld(&mut right[middle..], width, rows - middle, rows);
    T::subtract_transposed(exec, u, l, out);
    factor_columns(exec, columns, rows, middle..range.end, pivots, corner)
}

/// About half of `n`, in whole short parts.
fn half(n: usize) -> usize {
    (n / 2).next_multiple_of(SHORT)
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

/// Solves `L X = B` in place for `n x m` X, where L stands below the diagonal of rows of `ld`
/// numbers and has ones on it.
fn solve_lower<T: Real>(exec: Exec, l: &[T], ld: usize, n: usize, x: &mut [T], m: usize) {
    if n <= SHORT {
        return T::solve_lower(exec, Mat::with_ld(l, n, n, ld), MatMut::new(x, n, m));
    }
    let h = half(n);
    let (top, bottom) = x.split_at_mut(h * m);
    solve_lower(exec, l, ld, h, top, m);
    let off = Mat::with_ld(&l[h * ld..], n - h, h, ld);
    T::subtract_product(exec, off, Mat::new(top, h, m), MatMut::new(bottom, n - h, m));
    solve_lower(exec, &l[h * ld + h..], ld, n - h, bottom, m);
}

/// As [`solve_lower`] for `U X = B`, where U has a diagonal of its own.
fn solve_upper<T: Real>(exec: Exec, u: &[T], ld: usize, n: usize, x: &mut [T], m: usize) {
    if n <= SHORT {
        return T::solve_upper(exec, Mat::with_ld(u, n, n, ld), MatMut::new(x, n, m));
    }
    let h = half(n);
    let (top, bottom) = x.split_at_mut(h * m);
    solve_upper(exec, &u[h * ld + h..], ld, n - h, bottom, m);
    let off = Mat::with_ld(&u[h..], h, n - h, ld);
    T::subtract_product(exec, off, Mat::new(bottom, n - h, m), MatMut::new(top, h, m));
    solve_upper(exec, u, ld, h, top, m);
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
    solve_lower(exec, lu, n, n, x, m);
    solve_upper(exec, lu, n, n, x, m);
}

/// `out = A^-1 = U^-1 L^-1 P` from its factorisation, O(4/3 n^3): columns of `L^-1` are zero
/// above the diagonal. `panel` has [`panel_len`] numbers.
pub(crate) fn invert<T: Real>(
    exec: Exec,
    lu: &[T],
    pivots: &[u64],
    n: usize,
    panel: &mut [T],
    out: &mut [T],
) {
    for from in (0..n).step_by(2 * PANEL) {
        let width = usize::min(2 * PANEL, n - from);
        let panel = &mut panel[..n * width];
        let (share, across, within) = share::<T>(exec, width, n * n);
        let share = share.min(PANEL);
        for_parts(across, (panel, n * share), |i, panel| {
            let (first, width) = (from + i * share, panel.len() / n);
            panel.fill(T::ZERO);
            let lower = &mut panel[first * width..];
            lower.iter_mut().step_by(width + 1).take(width).for_each(|v| *v = T::ONE);
            solve_lower(within, &lu[first * n + first..], n, n - first, lower, width);
            solve_upper(within, lu, n, n, panel, width);
        });
        put_columns(exec, (panel, share), n, (out, n), from..from + width);
    }
    // An exchange of two numbers takes as long as moving a block.
    for_rows(exec, &mut out[..n * n], n, T::LANES * n, |_, rows| {
        for row in rows.chunks_exact_mut(n) {
            for (i, p) in pivots[..n].iter().enumerate().rev() {
                row.swap(i, *p as usize);
            }
        }
    });
}

/// `max |(A B)_ij - I_ij|`, as many rows at a time as `rows` holds: how good an inverse is. NaN
/// if one element is.
pub(crate) fn inverse_error<T: Real>(
    exec: Exec,
    a: &[T],
    b: &[T],
    n: usize,
    rows: &mut [T],
) -> f64 {
    let mut worst: f64 = 0.0;
    let band = rows.len() / n;
    for (from, a) in (0..n).step_by(band).zip(a[..n * n].chunks(band * n)) {
        let rows = &mut rows[..a.len()];
        let count = a.len() / n;
        let out = MatMut::new(rows, count, n);
        T::matmul_nn(exec, Mat::new(a, count, n), Mat::new(b, n, n), out);
        for (i, row) in rows.chunks_exact(n).enumerate() {
            for (j, v) in row.iter().enumerate() {
                let identity = if from + i == j { 1.0 } else { 0.0 };
                let error = libm::fabs(v.to_f64() - identity);
                if error.is_nan() {
                    return error;
                }
                worst = worst.max(error);
            }
        }
    }
    worst
}
