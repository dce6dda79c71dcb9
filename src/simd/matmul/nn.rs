//! Products whose right operand is read along its rows: `C X` and `A^T P`. Each output element is
//! one chain of fused multiply-adds over those rows, in order; it does not depend on the tile it
//! falls into, on the rows around it, or on the level.

use core::sync::atomic::Ordering;

use crate::plan::product::{self, FAR, Order, STRIP, SWIFT};
use crate::simd::layers::elementwise::largest;
use crate::simd::matmul::epilogue::{Epilogue, Store, Subtract};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernel, Real, Vector};
use crate::threads::counters::AtomicU32;
use crate::threads::parallel::Exec;

/// `out = C X`.
pub(crate) fn matmul_nn<T: Real>(exec: Exec, c: Mat<T>, x: Mat<T>, out: MatMut<T>) {
    assert!(c.cols == x.rows && out.rows == c.rows && out.cols == x.cols);
    run(exec, Lhs::rows(c), x, &Store::one(out));
}

/// `out0 = C0 X` and `out1 = C1 X` with one read of X.
pub(crate) fn matmul_nn_pair<T: Real>(
    exec: Exec,
    (c0, out0): (Mat<T>, MatMut<T>),
    (c1, out1): (Mat<T>, MatMut<T>),
    x: Mat<T>,
) {
    assert!(c0.cols == x.rows && out0.rows == c0.rows && out0.cols == x.cols);
    assert!(c1.cols == x.rows && out1.rows == c1.rows && out1.cols == x.cols);
    let mut c = Lhs::rows(c0);
    (c.second, c.rows) = (c1, c0.rows + c1.rows);
    run(exec, c, x, &Store::two(out0, out1));
}

/// `out = out - C X`.
pub(crate) fn subtract_product<T: Real>(exec: Exec, c: Mat<T>, x: Mat<T>, out: MatMut<T>) {
    assert!(c.cols == x.rows && out.rows == c.rows && out.cols == x.cols);
    run(exec, Lhs::rows(c), x, &Subtract(out));
}

/// The left operand: row `i` of the output takes its coefficients from row `i` of C (of two
/// matrices one below the other) or from column `i` of A.
#[derive(Clone, Copy)]
pub(in crate::simd) struct Lhs<'a, T> {
    first: Mat<'a, T>,
    second: Mat<'a, T>,
    transposed: bool,
    rows: usize,
}

impl<'a, T: Real> Lhs<'a, T> {
    pub fn rows(c: Mat<'a, T>) -> Self {
        let none = Mat::new(&[], 0, c.cols);
        Lhs { first: c, second: none, transposed: false, rows: c.rows }
    }

    pub fn columns(a: Mat<'a, T>) -> Self {
        let none = Mat::new(&[], 0, a.cols);
        Lhs { first: a, second: none, transposed: true, rows: a.cols }
    }

    /// The address of the coefficient of output row `r` and row `k` of X, and the step to the
    /// next `k`.
    #[inline(always)]
    fn at(&self, r: usize, k: usize) -> (*const T, usize) {
        if self.transposed {
            (self.first.at(k, r), self.first.ld)
        } else if r < self.first.rows {
            (self.first.at(r, k), 1)
        } else {
            (self.second.at(r - self.first.rows, k), 1)
        }
    }
}

pub(in crate::simd) fn run<T: Real, K: Epilogue<T>>(
    exec: Exec,
    c: Lhs<T>,
    x: Mat<T>,
    sink: &K,
) -> f64 {
    let (rows, cols) = (c.rows, x.cols);
    match product::order(rows, x.rows, size_of::<T>()) {
        Order::Bands(width) => over_parts(exec, x, sink, (rows, 12), |from, to, max| {
            let mut column = 0;
            while column < cols {
                let columns = (column, cols.min(column + width));
                max.raise(T::dispatch(exec.level, Bands { c, x, sink, rows: (from, to), columns }));
                column = columns.1;
            }
        }),
        Order::Strips => over_parts(exec, x, sink, (cols, STRIP), |from, to, max| {
            max.raise(T::dispatch(exec.level, Strips { c, x, sink, columns: (from, to) }));
        }),
    }
}

/// Calls `body(from, to, max)` for parts of `0..n` on the team's threads, split at multiples of
/// `grain`, until the sink has all that becomes of X. The maximum.
pub(in crate::simd) fn over_parts<T: Real, K: Epilogue<T>>(
    exec: Exec,
    x: Mat<T>,
    sink: &K,
    (n, grain): (usize, usize),
    body: impl Fn(usize, usize, &Max) + Sync,
) -> f64 {
    let (rows, cols) = sink.shape();
    let work = rows * cols.div_ceil(T::LANES) * (x.rows + sink.cost());
    let max = Max(AtomicU32::new(0));
    exec.split(n, grain, work, |from, to| body(from, to, &max));
    max.get()
}

/// A maximum over threads: the upper half of a double's bits orders as the double does.
pub(in crate::simd) struct Max(AtomicU32);

impl Max {
    pub fn raise(&self, x: f64) {
        let bits = x.to_bits();
        let up = u32::from(bits & 0xffff_ffff != 0);
        self.0.fetch_max((bits >> 32) as u32 + up, Ordering::Relaxed);
    }
    fn get(&self) -> f64 {
        f64::from_bits(u64::from(self.0.load(Ordering::Relaxed)) << 32)
    }
}

/// `n` in parts of at most `most`, of equal size or one less: calls `body(at, count, size)` for
/// the larger ones, then for the others.
#[inline(always)]
pub(in crate::simd) fn parts(n: usize, most: usize, mut body: impl FnMut(usize, usize, usize)) {
    let count = n.div_ceil(most).max(1);
    let (size, larger) = (n / count, n % count);
    if larger > 0 {
        body(0, larger, size + 1);
    }
    if size > 0 {
        body(larger * (size + 1), count - larger, size);
    }
}

/// Columns `from .. to` in strips of at most `most` blocks: calls `body(c, strips, width, n)` for
/// strips side by side, `width` blocks each, the last of which has `n` lanes.
#[inline(always)]
fn for_strips<T: Real>(
    (from, to): (usize, usize),
    most: usize,
    mut body: impl FnMut(usize, usize, usize, usize),
) {
    let blocks = (to - from).div_ceil(T::LANES);
    parts(blocks, most, |at, count, width| {
        let c = from + at * T::LANES;
        let last = c + (count - 1) * width * T::LANES;
        let n = usize::min(T::LANES, to - last - (width - 1) * T::LANES);
        let whole = if n == T::LANES { count } else { count - 1 };
        if whole > 0 {
            body(c, whole, width, T::LANES);
        }
        if whole < count {
            body(last, 1, width, n);
        }
    });
}

/// Some columns of a product, within another kernel.
#[inline(always)]
pub(in crate::simd) fn strips<T: Real, S: Vector<T>, K: Epilogue<T>>(
    c: Lhs<T>,
    x: Mat<T>,
    sink: &K,
    columns: (usize, usize),
) {
    if product::is_inline(c.rows, x.rows) {
        // A call would take longer than the arithmetic.
        let mut max = S::zero();
        for column in (columns.0..columns.1).step_by(T::LANES) {
            let n = T::LANES.min(columns.1 - column);
            for r in 0..c.rows {
                // SAFETY: the operands and the sink have these rows and columns.
                unsafe {
                    let own = S::splat(sink.own(r));
                    let mut sum = sink.start(r, column, n, true, own);
                    for k in 0..x.rows {
                        let f = *c.at(r, k).0;
                        let f = S::splat(if K::NEGATE { -f } else { f });
                        sum = f.fma(S::load_n(x.at(k, column), n), sum);
                    }
                    sink.finish(r, column, n, sum, own, &mut max);
                }
            }
        }
        return;
    }
    Strips { c, x, sink, columns }.run::<S>();
}

/// Some rows of a product, within another kernel.
#[inline(always)]
pub(in crate::simd) fn tiles<T: Real, S: Vector<T>, K: Epilogue<T>>(
    c: Lhs<T>,
    x: Mat<T>,
    sink: &K,
    rows: (usize, usize),
) -> f64 {
    Bands { c, x, sink, rows, columns: (0, x.cols) }.run::<S>()
}

/// Strips of columns for all rows: a strip of X stays in cache.
struct Strips<'a, T, K> {
    c: Lhs<'a, T>,
    x: Mat<'a, T>,
    sink: &'a K,
    columns: (usize, usize),
}

impl<T: Real, K: Epilogue<T>> Kernel<T> for Strips<'_, T, K> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> f64 {
        let mut max = T::Array::default();
        let all = self.x.rows;
        let stride = self.x.ld * size_of::<T>();
        let block = product::strip_terms(self.c.rows, all, stride, K::RESUMES);
        let mut k = 0;
        loop {
            let terms = block.min(all - k);
            let grid = Grid { k, terms, ..Grid::new(self.c, self.x, self.sink) };
            for_strips::<T>(self.columns, grid.widest::<S>(), |c, count, width, n| {
                for c in (0..count).map(|strip| c + strip * width * T::LANES) {
                    parts(
                        self.c.rows,
                        product::tile_rows(all, self.sink.streams()).min(S::TILE.0),
                        |r, tiles, height| {
                            let ahead = r == 0 && block < all;
                            let part = Part { r, tiles, c, strips: 1, n, ahead };
                            grid.run::<S>(part, height, width, &mut max);
                        },
                    );
                }
            });
            k += terms;
            if k == all {
                return largest(max.as_ref()).to_f64();
            }
        }
    }
}

/// Bands of rows for some columns: the output is streamed once, X stays in cache.
struct Bands<'a, T, K> {
    c: Lhs<'a, T>,
    x: Mat<'a, T>,
    sink: &'a K,
    rows: (usize, usize),
    columns: (usize, usize),
}

impl<T: Real, K: Epilogue<T>> Kernel<T> for Bands<'_, T, K> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> f64 {
        let mut max = T::Array::default();
        let grid = Grid::new(self.c, self.x, self.sink);
        let (from, to) = self.rows;
        let highest = product::tile_rows(grid.terms, self.sink.streams()).min(S::TILE.0);
        // Small outputs stay in cache anyway: all bands in one call then.
        if product::is_small((to - from) * self.sink.shape().1 * size_of::<T>()) {
            for_strips::<T>(self.columns, grid.widest::<S>(), |c, strips, width, n| {
                parts(to - from, highest, |at, tiles, height| {
                    let part = Part { r: from + at, tiles, c, strips, n, ahead: false };
                    grid.run::<S>(part, height, width, &mut max);
                });
            });
            return largest(max.as_ref()).to_f64();
        }
        parts(to - from, highest, |at, tiles, height| {
            for r in (0..tiles).map(|tile| from + at + tile * height) {
                for_strips::<T>(self.columns, grid.widest::<S>(), |c, strips, width, n| {
                    let part = Part { r, tiles: 1, c, strips, n, ahead: false };
                    grid.run::<S>(part, height, width, &mut max);
                });
            }
        });
        largest(max.as_ref()).to_f64()
    }
}

/// Rows `k .. k + terms` of X with their coefficients, to be added to the sink.
pub(in crate::simd) struct Grid<'a, T, K> {
    pub c: Lhs<'a, T>,
    pub x: Mat<'a, T>,
    pub sink: &'a K,
    k: usize,
    pub terms: usize,
    /// Whether what the sink reads is fetched ahead.
    fetch: bool,
}

/// The rows of a tile, `step` apart: where the coefficients of each begin, `stride` apart.
pub(in crate::simd) struct TileRows<T, const M: usize> {
    r: usize,
    step: usize,
    coefficients: [*const T; M],
    stride: usize,
}

impl<T, const M: usize> TileRows<T, M> {
    /// The number of row `i` of the tile.
    #[inline(always)]
    pub fn number(&self, i: usize) -> usize {
        self.r + i * self.step
    }

    /// The address of the coefficient of row `i` of the tile for term `k`.
    #[inline(always)]
    pub fn coefficient(&self, i: usize, k: usize) -> *const T {
        self.coefficients[i].wrapping_add(k * self.stride)
    }
}

/// Equal tiles of the output: `tiles` from row `r` down, `strips` from column `c` to the right.
#[derive(Clone, Copy)]
struct Part {
    r: usize,
    tiles: usize,
    c: usize,
    strips: usize,
    /// Lanes of the last block of a tile.
    n: usize,
    /// Whether the strip to the right, which comes next, is fetched on the way.
    ahead: bool,
}

impl<'a, T: Real, K: Epilogue<T>> Grid<'a, T, K> {
    /// All of a product.
    #[inline(always)]
    pub fn new(c: Lhs<'a, T>, x: Mat<'a, T>, sink: &'a K) -> Self {
        Grid { c, x, sink, k: 0, terms: x.rows, fetch: sink.reads() > FAR }
    }

    /// M rows from row `r` on, `step` apart.
    #[inline(always)]
    pub fn rows<const M: usize>(&self, r: usize, step: usize) -> TileRows<T, M> {
        let mut rows = TileRows { r, step, coefficients: [core::ptr::null(); M], stride: 1 };
        for i in 0..M {
            (rows.coefficients[i], rows.stride) = self.c.at(r + i * step, self.k);
        }
        rows
    }

    /// The most blocks of a tile.
    #[inline(always)]
    pub fn widest<S: Vector<T>>(&self) -> usize {
        product::tile_blocks(self.terms, self.fetch, S::TILE.1)
    }

    /// Runs a part by the function for its tiles of `height` rows by `width` blocks.
    #[inline(always)]
    fn run<S: Vector<T>>(&self, part: Part, height: usize, width: usize, max: &mut T::Array) {
        macro_rules! shapes {
            ($($m:literal: $($n:literal)*;)*) => {
                match (height, width) {
                    // What the level has no registers for is not even compiled.
                    $($(($m, $n) => if const { $m <= S::TILE.0 && $n <= S::TILE.1 } {
                        S::outline(Tiles::<T, K, $m, $n>(self, part, max))
                    },)*)*
                    _ => {}
                }
            };
        }
        shapes!(1: 1 2 3 4; 2: 1 2 3 4; 3: 1 2 3 4; 4: 1 2 3 4; 5: 1 2 3 4; 6: 1 2 3 4;)
    }
}

/// Tiles of M rows by N blocks: a function of its own for each shape, so that all accumulators
/// find registers.
struct Tiles<'a, T: Real, K, const M: usize, const N: usize>(
    &'a Grid<'a, T, K>,
    Part,
    &'a mut T::Array,
);

impl<T: Real, K: Epilogue<T>, const M: usize, const N: usize> Kernel<T> for Tiles<'_, T, K, M, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let Tiles(grid, Part { r, tiles, c, strips, n, ahead }, largest) = self;
        // SAFETY: an array has the lanes of a block.
        let mut max = unsafe { S::load(largest.as_ref().as_ptr()) };
        for r in (0..tiles).map(|tile| r + tile * M) {
            let rows = grid.rows::<M>(r, 1);
            for c in (0..strips).map(|strip| c + strip * N * T::LANES) {
                // SAFETY: the part lies within the sink and the operands.
                unsafe {
                    if n < T::LANES {
                        grid.tile::<S, M, N, true>(&rows, (c, n), ahead, &mut max);
                    } else {
                        grid.tile::<S, M, N, false>(&rows, (c, T::LANES), ahead, &mut max);
                    }
                }
            }
        }
        *largest = max.to_array();
    }
}

impl<T: Real, K: Epilogue<T>> Grid<'_, T, K> {
    /// M rows by N blocks of the sink from column `c` on; the last block counts `n` lanes, fewer
    /// than it has if `PARTIAL`: a constant, so that no branch on it is left in the loop.
    #[inline(always)]
    pub unsafe fn tile<S: Vector<T>, const M: usize, const N: usize, const PARTIAL: bool>(
        &self,
        rows: &TileRows<T, M>,
        (c, n): (usize, usize),
        ahead: bool,
        max: &mut S,
    ) {
        let further = product::strips_ahead(self.terms, K::LONG_AHEAD);
        // Where the last vector of each row is cut short it has loops of its own, so that all loops are
        // short enough to be unrolled before the compiler decides what stays in registers.
        let whole = if PARTIAL { N - 1 } else { N };
        let column = |j: usize| c + j * T::LANES;
        let mut acc = [[S::zero(); N]; M];
        // SAFETY: by contract.
        unsafe {
            if PARTIAL {
                core::hint::assert_unchecked(n > 0 && n < T::LANES);
            }
            let first = self.k == 0;
            for i in 0..M {
                let own = S::splat(self.sink.own(rows.number(i)));
                for j in 0..whole {
                    let (row, c) = (rows.number(i), column(j));
                    acc[i][j] = self.sink.start(row, c, T::LANES, first, own);
                    if self.fetch {
                        self.sink.fetch::<S>(row, column(j + further * N), M <= SWIFT);
                    }
                }
            }
            if PARTIAL {
                for i in 0..M {
                    let own = S::splat(self.sink.own(rows.number(i)));
                    let (row, c) = (rows.number(i), column(N - 1));
                    acc[i][N - 1] = self.sink.start(row, c, n, first, own);
                    if self.fetch {
                        self.sink.fetch::<S>(row, column(N - 1 + further * N), M <= SWIFT);
                    }
                }
            }
            let mut at = self.x.at(self.k, c);
            for k in 0..self.terms {
                let mut xv = [S::zero(); N];
                for j in 0..N {
                    let p = at.wrapping_add(j * T::LANES);
                    xv[j] = if PARTIAL && j + 1 == N { S::load_partial(p, n) } else { S::load(p) };
                    if ahead {
                        // Where rows begin within a line, the last of a block is the new one.
                        S::prefetch(at.wrapping_add((N + j + 1) * T::LANES - 1), M < SWIFT);
                    }
                }
                for i in 0..M {
                    let f = *rows.coefficient(i, k);
                    let f = S::splat(if K::NEGATE { -f } else { f });
                    for j in 0..N {
                        acc[i][j] = f.fma(xv[j], acc[i][j]);
                    }
                }
                at = at.wrapping_add(self.x.ld);
            }
            // A copy, which may be indexed by a loop while the accumulators stay in registers.
            let mut done = [[S::zero(); N]; M];
            for i in 0..M {
                for j in 0..N {
                    done[i][j] = acc[i][j];
                }
            }
            for i in 0..M {
                let own = S::splat(self.sink.own(rows.number(i)));
                for j in 0..whole {
                    let c = column(j);
                    self.sink.finish(rows.number(i), c, T::LANES, done[i][j], own, max);
                }
            }
            if PARTIAL {
                for i in 0..M {
                    let own = S::splat(self.sink.own(rows.number(i)));
                    let (row, c) = (rows.number(i), column(N - 1));
                    self.sink.finish(row, c, n, done[i][N - 1], own, max);
                }
            }
        }
    }
}
