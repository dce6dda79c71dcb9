//! Updates of few terms go through their matrices from end to end. Vectors lie from one multiple
//! of 64 bytes to the next and run on from a row into the next one, so that none is cut short and
//! none lies across two cache lines. The numbers come about as in tiles.

use crate::plan::product::{CONTIGUOUS_AHEAD, CONTIGUOUS_TERMS, contiguous_fetches};
use crate::simd::layers::elementwise::largest;
use crate::simd::matmul::epilogue::Epilogue;
use crate::simd::matmul::matrix::Mat;
use crate::simd::matmul::nn::{Lhs, over_parts, tiles};
use crate::simd::{Kernel, Level, Real, Vector};
use crate::threads::parallel::Exec;

/// Whether vectors may run over the ends of rows in an update with the rows of `x`.
pub(in crate::simd) fn is_possible<T: Real, K: Epilogue<T>>(
    x: Mat<T>,
    sink: &K,
    most_terms: usize,
) -> bool {
    (1..=most_terms).contains(&x.rows) && x.cols >= T::LANES && sink.start_without_gaps().is_some()
}

/// `sink = A^T X`, as [`rank_update`](crate::simd::matmul::rank_update).
pub(in crate::simd) fn run<T: Real, K: Epilogue<T>>(
    exec: Exec,
    a: Mat<T>,
    x: Mat<T>,
    sink: &K,
) -> f64 {
    assert!(is_possible(x, sink, CONTIGUOUS_TERMS));
    over_parts(exec, x, sink, (a.cols, 12), |from, to, max| {
        max.raise(part(exec.level, a, x, sink, (from, to)));
    })
}

/// Rows `from .. to`.
fn part<T: Real, K: Epilogue<T>>(
    level: Level,
    a: Mat<T>,
    x: Mat<T>,
    sink: &K,
    rows: (usize, usize),
) -> f64 {
    match x.rows {
        1 => T::dispatch(level, Flat::<T, K, 1> { a, x, sink, rows }),
        2 => T::dispatch(level, Flat::<T, K, 2> { a, x, sink, rows }),
        3 => T::dispatch(level, Flat::<T, K, 3> { a, x, sink, rows }),
        _ => T::dispatch(level, Flat::<T, K, CONTIGUOUS_TERMS> { a, x, sink, rows }),
    }
}

/// Some rows of an update with N terms.
struct Flat<'a, T, K, const N: usize> {
    a: Mat<'a, T>,
    x: Mat<'a, T>,
    sink: &'a K,
    rows: (usize, usize),
}

impl<T: Real, K: Epilogue<T>, const N: usize> Kernel<T> for Flat<'_, T, K, N> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> f64 {
        let Flat { a, x, rows: (from, to), .. } = self;
        let cols = x.cols;
        if const { !S::REGISTERS } {
            return tiles::<T, S, K>(Lhs::columns(a), x, self.sink, (from, to));
        }
        // A copy that no store can change, so that it is read once.
        // SAFETY: sinks here drop nothing; each thread writes to rows of its own.
        let sink = unsafe { core::ptr::read(self.sink) };
        let fetch = contiguous_fetches(sink.streams(), sink.reads());
        let mut max = S::zero();
        let around = Around::<T, N>::of(x);
        let lanes = Lanes::<S>::new();
        let x: [*const T; N] = core::array::from_fn(|b| x.at(b, 0));
        // SAFETY: an array has the lanes of a block. All vectors lie within these rows of the
        // sink, whose columns A and X have, and N rows.
        unsafe {
            let mut c = ahead(&sink, from);
            if c > 0 {
                let row = Row::<S, N>::of(&sink, a, from);
                row.update(&sink, (from, 0, c), &x, &mut max);
            }
            for r in from..to {
                let row = Row::<S, N>::of(&sink, a, r);
                while c + T::LANES <= cols {
                    let x = x.map(|x| x.wrapping_add(c));
                    if fetch {
                        sink.fetch::<S>(r, c + CONTIGUOUS_AHEAD * T::LANES, true);
                    }
                    row.update(&sink, (r, c, T::LANES), &x, &mut max);
                    c += T::LANES;
                }
                let here = cols - c;
                if here == 0 {
                    c = 0;
                } else if r + 1 == to {
                    let x = x.map(|x| x.wrapping_add(c));
                    row.update(&sink, (r, c, here), &x, &mut max);
                } else {
                    let next = Row::<S, N>::of(&sink, a, r + 1);
                    let x = core::array::from_fn(|b| around.at(b, here));
                    let both = row.before(lanes, here, next);
                    both.update(&sink, (r, c, T::LANES), &x, &mut max);
                    c = T::LANES - here;
                }
            }
        }
        largest(max.to_array().as_ref()).to_f64()
    }
}

/// The column of row `r` from which on vectors begin at multiples of 64 bytes.
pub(in crate::simd) fn ahead<T: Real, K: Epilogue<T>>(sink: &K, r: usize) -> usize {
    let start = sink.start_without_gaps();
    start.map_or(0, |at| at.wrapping_add(r * sink.shape().1).align_offset(64) % T::LANES)
}

/// The last numbers of up to N rows of X, each row's first ones after them.
pub(in crate::simd) struct Around<T: Real, const N: usize>([[T::Array; 2]; N]);

impl<T: Real, const N: usize> Around<T, N> {
    #[inline(always)]
    pub fn of(x: Mat<T>) -> Self {
        let mut rows = [[T::Array::default(); 2]; N];
        for ([last, first], row) in rows.iter_mut().zip(x.iter()) {
            last.as_mut().copy_from_slice(&row[x.cols - T::LANES..]);
            first.as_mut().copy_from_slice(&row[..T::LANES]);
        }
        Around(rows)
    }

    /// The last `here` numbers of row `b`, then its first ones.
    #[inline(always)]
    pub fn at(&self, b: usize, here: usize) -> *const T {
        self.0.as_ptr().cast::<T>().wrapping_add((2 * b + 1) * T::LANES - here)
    }
}

/// The numbers of a block's lanes.
#[derive(Clone, Copy)]
pub(in crate::simd) struct Lanes<S>(S);

impl<S> Lanes<S> {
    #[inline(always)]
    pub fn new<T: Real>() -> Self
    where
        S: Vector<T>,
    {
        let mut lanes = T::Array::default();
        for (i, lane) in lanes.as_mut().iter_mut().enumerate() {
            *lane = T::from_f64(i as f64);
        }
        // SAFETY: an array has the lanes of a block.
        Lanes(unsafe { S::load(lanes.as_ref().as_ptr()) })
    }

    /// `x` in the first `here` lanes, `y` in the others.
    #[inline(always)]
    pub fn select<T: Real>(self, here: usize, x: S, y: S) -> S
    where
        S: Vector<T>,
    {
        S::select_lt(self.0, S::splat(T::from_f64(here as f64)), x, y)
    }
}

/// What is the same all along a row: the sink's own number and the coefficients.
#[derive(Clone, Copy)]
struct Row<S, const N: usize> {
    own: S,
    f: [S; N],
}

impl<S: Copy, const N: usize> Row<S, N> {
    #[inline(always)]
    unsafe fn of<T: Real, K: Epilogue<T>>(sink: &K, a: Mat<T>, r: usize) -> Self
    where
        S: Vector<T>,
    {
        // SAFETY: by contract.
        unsafe {
            let mut row = Row { own: S::splat(sink.own(r)), f: [S::zero(); N] };
            for b in 0..N {
                row.f[b] = S::splat(*a.at(b, r));
            }
            row
        }
    }

    /// This row's numbers in the first `here` lanes, the next one's in the others.
    #[inline(always)]
    fn before<T: Real>(mut self, lanes: Lanes<S>, here: usize, next: Self) -> Self
    where
        S: Vector<T>,
    {
        self.own = lanes.select(here, self.own, next.own);
        for b in 0..N {
            self.f[b] = lanes.select(here, self.f[b], next.f[b]);
        }
        self
    }

    /// `n` lanes from row `r`, column `c` on, with the rows of X at `x`.
    #[inline(always)]
    unsafe fn update<T: Real, K: Epilogue<T>>(
        &self,
        sink: &K,
        (r, c, n): (usize, usize, usize),
        x: &[*const T; N],
        max: &mut S,
    ) where
        S: Vector<T>,
    {
        // SAFETY: by contract.
        unsafe {
            let mut acc = sink.start(r, c, n, true, self.own);
            for b in 0..N {
                acc = self.f[b].fma(S::load_n(x[b], n), acc);
            }
            sink.finish(r, c, n, acc, self.own, max);
        }
    }
}

#[cfg(test)]
pub(in crate::simd) mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::simd::matmul::epilogue::{Adam, Ascend, Scaled};
    use crate::simd::matmul::matrix::MatMut;
    use crate::simd::matmul::nn;

    /// Numbers without a pattern.
    fn numbers<T: Real>(n: usize, seed: u64) -> Vec<T> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            T::from_f64((state >> 40) as f64 / 16777216.0 - 0.5)
        };
        (0..n).map(|_| next()).collect()
    }

    /// One way to do an update, of any sink, and the same as threads would have it.
    pub trait Way<T: Real>: Sized {
        fn run<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64;
        fn run_in_parts<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
            self.run(a, x, sink)
        }
    }

    struct InParts<W>(W);
    impl<T: Real, W: Way<T>> Way<T> for InParts<W> {
        fn run<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
            self.0.run_in_parts(a, x, sink)
        }
    }

    /// In plain tiles.
    pub struct Tiled;
    impl<T: Real> Way<T> for Tiled {
        fn run<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
            nn::run(Exec::serial(Level::Scalar), Lhs::columns(a), x, sink)
        }
    }

    struct Flat(Level);
    impl<T: Real> Way<T> for Flat {
        fn run<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
            run(Exec::serial(self.0), a, x, sink)
        }
        /// The first row, and half of the rows that follow.
        fn run_in_parts<K: Epilogue<T>>(&self, a: Mat<T>, x: Mat<T>, sink: &K) -> f64 {
            let mut max = 0.0;
            for rows in [(0, 1), (1, a.cols / 2 + 1), (a.cols / 2 + 1, a.cols)] {
                if rows.0 < rows.1 {
                    max = f64::max(max, part(self.0, a, x, sink, rows));
                }
            }
            max
        }
    }

    /// W, m and v after a natural step, then one by Adam, `at` numbers behind a multiple of 64
    /// bytes, and the magnitudes reported.
    pub fn steps<T: Real>(
        (rows, cols, terms, at): (usize, usize, usize, usize),
        way: &impl Way<T>,
    ) -> ([Vec<T>; 3], [f64; 2]) {
        let (a, x) = (numbers(terms * rows, 1), numbers(terms * (cols + 3), 2));
        let (a, x) = (Mat::new(&a, terms, rows), Mat::with_ld(&x, terms, cols, cols + 3));
        let (own, base) = (numbers(rows, 3), numbers(rows * cols, 4));
        let n = rows * cols;
        let mut memory = [(); 3].map(|()| std::vec![T::ZERO; n + 2 * T::LANES]);
        let mut seed = 5;
        let [w, m, v] = memory.each_mut().map(|x| {
            let from = x.as_ptr().align_offset(64) + at;
            let x = &mut x[from..from + n];
            x.iter_mut().zip(numbers::<T>(n, seed)).for_each(|(x, v)| *x = v * v);
            seed += 1;
            x
        });
        let first = way.run(a, x, &Scaled { w: MatMut::new(&mut *w, rows, cols), rows: &own });
        let half = [T::from_f64(0.5); 2];
        let [m1, v1] = [&mut *m, &mut *v].map(|x| MatMut::new(x, rows, cols));
        let rule = Adam { m: m1, v: v1, decay: [half; 2], epsilon: T::ONE };
        let base = Some((Mat::new(&base, rows, cols), T::ONE));
        let w1 = MatMut::new(&mut *w, rows, cols);
        let sink = Ascend { w: w1, rows: &own, base, factor: T::ONE, rule };
        let second = way.run(a, x, &sink);
        ([w.to_vec(), m.to_vec(), v.to_vec()], [first, second])
    }

    /// That on every level and from every start an update gives the bits of plain tiles, as a whole
    /// and in parts.
    pub fn check<T: Real, W: Way<T>>(
        (rows, cols, terms): (usize, usize, usize),
        way: fn(Level) -> W,
    ) {
        for at in [0, 1, T::LANES - 1] {
            let shape = (rows, cols, terms, at);
            let want = steps::<T>(shape, &Tiled);
            for level in Level::available() {
                assert!(steps(shape, &way(level)) == want, "{level:?} {shape:?}");
                // The maximum of the whole is rounded up.
                let parts = steps(shape, &InParts(way(level))).0;
                assert!(parts == want.0, "{level:?} {shape:?} in parts");
            }
        }
    }

    #[test]
    fn vectors_that_run_on_give_the_bits_of_tiles() {
        fn sizes<T: Real>() {
            let lanes = T::LANES;
            for cols in [lanes, lanes + 1, 2 * lanes - 1, 2 * lanes + 3, 4 * lanes + 1] {
                for (rows, terms) in [(2, 1), (5, 2), (lanes + 1, 3), (7, CONTIGUOUS_TERMS)] {
                    check::<T, _>((rows, cols, terms), Flat);
                }
            }
        }
        sizes::<f32>();
        sizes::<f64>();
    }
}
