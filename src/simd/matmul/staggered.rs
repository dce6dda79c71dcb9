//! Updates of several terms whose rows begin anywhere within a cache line. As in [`flat`](crate::simd::matmul::contiguous)
//! vectors lie from one multiple of 64 bytes to the next and run on from a row into the next one.
//! Rows `LANES` apart, a multiple of 64 bytes, have them at the same columns: tiles are made of such
//! rows, one of each of several groups of `LANES` rows. The numbers come about as in other tiles.

use crate::plan::product::{STAGGERED_GROUPS, STAGGERED_HIGHEST, STAGGERED_TERMS, tile_rows};
use crate::simd::layers::elementwise::largest;
use crate::simd::matmul::contiguous::{Around, Lanes, ahead, is_possible};
use crate::simd::matmul::epilogue::Epilogue;
use crate::simd::matmul::matrix::Mat;
use crate::simd::matmul::nn::{Grid, Lhs, TileRows, over_parts, parts, tiles};
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;

/// `sink = A^T X`, as [`rank_update`](crate::simd::matmul::rank_update).
pub(in crate::simd) fn run<T: Real, K: Epilogue<T>>(
    exec: Exec,
    a: Mat<T>,
    x: Mat<T>,
    sink: &K,
) -> f64 {
    assert!(is_possible(x, sink, STAGGERED_TERMS));
    let grid = Grid::new(Lhs::columns(a), x, sink);
    over_parts(exec, x, sink, (a.cols, STAGGERED_GROUPS * T::LANES), |from, to, max| {
        max.raise(T::dispatch(exec.level, Spread { grid: &grid, from, to }));
    })
}

/// Rows `from .. to` of an update.
struct Spread<'a, T: Real, K> {
    grid: &'a Grid<'a, T, K>,
    from: usize,
    to: usize,
}

impl<T: Real, K: Epilogue<T>> Kernel<T> for Spread<'_, T, K> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> f64 {
        if const { !S::REGISTERS } {
            let Grid { c, x, sink, .. } = *self.grid;
            return tiles::<T, S, K>(c, x, sink, (self.from, self.to));
        }
        let mut max = T::Array::default();
        let around = Around::of(self.grid.x);
        let rows = self.to - self.from;
        let (groups, rest) = (rows / T::LANES, rows % T::LANES);
        let highest = tile_rows(self.grid.terms, self.grid.sink.streams())
            .min(S::TILE.0)
            .min(STAGGERED_HIGHEST);
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
                const { assert!(STAGGERED_HIGHEST == 3) };
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
    &'a Around<T, STAGGERED_TERMS>,
    (usize, usize),
    &'a mut T::Array,
);

impl<T: Real, K: Epilogue<T>, const M: usize> Kernel<T> for Groups<'_, T, K, M> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let Groups(&Spread { grid, .. }, around, (from, to), largest) = self;
        let cols = grid.x.cols;
        let lanes = Lanes::<S>::new();
        let mut c = ahead(grid.sink, from);
        // SAFETY: an array has the lanes of a block. All vectors lie within these rows of the sink:
        // A has its rows as columns, X its columns.
        unsafe {
            let mut max = S::load(largest.as_ref().as_ptr());
            for r in from..to {
                let rows = grid.rows::<M>(r, T::LANES);
                if r == from && c > 0 {
                    grid.tile::<S, M, 1, true>(&rows, (0, c), false, &mut max);
                }
                // Strips of as many vectors as there are registers for, of equal width or one
                // less. A closure would not be compiled for these vectors.
                let mut whole = (cols - c) / T::LANES;
                while whole > 0 {
                    let width = whole.div_ceil(whole.div_ceil(grid.widest::<S>()));
                    let at = (c, T::LANES);
                    macro_rules! widths {
                        ($($n:literal)*) => {
                            match width {
                                $($n => if const { $n <= S::TILE.1 } {
                                    grid.tile::<S, M, $n, false>(&rows, at, false, &mut max)
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
                    grid.tile::<S, M, 1, true>(&rows, (c, here), false, &mut max);
                } else {
                    grid.across::<S, M>(&rows, (c, here), (lanes, around), &mut max);
                    c = T::LANES - here;
                }
            }
            *largest = max.to_array();
        }
    }
}

impl<T: Real, K: Epilogue<T>> Grid<'_, T, K> {
    /// Vectors at column `c` that hold `here` numbers of each row, and then the first ones of the
    /// row after it, whose coefficients come next in memory.
    #[inline(always)]
    unsafe fn across<S: Vector<T>, const M: usize>(
        &self,
        rows: &TileRows<T, M>,
        (c, here): (usize, usize),
        (lanes, around): (Lanes<S>, &Around<T, STAGGERED_TERMS>),
        max: &mut S,
    ) {
        let (mut own, mut acc) = ([S::zero(); M], [S::zero(); M]);
        // SAFETY: by contract.
        unsafe {
            for i in 0..M {
                let r = rows.number(i);
                let (this, next) = (S::splat(self.sink.own(r)), S::splat(self.sink.own(r + 1)));
                own[i] = lanes.select(here, this, next);
                acc[i] = self.sink.start(r, c, T::LANES, true, own[i]);
            }
            for k in 0..self.terms {
                let x = S::load(around.at(k, here));
                for i in 0..M {
                    let f = rows.coefficient(i, k);
                    let (this, next) = (S::splat(*f), S::splat(*f.wrapping_add(1)));
                    acc[i] = lanes.select(here, this, next).fma(x, acc[i]);
                }
            }
            for i in 0..M {
                self.sink.finish(rows.number(i), c, T::LANES, acc[i], own[i], max);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::product::{self, Update};
    use crate::simd::Level;
    use crate::simd::matmul::contiguous::tests::{Tiled, Way, check, steps};
    use crate::simd::matmul::{rank_update, shape};

    struct Spreading(Level);
    impl<T: Real> Way<T> for Spreading {
        fn run<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
            run(Exec::serial(self.0), a, x, sink)
        }
        /// From the end.
        fn run_in_parts<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
            let grid = Grid::new(Lhs::columns(a), x, sink);
            let (rows, grain) = (a.cols, STAGGERED_GROUPS * T::LANES);
            let mut max = 0.0;
            for from in (0..rows).step_by(grain).rev() {
                let to = rows.min(from + grain);
                max = f64::max(max, T::dispatch(self.0, Spread { grid: &grid, from, to }));
            }
            max
        }
    }

    #[test]
    fn rows_a_vector_apart_give_the_bits_of_other_tiles() {
        fn sizes<T: Real>() {
            let lanes = T::LANES;
            for cols in [lanes, lanes + 1, 2 * lanes - 1, 7 * lanes + 3] {
                // Two groups and three side by side, and rows that make no group.
                let shapes =
                    [(2 * lanes + 1, 5), (3 * lanes, STAGGERED_TERMS), (6 * lanes + 7, 12)];
                for (rows, terms) in shapes {
                    check::<T, _>((rows, cols, terms), Spreading);
                }
            }
        }
        sizes::<f32>();
        sizes::<f64>();
    }

    /// Large enough to be fetched ahead, in whole tiles and in these.
    #[test]
    fn large_updates_go_this_way_where_rows_begin_anywhere() {
        /// What is expected of sinks that read several matrices.
        struct Chosen(bool);
        impl<T: Real> Way<T> for Chosen {
            fn run<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
                if sink.streams() > 1 {
                    let staggered = product::update(&shape(x, sink)) == Update::Staggered;
                    assert_eq!(staggered, self.0, "{}", x.cols);
                    assert!(sink.reads() > product::FAR);
                }
                rank_update(Exec::serial(Level::Auto.resolve()), a, x, sink)
            }
        }
        fn sizes<T: Real>() {
            for (cols, at, better) in [(641, 0, true), (640, 1, true), (640, 0, false)] {
                let shape = (560, cols, 5, at);
                let (got, want) = (steps::<T>(shape, &Chosen(better)), steps(shape, &Tiled));
                assert!(got == want, "{shape:?}");
            }
        }
        sizes::<f32>();
        sizes::<f64>();
    }
}
