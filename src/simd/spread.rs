//! Updates of several terms whose rows begin anywhere within a cache line. As in [`flat`](super::flat)
//! vectors lie from one multiple of 64 bytes to the next and run on from a row into the next one.
//! Rows `LANES` apart, a multiple of 64 bytes, have them at the same columns: tiles are made of such
//! rows, one of each of several groups of `LANES` rows. The numbers come about as in other tiles.

use super::elementwise::largest;
use super::flat::{Around, Lanes, ahead};
use super::matrix::Mat;
use super::parallel::Exec;
use super::product::{Coefficients, FAR, Grid, Max, parts};
use super::sink::Sink;
use super::{Block, Kernel, Real};

/// The most terms, and the bytes that the sink reads from which on it pays that less is fetched,
/// measured: smaller matrices wait for arithmetic.
const MOST_TERMS: usize = 16;
const LEAST: usize = 2 << 20;

/// Whether an update with the rows of `x` goes faster this way.
pub(super) fn is_better<T: Real, K: Sink<T>>(x: Mat<T>, sink: &K) -> bool {
    let (rows, cols) = sink.shape();
    let start = sink.start_without_gaps();
    rows > T::LANES
        && cols >= T::LANES
        && (1..=MOST_TERMS).contains(&x.rows)
        && sink.reads() >= LEAST
        && start.is_some_and(|at| cols % T::LANES > 0 || at.align_offset(64) > 0)
}

/// `sink = A^T X`, as [`update`](super::product::update).
pub(super) fn run<T: Real, K: Sink<T>>(exec: Exec, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
    let (rows, cols) = sink.shape();
    assert!((1..=MOST_TERMS).contains(&x.rows) && cols >= T::LANES);
    assert!(sink.start_without_gaps().is_some());
    let (c, fetch) = (Coefficients::columns(a), sink.reads() > FAR);
    let grid = Grid { c, x, sink, k: 0, terms: x.rows, fetch };
    let max = Max::new();
    let work = rows * cols.div_ceil(T::LANES) * (x.rows + K::COST);
    exec.split(rows, GROUPS * T::LANES, work, |from, to| {
        max.raise(T::dispatch(exec.level, Spread { grid: &grid, from, to }));
    });
    max.get()
}

/// Groups of rows that a thread takes at least, so that there are several to make tiles of.
const GROUPS: usize = 2;

/// Rows `from .. to` of an update.
struct Spread<'a, T: Real, K> {
    grid: &'a Grid<'a, T, K>,
    from: usize,
    to: usize,
}

impl<T: Real, K: Sink<T>> Kernel<T> for Spread<'_, T, K> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Block<T>>(self) -> f64 {
        let mut max = T::Array::default();
        let around = Around::of(self.grid.x);
        let rows = self.to - self.from;
        let (groups, rest) = (rows / T::LANES, rows % T::LANES);
        let highest = K::highest(self.grid.terms).min(S::TILE.0).min(3);
        parts(groups, highest, |at, count, height| {
            for r in (0..count).map(|i| self.from + (at + i * height) * T::LANES) {
                macro_rules! heights {
                    ($($m:literal)*) => {
                        match height {
                            $($m => if const { $m <= S::TILE.0 } {
                                let rows = (r, r + T::LANES);
                                S::outline(Groups::<T, K, $m>(&self, &around, rows, &mut max))
                            },)*
                            _ => {}
                        }
                    };
                }
                heights!(1 2 3);
            }
        });
        if rest > 0 {
            let rows = (self.to - rest, self.to);
            S::outline(Groups::<T, K, 1>(&self, &around, rows, &mut max));
        }
        largest(max.as_ref()).to_f64()
    }
}

/// M groups one below the other: rows `from .. to` of the first, all of `LANES` rows if M > 1.
struct Groups<'a, T: Real, K, const M: usize>(
    &'a Spread<'a, T, K>,
    &'a Around<T, MOST_TERMS>,
    (usize, usize),
    &'a mut T::Array,
);

impl<T: Real, K: Sink<T>, const M: usize> Kernel<T> for Groups<'_, T, K, M> {
    type Output = ();
    #[inline(always)]
    fn run<S: Block<T>>(self) {
        let Groups(&Spread { grid, .. }, around, (from, to), largest) = self;
        let (cols, step) = (grid.x.cols, T::LANES);
        let lanes = Lanes::<S>::new();
        let mut c = ahead(grid.sink, from);
        // SAFETY: an array has the lanes of a block. All vectors lie within these rows of the sink:
        // A has its rows as columns, X its columns.
        unsafe {
            let mut max = S::load(largest.as_ref().as_ptr());
            for r in from..to {
                let mut rows = [core::ptr::null(); M];
                let mut stride = 0;
                for i in 0..M {
                    (rows[i], stride) = grid.c.at(r + i * step, 0);
                }
                let of = (&rows, stride, step);
                if r == from && c > 0 {
                    grid.tile::<S, M, 1>(of, (r, 0, c), false, &mut max);
                }
                // Strips of as many vectors as there are registers for, of equal width or one
                // less. A closure would not be compiled for these vectors.
                let mut whole = (cols - c) / T::LANES;
                while whole > 0 {
                    let width = whole.div_ceil(whole.div_ceil(grid.widest::<S>()));
                    let at = (r, c, T::LANES);
                    macro_rules! widths {
                        ($($n:literal)*) => {
                            match width {
                                $($n => if const { $n <= S::TILE.1 } {
                                    grid.tile::<S, M, $n>(of, at, false, &mut max)
                                },)*
                                _ => {}
                            }
                        };
                    }
                    widths!(1 2 3 4);
                    c += width * T::LANES;
                    whole -= width;
                }
                let here = cols - c;
                if here == 0 {
                    c = 0;
                } else if r + 1 == to {
                    grid.tile::<S, M, 1>(of, (r, c, here), false, &mut max);
                } else {
                    grid.across::<S, M>(of, (r, c, here), (lanes, around), &mut max);
                    c = T::LANES - here;
                }
            }
            *largest = max.to_array();
        }
    }
}

impl<T: Real, K: Sink<T>> Grid<'_, T, K> {
    /// Vectors at column `c` that hold `here` numbers of rows `r`, `r + step` and so on, and then
    /// the first ones of the rows after these, whose coefficients come next in memory.
    #[inline(always)]
    unsafe fn across<S: Block<T>, const M: usize>(
        &self,
        (rows, stride, step): (&[*const T; M], usize, usize),
        (r, c, here): (usize, usize, usize),
        (lanes, around): (Lanes<S>, &Around<T, MOST_TERMS>),
        max: &mut S,
    ) {
        let (mut own, mut acc) = ([S::zero(); M], [S::zero(); M]);
        // SAFETY: by contract.
        unsafe {
            for i in 0..M {
                let r = r + i * step;
                own[i] =
                    lanes.select(here, S::splat(self.sink.own(r)), S::splat(self.sink.own(r + 1)));
                acc[i] = self.sink.start(r, c, T::LANES, true, own[i]);
            }
            for k in 0..self.terms {
                let x = S::load(around.at(k, here));
                for i in 0..M {
                    let f = rows[i].wrapping_add(k * stride);
                    let (this, next) = (S::splat(*f), S::splat(*f.wrapping_add(1)));
                    acc[i] = lanes.select(here, this, next).fma(x, acc[i]);
                }
            }
            for i in 0..M {
                self.sink.finish(r + i * step, c, T::LANES, acc[i], own[i], max);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::flat::tests::steps;
    use super::super::product;
    use super::super::sink::Scaled;
    use super::*;

    fn tiled<T: Real, K: Sink<T>>(a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
        product::run(Exec::serial(Level::Scalar), Coefficients::columns(a), x, sink)
    }

    /// As threads would have it, from the end.
    fn in_parts<T: Real, K: Sink<T>>(level: Level, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
        let c = Coefficients::columns(a);
        let grid = Grid { c, x, sink, k: 0, terms: x.rows, fetch: true };
        let (rows, grain) = (a.cols, GROUPS * T::LANES);
        let starts = (0..rows).step_by(grain).rev();
        let part = |from| {
            let to = rows.min(from + grain);
            T::dispatch(level, Spread { grid: &grid, from, to })
        };
        starts.map(part).fold(0.0, f64::max)
    }

    fn check<T: Real>() {
        let lanes = T::LANES;
        for cols in [lanes, lanes + 1, 2 * lanes - 1, 7 * lanes + 3] {
            // Two groups and three side by side, and rows that make no group.
            for (rows, terms) in [(2 * lanes + 1, 5), (3 * lanes, MOST_TERMS), (6 * lanes + 7, 12)]
            {
                for at in [0, 1, lanes - 1] {
                    let shape = (rows, cols, terms, at);
                    let want =
                        steps::<T>(shape, |a, x, w| tiled(a, x, w), |a, x, w| tiled(a, x, w));
                    for level in Level::available() {
                        let exec = Exec::serial(level);
                        let whole = steps::<T>(
                            shape,
                            |a, x, sink| run(exec, a, x, sink),
                            |a, x, sink| run(exec, a, x, sink),
                        );
                        assert!(whole == want, "{level:?} {shape:?}");
                        let parts = steps::<T>(
                            shape,
                            |a, x, sink| in_parts(level, a, x, sink),
                            |a, x, sink| in_parts(level, a, x, sink),
                        );
                        assert!(parts.0 == want.0, "{level:?} {shape:?} in parts");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_a_vector_apart_give_the_bits_of_other_tiles() {
        check::<f32>();
        check::<f64>();
    }

    /// Large enough to be fetched ahead, in whole tiles and in these.
    #[test]
    fn large_updates_go_this_way_where_rows_begin_anywhere() {
        fn check<T: Real>() {
            let exec = Exec::serial(Level::Auto.resolve());
            for (cols, at, better) in [(641, 0, true), (640, 1, true), (640, 0, false)] {
                let shape = (560, cols, 5, at);
                let none = |_: Mat<T>, _: Mat<T>, _: &Scaled<T>| 0.0;
                let want = steps::<T>(shape, none, |a, x, sink| tiled(a, x, sink));
                let got = steps::<T>(shape, none, |a, x, sink| {
                    assert_eq!(is_better(x, sink), better, "{shape:?}");
                    assert!(sink.reads() > FAR);
                    product::update(exec, a, x, sink)
                });
                assert!(got == want, "{shape:?}");
            }
        }
        check::<f32>();
        check::<f64>();
    }
}
