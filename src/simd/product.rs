//! The matrix products. Each output element has one order of operations, fixed by the contract:
//! it does not depend on the tile it falls into, on the batch around it, or on the level.

use super::matrix::{Mat, MatMut};
use super::sink::{Accumulate, Sink, Store};
use super::{Block, Kernel, Level, Real};

/// Runs the body for bands of rows, the band's height a constant.
macro_rules! for_tiles {
    ($S:ident, $rows:expr, |$r:ident, $M:ident| $body:block) => {{
        let (mut $r, rows) = (0, $rows);
        while $r < rows {
            let m = usize::min(6, rows - $r);
            match m {
                6 => {
                    const $M: usize = 6;
                    $body
                }
                5 => {
                    const $M: usize = 5;
                    $body
                }
                4 => {
                    const $M: usize = 4;
                    $body
                }
                3 => {
                    const $M: usize = 3;
                    $body
                }
                2 => {
                    const $M: usize = 2;
                    $body
                }
                _ => {
                    const $M: usize = 1;
                    $body
                }
            }
            $r += m;
        }
    }};
}

/// Runs the body for strips of columns: four whole blocks where registers allow, then single
/// ones, then the rest.
macro_rules! for_strips {
    ($S:ident, $cols:expr, |$c:ident, $n:ident, $N:ident| $body:block) => {{
        let (mut $c, cols) = (0, $cols);
        while $S::REGISTERS >= 32 && $c + 4 * T::LANES <= cols {
            const $N: usize = 4;
            let $n = T::LANES;
            $body
            $c += 4 * T::LANES;
        }
        while $c < cols {
            const $N: usize = 1;
            let $n = usize::min(T::LANES, cols - $c);
            $body
            $c += T::LANES;
        }
    }};
}

/// `out = X Y^T`: `out[i, j] = sum_k x[i, k] y[j, k]`, in `T::LANES` interleaved chains of
/// fused multiply-adds over `k`, summed by halving.
pub(crate) fn dots<T: Real>(level: Level, x: Mat<T>, y: Mat<T>, mut out: MatMut<T>) {
    assert!(x.cols == y.cols && out.rows == x.rows && out.cols == y.rows);
    T::dispatch(level, Dots { x, y, out: out.as_mut_ptr(), ld: out.ld });
}

struct Dots<'a, T> {
    x: Mat<'a, T>,
    y: Mat<'a, T>,
    out: *mut T,
    ld: usize,
}

impl<T: Real> Kernel<T> for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Block<T>>(self) {
        let mut j = 0;
        while j < self.y.rows {
            // The widest tile that the registers hold: accumulators, plus a column of x.
            let n = if S::REGISTERS >= 32 { 4 } else { 2 }.min(self.y.rows - j);
            match n {
                4 => self.column::<S, 4>(j),
                3 => self.column::<S, 3>(j),
                2 => self.column::<S, 2>(j),
                _ => self.column::<S, 1>(j),
            }
            j += n;
        }
    }
}

impl<T: Real> Dots<'_, T> {
    #[inline(always)]
    fn column<S: Block<T>, const N: usize>(&self, j: usize) {
        let mut i = 0;
        while i < self.x.rows {
            let m = if S::REGISTERS >= 32 { 5 } else { 3 }.min(self.x.rows - i);
            match m {
                5 => self.tile::<S, 5, N>(i, j),
                4 => self.tile::<S, 4, N>(i, j),
                3 => self.tile::<S, 3, N>(i, j),
                2 => self.tile::<S, 2, N>(i, j),
                _ => self.tile::<S, 1, N>(i, j),
            }
            i += m;
        }
    }

    #[inline(always)]
    fn tile<S: Block<T>, const M: usize, const N: usize>(&self, i: usize, j: usize) {
        let terms = self.x.cols;
        let whole = terms - terms % T::LANES;
        // SAFETY: `Mat` holds rows i..i+M of x, j..j+N of y with `terms` columns each, and `out`
        // the M x N elements at (i, j).
        unsafe {
            let x = self.x.as_ptr().add(i * self.x.ld);
            let y = self.y.as_ptr().add(j * self.y.ld);
            let mut acc = [[S::zero(); N]; M];
            let mut k = 0;
            while k < whole {
                Self::multiply(&mut acc, x.add(k), self.x.ld, y.add(k), self.y.ld, T::LANES);
                k += T::LANES;
            }
            if whole < terms {
                Self::multiply(&mut acc, x.add(k), self.x.ld, y.add(k), self.y.ld, terms - whole);
            }
            for (a, row) in acc.iter().enumerate() {
                let out = self.out.add((i + a) * self.ld + j);
                if let [v0, v1, v2, v3] = row[..] {
                    out.cast::<[T; 4]>().write_unaligned(S::sum4([v0, v1, v2, v3]));
                    continue;
                }
                for (b, v) in row.iter().enumerate() {
                    *out.add(b) = v.sum();
                }
            }
        }
    }

    /// One block along `k`, of which `n` lanes count.
    #[inline(always)]
    unsafe fn multiply<S: Block<T>, const M: usize, const N: usize>(
        acc: &mut [[S; N]; M],
        x: *const T,
        ldx: usize,
        y: *const T,
        ldy: usize,
        n: usize,
    ) {
        // SAFETY: by contract, `n` lanes of M rows of x and N rows of y are valid.
        unsafe {
            let mut yv = [S::zero(); N];
            for b in 0..N {
                yv[b] = S::load_n(y.add(b * ldy), n);
            }
            for a in 0..M {
                let xv = S::load_n(x.add(a * ldx), n);
                for b in 0..N {
                    acc[a][b] = xv.fma(yv[b], acc[a][b]);
                }
            }
        }
    }
}

/// `out = C X`: one chain of fused multiply-adds over the rows of X, from 0.
pub(crate) fn multiply<T: Real>(level: Level, c: Mat<T>, x: Mat<T>, out: MatMut<T>) {
    assert!(c.cols == x.rows && out.rows == c.rows && out.cols == x.cols);
    T::dispatch(level, Combine { c: [c, Mat::new(&[], 0, c.cols)], x, sink: Store::one(out) });
}

/// `out0 = C0 X` and `out1 = C1 X` with one read of X.
pub(crate) fn multiply_both<T: Real>(
    level: Level,
    (c0, out0): (Mat<T>, MatMut<T>),
    (c1, out1): (Mat<T>, MatMut<T>),
    x: Mat<T>,
) {
    assert!(c0.cols == x.rows && out0.rows == c0.rows && out0.cols == x.cols);
    assert!(c1.cols == x.rows && out1.rows == c1.rows && out1.cols == x.cols);
    T::dispatch(level, Combine { c: [c0, c1], x, sink: Store::two(out0, out1) });
}

/// `out = out - C X`.
pub(crate) fn subtract_product<T: Real>(level: Level, c: Mat<T>, x: Mat<T>, out: MatMut<T>) {
    assert!(c.cols == x.rows && out.rows == c.rows && out.cols == x.cols);
    T::dispatch(
        level,
        Combine { c: [c, Mat::new(&[], 0, c.cols)], x, sink: Accumulate::<T, true>(out) },
    );
}

/// Rows of `sink` combined from rows of X by the rows of both parts of C.
struct Combine<'a, T, K> {
    c: [Mat<'a, T>; 2],
    x: Mat<'a, T>,
    sink: K,
}

impl<T: Real, K: Sink<T>> Kernel<T> for Combine<'_, T, K> {
    type Output = ();
    #[inline(always)]
    fn run<S: Block<T>>(mut self) {
        let split = self.c[0].rows;
        let rows = split + self.c[1].rows;
        let mut max = S::zero();
        // A strip of columns for all rows: the strip of X stays in cache.
        for_strips!(S, self.x.cols, |c, n, N| {
            for_tiles!(S, rows, |r, M| {
                let mut row = [self.c[0].as_ptr(); M];
                for (i, p) in row.iter_mut().enumerate() {
                    let (part, at) = if r + i < split { (0, r + i) } else { (1, r + i - split) };
                    // SAFETY: row `at` exists in that part.
                    *p = unsafe { self.c[part].as_ptr().add(at * self.c[part].ld) };
                }
                let terms = self.x.rows;
                // SAFETY: the rows have `terms` coefficients; X has `terms` rows and the
                // columns c..; the sink has the tile.
                unsafe {
                    tile::<T, S, K, M, N>(
                        &row,
                        1,
                        self.x,
                        terms,
                        (r, c, n),
                        &mut self.sink,
                        &mut max,
                    );
                }
            });
        });
    }
}

/// `sink = A^T P` tile by tile: the rank-B update, one chain over the B rows in order. Returns
/// the largest magnitude that the sink reports.
pub(crate) fn update<T: Real, K: Sink<T>>(level: Level, a: Mat<T>, p: Mat<T>, sink: K) -> T {
    assert!(a.rows == p.rows && sink.shape() == (a.cols, p.cols));
    T::dispatch(level, Update { a, p, sink })
}

struct Update<'a, T, K> {
    a: Mat<'a, T>,
    p: Mat<'a, T>,
    sink: K,
}

impl<T: Real, K: Sink<T>> Kernel<T> for Update<'_, T, K> {
    type Output = T;
    #[inline(always)]
    fn run<S: Block<T>>(mut self) -> T {
        let mut max = S::zero();
        // A band of rows for all columns: the sink is streamed once, P stays in cache.
        for_tiles!(S, self.a.cols, |r, M| {
            for_strips!(S, self.p.cols, |c, n, N| {
                let mut column = [self.a.as_ptr(); M];
                for (i, p) in column.iter_mut().enumerate() {
                    // SAFETY: column r + i exists; never read if A has no rows.
                    *p = self.a.as_ptr().wrapping_add(r + i);
                }
                // SAFETY: the columns have `rows` coefficients `ld` apart; P has as many rows;
                // the sink has the tile.
                unsafe {
                    let (ld, terms) = (self.a.ld, self.a.rows);
                    tile::<T, S, K, M, N>(
                        &column,
                        ld,
                        self.p,
                        terms,
                        (r, c, n),
                        &mut self.sink,
                        &mut max,
                    );
                }
            });
        });
        max.to_array().as_ref().iter().fold(T::ZERO, |m, &v| if m < v { v } else { m })
    }
}

/// Adds `sum_k c[i, k] x[k, ..]` to M rows by N blocks of the sink, at row `r`, column `c`; the
/// last block counts `n` lanes (all blocks are whole when `N > 1`).
#[inline(always)]
unsafe fn tile<T: Real, S: Block<T>, K: Sink<T>, const M: usize, const N: usize>(
    coefficients: &[*const T; M],
    stride: usize,
    x: Mat<T>,
    terms: usize,
    (r, c, n): (usize, usize, usize),
    sink: &mut K,
    max: &mut S,
) {
    let mut acc = [[S::zero(); N]; M];
    // SAFETY: by contract.
    unsafe {
        for i in 0..M {
            for j in 0..N {
                acc[i][j] = sink.start(r + i, c + j * T::LANES, n);
            }
        }
        let base = x.as_ptr().wrapping_add(c);
        for k in 0..terms {
            let mut xv = [S::zero(); N];
            for j in 0..N {
                xv[j] = S::load_n(base.add(k * x.ld + j * T::LANES), n);
            }
            for i in 0..M {
                let f = *coefficients[i].add(k * stride);
                let f = S::splat(if K::NEGATE { -f } else { f });
                for j in 0..N {
                    acc[i][j] = f.fma(xv[j], acc[i][j]);
                }
            }
        }
        for i in 0..M {
            for j in 0..N {
                sink.finish(r + i, c + j * T::LANES, n, acc[i][j], max);
            }
        }
    }
}
