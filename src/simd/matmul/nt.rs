//! Products of rows with rows, `out = X Y^T`: both operands are read along their rows, so nothing
//! is packed or transposed.

use crate::plan::product::{SWIFT, dots};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;

/// Columns that are taken at a time: the tiles' rows stay in the first cache, and the sums of
/// each such chunk are added in order. Part of the contract of bits.
const COLUMNS: usize = 1024;

/// `out = X Y^T`: `out[i, j] = sum_k x[i, k] y[j, k]`, for each 1024 columns in `T::LANES`
/// interleaved chains of fused multiply-adds over `k`, summed by halving.
pub(crate) fn matmul_nt<T: Real>(exec: Exec, x: Mat<T>, y: Mat<T>, out: MatMut<T>) {
    assert!(x.cols == y.cols && out.rows == x.rows && out.cols == y.rows);
    run(exec, x, y, out, false);
}

/// `out = X X^T`, of which only the elements on and below the diagonal are promised.
pub(crate) fn gram<T: Real>(exec: Exec, x: Mat<T>, out: MatMut<T>) {
    assert!(out.rows == x.rows && out.cols == x.rows);
    run(exec, x, x, out, true);
}

fn run<T: Real>(exec: Exec, x: Mat<T>, y: Mat<T>, out: MatMut<T>, lower: bool) {
    let work = x.rows * y.rows * x.cols.div_ceil(T::LANES);
    exec.split(y.rows, 16, work, |from, to| {
        T::dispatch(exec.level, Dots { x, y, out: &out, lower, from, to });
    });
}

/// Rows `from .. to` of y.
pub(in crate::simd) struct Dots<'a, T> {
    pub x: Mat<'a, T>,
    pub y: Mat<'a, T>,
    pub out: &'a MatMut<'a, T>,
    pub lower: bool,
    pub from: usize,
    pub to: usize,
}

impl<T: Real> Kernel<T> for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        if dots::one_by_one(self.x.rows, self.to - self.from, self.x.cols, T::LANES) {
            return self.one_by_one::<S>();
        }
        let row_bytes = COLUMNS.min(self.x.cols.max(1)) * size_of::<T>();
        let band = dots::band(self.x.rows, row_bytes);
        let mut i = 0;
        while i < self.x.rows {
            let rows = band.min(self.x.rows - i);
            let mut k = 0;
            loop {
                let terms = COLUMNS.min(self.x.cols - k);
                self.band::<S>((i, rows), (k, terms));
                k += terms;
                if k == self.x.cols {
                    break;
                }
            }
            i += rows;
        }
    }
}

impl<T: Real> Dots<'_, T> {
    /// So few and short that calls would take longer than the arithmetic.
    #[inline(always)]
    fn one_by_one<S: Vector<T>>(&self) {
        for i in 0..self.x.rows {
            for j in self.from..self.to {
                let mut sum = S::zero();
                for k in (0..self.x.cols).step_by(T::LANES) {
                    let n = T::LANES.min(self.x.cols - k);
                    // SAFETY: both matrices have these rows and columns.
                    let (x, y) =
                        unsafe { (S::load_n(self.x.at(i, k), n), S::load_n(self.y.at(j, k), n)) };
                    sum = x.fma(y, sum);
                }
                // SAFETY: `out` has the element, and no other thread has it.
                unsafe { *self.out.at(i, j) = sum.sum() };
            }
        }
    }

    /// Some rows of x, some columns, against all rows of y.
    #[inline(always)]
    fn band<S: Vector<T>>(&self, (i, rows): (usize, usize), columns: (usize, usize)) {
        let mut j = self.from;
        if !self.lower && dots::fans(rows, self.x.cols, T::LANES) {
            j += self.fans::<S>(i);
        }
        while j < self.to {
            let n = S::DOT_TILE.1.min(self.to - j);
            let above = if self.lower { j.saturating_sub(i).min(rows) } else { 0 };
            let rows = (i + above, rows - above);
            self.column::<S>(rows, j, n, columns);
            j += n;
        }
    }

    /// Row i of x against as many rows of y as make whole fans; so many they are.
    #[inline(always)]
    fn fans<S: Vector<T>>(&self, i: usize) -> usize {
        let rows = S::DOT_TILE.0 * S::DOT_TILE.1;
        let fans = (self.to - self.from) / rows;
        if fans == 0 {
            return 0;
        }
        let (terms, x, out) = (self.x.cols, self.x.at(i, 0), self.out.at(i, self.from));
        let y = (self.y.at(self.from, 0), self.y.ld);
        macro_rules! shapes {
            ($($m:literal $n:literal;)*) => {
                match S::DOT_TILE {
                    $(($m, $n) => if const { $m == S::DOT_TILE.0 && $n == S::DOT_TILE.1 } {
                        S::outline(Fans::<T, $m, $n> { fans, terms, x, y, out });
                        fans * rows
                    } else { 0 },)*
                    _ => 0,
                }
            };
        }
        shapes!(4 4; 3 2; 2 2; 2 1;)
    }

    /// Against `width` rows of y, in tiles of equal height or one less.
    #[inline(always)]
    fn column<S: Vector<T>>(
        &self,
        (mut i, rows): (usize, usize),
        j: usize,
        width: usize,
        (k, terms): (usize, usize),
    ) {
        let tiles = rows.div_ceil(S::DOT_TILE.0).max(1);
        let (height, higher) = (rows / tiles, rows % tiles);
        for (height, tiles) in [(height + 1, higher), (height, tiles - higher)] {
            if height == 0 || tiles == 0 {
                continue;
            }
            let add = k > 0;
            // Where Y is read from memory, the next rows of it are fetched on the way.
            let ahead = dots::fetches(self.y.rows * self.y.ld * size_of::<T>()) && i == 0;
            let (x, y) = ((self.x.at(i, k), self.x.ld), (self.y.at(j, k), self.y.ld));
            let out = (self.out.at(i, j), self.out.ld);
            macro_rules! shapes {
                ($($m:literal: $($n:literal)*;)*) => {
                    match (height, width) {
                        // What the level has no registers for is not even compiled.
                        $($(($m, $n) => if const { $m <= S::DOT_TILE.0 && $n <= S::DOT_TILE.1 } {
                            S::outline(Tiles::<T, $m, $n> { tiles, terms, add, ahead, x, y, out })
                        },)*)*
                        _ => {}
                    }
                };
            }
            shapes!(1: 1 2 3 4; 2: 1 2 3 4; 3: 1 2 3 4; 4: 1 2 3 4;);
            i += height * tiles;
        }
    }
}

/// Tiles below each other, of M rows of x and N rows of y: a function of its own for each shape,
/// so that all accumulators find registers.
struct Tiles<T, const M: usize, const N: usize> {
    tiles: usize,
    terms: usize,
    /// Whether the sums are added to what stands in `out`.
    add: bool,
    /// Whether the rows of y that come next are fetched on the way.
    ahead: bool,
    x: (*const T, usize),
    y: (*const T, usize),
    out: (*mut T, usize),
}

impl<T: Real, const M: usize, const N: usize> Kernel<T> for Tiles<T, M, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let ((mut x, ldx), (y, ldy), (mut out, ld)) = (self.x, self.y, self.out);
        let whole = self.terms - self.terms % T::LANES;
        for tile in 0..self.tiles {
            let ahead = self.ahead && tile == 0;
            // SAFETY: `Dots` names M rows of x for each tile and N of y with `terms` columns
            // each, and as many elements of `out`.
            unsafe {
                let mut acc = [[S::zero(); N]; M];
                let mut k = 0;
                while k < whole {
                    if ahead {
                        for b in 0..N {
                            S::prefetch(y.wrapping_add((N + b) * ldy + k), M < SWIFT);
                        }
                    }
                    acc = step(acc, x.add(k), ldx, y.add(k), ldy, T::LANES);
                    k += T::LANES;
                }
                if whole < self.terms {
                    acc = step(acc, x.add(k), ldx, y.add(k), ldy, self.terms - whole);
                }
                for mut sums in S::sums(acc) {
                    if self.add {
                        for b in 0..N {
                            sums[b] = *out.add(b) + sums[b];
                        }
                    }
                    out.cast::<[T; N]>().write_unaligned(sums);
                    out = out.wrapping_add(ld);
                }
            }
            x = x.wrapping_add(M * ldx);
        }
    }
}

/// One row of x against M N rows of y at a time: the accumulators of a whole tile.
struct Fans<T, const M: usize, const N: usize> {
    fans: usize,
    terms: usize,
    x: *const T,
    y: (*const T, usize),
    out: *mut T,
}

impl<T: Real, const M: usize, const N: usize> Kernel<T> for Fans<T, M, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let (x, (mut y, ld), mut out) = (self.x, self.y, self.out);
        for _ in 0..self.fans {
            // SAFETY: `Dots` names a row of x with `terms` columns, M N rows of y and elements of
            // `out` for each fan.
            unsafe {
                let mut acc = [[S::zero(); N]; M];
                let mut k = 0;
                while k < self.terms {
                    let n = T::LANES.min(self.terms - k);
                    let xv = S::load_n(x.add(k), n);
                    for a in 0..M {
                        for b in 0..N {
                            let yv = S::load_n(y.add((a * N + b) * ld + k), n);
                            acc[a][b] = xv.fma(yv, acc[a][b]);
                        }
                    }
                    k += T::LANES;
                }
                for sums in S::sums(acc) {
                    out.cast::<[T; N]>().write_unaligned(sums);
                    out = out.wrapping_add(N);
                }
            }
            y = y.wrapping_add(M * N * ld);
        }
    }
}

/// One block along `k`, of which `n` lanes count.
#[inline(always)]
unsafe fn step<T: Real, S: Vector<T>, const M: usize, const N: usize>(
    mut acc: [[S; N]; M],
    x: *const T,
    ldx: usize,
    y: *const T,
    ldy: usize,
    n: usize,
) -> [[S; N]; M] {
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
    acc
}
