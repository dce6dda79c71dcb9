//! What becomes of a tile of a product while it is still in registers: stored, or turned into
//! an optimiser's step in place.

use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Real, Vector};

/// Where a product's tiles go. Threads share it: each writes tiles of its own.
pub(crate) trait Epilogue<T: Real>: Sync {
    /// Whether coefficients count with the opposite sign.
    const NEGATE: bool = false;
    /// Whether a chain may be put down by [`Epilogue::finish`] and taken up again.
    const RESUMES: bool = false;
    /// About how many operations on blocks finishing one takes.
    fn cost(&self) -> usize {
        2
    }

    fn shape(&self) -> (usize, usize);

    /// Row `r`'s own number, which [`Epilogue::start`] and [`Epilogue::finish`] get lane by lane.
    ///
    /// # Safety
    /// The row lies within [`Epilogue::shape`].
    #[inline(always)]
    unsafe fn own(&self, _r: usize) -> T {
        T::ONE
    }

    /// Where its matrix starts, if rows follow one another without gaps in all its matrices: `n`
    /// lanes may then reach into the next row.
    fn start_without_gaps(&self) -> Option<*const T> {
        None
    }

    /// The value that the chain at row `r`, columns `c .. c + n` starts from, or where it was
    /// put down unless `first`.
    ///
    /// # Safety
    /// Those elements lie within [`Epilogue::shape`].
    unsafe fn start<S: Vector<T>>(&self, r: usize, c: usize, n: usize, first: bool, own: S) -> S;

    /// The most matrices of its shape that it reads.
    const STREAMS: usize = 0;
    /// How many they are.
    #[inline(always)]
    fn streams(&self) -> usize {
        Self::STREAMS
    }
    /// Bytes of them.
    #[inline(always)]
    fn reads(&self) -> usize {
        let (rows, cols) = self.shape();
        self.streams() * rows * cols * size_of::<T>()
    }
    /// How many strips ahead of time long chains ask for them.
    const LONG_AHEAD: usize = 0;

    /// Asks for what will be read there, into the first cache or the second.
    #[inline(always)]
    fn fetch<S: Vector<T>>(&self, _r: usize, _c: usize, _first: bool) {}

    /// Takes the finished chain; may raise `max` to the magnitudes it wrote.
    ///
    /// # Safety
    /// As for [`Epilogue::start`], and no other thread has the tile.
    unsafe fn finish<S: Vector<T>>(
        &self,
        r: usize,
        c: usize,
        n: usize,
        acc: S,
        own: S,
        max: &mut S,
    );
}

/// Keeps the product; rows from the first part's height on go to the second.
pub(crate) struct Store<'a, T> {
    first: MatMut<'a, T>,
    second: Option<MatMut<'a, T>>,
}

impl<'a, T: Real> Store<'a, T> {
    pub fn one(out: MatMut<'a, T>) -> Self {
        Store { first: out, second: None }
    }
    pub fn two(first: MatMut<'a, T>, second: MatMut<'a, T>) -> Self {
        Store { first, second: Some(second) }
    }
    #[inline(always)]
    fn at(&self, r: usize, c: usize) -> *mut T {
        match &self.second {
            Some(second) if r >= self.first.rows => second.at(r - self.first.rows, c),
            _ => self.first.at(r, c),
        }
    }
}

impl<T: Real> Epilogue<T> for Store<'_, T> {
    const RESUMES: bool = true;

    fn shape(&self) -> (usize, usize) {
        (self.first.rows + self.second.as_ref().map_or(0, |s| s.rows), self.first.cols)
    }
    #[inline(always)]
    unsafe fn start<S: Vector<T>>(&self, r: usize, c: usize, n: usize, first: bool, _: S) -> S {
        // SAFETY: within the part by contract.
        if first { S::zero() } else { unsafe { S::load_n(self.at(r, c), n) } }
    }
    #[inline(always)]
    unsafe fn finish<S: Vector<T>>(&self, r: usize, c: usize, n: usize, acc: S, _: S, _: &mut S) {
        // SAFETY: within the part by contract.
        unsafe { acc.store_n(self.at(r, c), n) }
    }
}

/// `out -= product`.
pub(crate) struct Subtract<'a, T>(pub MatMut<'a, T>);

impl<T: Real> Epilogue<T> for Subtract<'_, T> {
    const NEGATE: bool = true;
    const RESUMES: bool = true;

    fn shape(&self) -> (usize, usize) {
        (self.0.rows, self.0.cols)
    }
    #[inline(always)]
    unsafe fn start<S: Vector<T>>(&self, r: usize, c: usize, n: usize, _: bool, _: S) -> S {
        // SAFETY: within the matrix by contract.
        unsafe { S::load_n(self.0.at(r, c), n) }
    }
    #[inline(always)]
    unsafe fn finish<S: Vector<T>>(&self, r: usize, c: usize, n: usize, acc: S, _: S, _: &mut S) {
        // SAFETY: within the matrix by contract.
        unsafe { acc.store_n(self.0.at(r, c), n) }
    }
}

/// `out = product + base`, a dense gradient, or `out += product + base`.
pub(crate) struct Gradient<'a, T> {
    pub out: MatMut<'a, T>,
    pub base: Option<Mat<'a, T>>,
    /// Whether chains start from what is there.
    pub add: bool,
}

impl<'a, T> Gradient<'a, T> {
    /// Of the product alone.
    pub fn of_product(out: MatMut<'a, T>) -> Self {
        Gradient { out, base: None, add: false }
    }
    /// The product, added to what is there.
    pub fn sum(out: MatMut<'a, T>) -> Self {
        Gradient { out, base: None, add: true }
    }
}

impl<T: Real> Epilogue<T> for Gradient<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let out = (self.out.rows, self.out.cols);
        assert!(self.base.as_ref().is_none_or(|b| (b.rows, b.cols) == out));
        out
    }
    #[inline(always)]
    unsafe fn start<S: Vector<T>>(&self, r: usize, c: usize, n: usize, _: bool, _: S) -> S {
        // SAFETY: the matrix has the tile.
        if self.add { unsafe { S::load_n(self.out.at(r, c), n) } } else { S::zero() }
    }
    #[inline(always)]
    unsafe fn finish<S: Vector<T>>(&self, r: usize, c: usize, n: usize, acc: S, _: S, max: &mut S) {
        // SAFETY: both matrices have the tile.
        unsafe {
            let g = match &self.base {
                Some(base) => acc.add(S::load_n(base.at(r, c), n)),
                None => acc,
            };
            *max = g.abs().max(*max);
            g.store_n(self.out.at(r, c), n);
        }
    }
}

/// Structured step, `W = diag(rows) W + product`: plain SGD and natural.
pub(crate) struct Scaled<'a, T> {
    pub w: MatMut<'a, T>,
    /// The diagonal, one number a row.
    pub rows: &'a [T],
}

impl<T: Real> Epilogue<T> for Scaled<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.w.rows.min(self.rows.len()), self.w.cols)
    }
    #[inline(always)]
    unsafe fn own(&self, r: usize) -> T {
        // SAFETY: `shape` has no more rows than there are numbers.
        unsafe { *self.rows.get_unchecked(r) }
    }
    fn start_without_gaps(&self) -> Option<*const T> {
        self.w.start_without_gaps()
    }
    const STREAMS: usize = 1;
    const LONG_AHEAD: usize = 1;
    #[inline(always)]
    fn fetch<S: Vector<T>>(&self, r: usize, c: usize, first: bool) {
        S::prefetch(self.w.at(r, c + T::LANES - 1), first);
    }
    #[inline(always)]
    unsafe fn start<S: Vector<T>>(&self, r: usize, c: usize, n: usize, _: bool, own: S) -> S {
        // SAFETY: within W by contract.
        unsafe { own.mul(S::load_n(self.w.at(r, c), n)) }
    }
    #[inline(always)]
    unsafe fn finish<S: Vector<T>>(&self, r: usize, c: usize, n: usize, acc: S, _: S, max: &mut S) {
        *max = acc.abs().max(*max);
        // SAFETY: within W by contract.
        unsafe { acc.store_n(self.w.at(r, c), n) }
    }
}

/// `W += factor rule(d)` with `d = product + diag(rows) W + share base`.
pub(crate) struct Ascend<'a, T, R> {
    pub w: MatMut<'a, T>,
    /// The diagonal, one number a row.
    pub rows: &'a [T],
    pub base: Option<(Mat<'a, T>, T)>,
    pub factor: T,
    pub rule: R,
}

/// What an optimiser makes of a direction before it is added.
pub(crate) trait Rule<T: Real>: Sync {
    /// About how many operations on blocks.
    const COST: usize;
    /// The most matrices of W's shape.
    const STREAMS: usize;
    fn matrices(&self) -> impl Iterator<Item = &MatMut<'_, T>>;
    /// # Safety
    /// The rule's matrices have row `r` and columns `c .. c + n`, and no other thread those.
    unsafe fn apply<S: Vector<T>>(&self, r: usize, c: usize, n: usize, d: S) -> S;
}

/// An average, `m = beta m + (1 - beta) d`; the direction itself if there is no m. One rule, since
/// each takes seconds to compile.
pub(crate) struct Momentum<'a, T> {
    /// With `beta` and `1 - beta`.
    pub m: Option<(MatMut<'a, T>, [T; 2])>,
}

impl<T: Real> Rule<T> for Momentum<'_, T> {
    const COST: usize = 8;
    const STREAMS: usize = 1;
    #[inline(always)]
    fn matrices(&self) -> impl Iterator<Item = &MatMut<'_, T>> {
        self.m.iter().map(|(m, _)| m)
    }
    #[inline(always)]
    unsafe fn apply<S: Vector<T>>(&self, r: usize, c: usize, n: usize, d: S) -> S {
        let Some((m, decay)) = &self.m else { return d };
        // SAFETY: by contract.
        unsafe {
            let average = average(S::load_n(m.at(r, c), n), d, *decay);
            average.store_n(m.at(r, c), n);
            average
        }
    }
}

/// `m / (sqrt(v) + epsilon)` of averages of `d` and `d^2`. Adam divides both averages by
/// `1 - beta^t` first; that is, `epsilon` and the factor before the quotient change from step to
/// step instead.
pub(crate) struct Adam<'a, T> {
    pub m: MatMut<'a, T>,
    pub v: MatMut<'a, T>,
    /// `beta` and `1 - beta` of either average.
    pub decay: [[T; 2]; 2],
    pub epsilon: T,
}

impl<T: Real> Rule<T> for Adam<'_, T> {
    const COST: usize = 24;
    const STREAMS: usize = 2;
    #[inline(always)]
    fn matrices(&self) -> impl Iterator<Item = &MatMut<'_, T>> {
        [&self.m, &self.v].into_iter()
    }
    #[inline(always)]
    unsafe fn apply<S: Vector<T>>(&self, r: usize, c: usize, n: usize, d: S) -> S {
        // SAFETY: by contract.
        unsafe {
            let m = average(S::load_n(self.m.at(r, c), n), d, self.decay[0]);
            let v = average(S::load_n(self.v.at(r, c), n), d.mul(d), self.decay[1]);
            m.store_n(self.m.at(r, c), n);
            v.store_n(self.v.at(r, c), n);
            m.div(v.sqrt().add(S::splat(self.epsilon)))
        }
    }
}

impl<T: Real, R: Rule<T>> Epilogue<T> for Ascend<'_, T, R> {
    const STREAMS: usize = 1 + R::STREAMS;

    fn streams(&self) -> usize {
        1 + self.rule.matrices().count()
    }
    fn cost(&self) -> usize {
        R::COST
    }
    fn shape(&self) -> (usize, usize) {
        let w = (self.w.rows, self.w.cols);
        assert!(self.base.as_ref().is_none_or(|(b, _)| (b.rows, b.cols) == w));
        assert!(self.rule.matrices().all(|m| (m.rows, m.cols) == w));
        (self.w.rows.min(self.rows.len()), self.w.cols)
    }
    #[inline(always)]
    unsafe fn own(&self, r: usize) -> T {
        // SAFETY: `shape` has no more rows than there are numbers.
        unsafe { *self.rows.get_unchecked(r) }
    }
    fn start_without_gaps(&self) -> Option<*const T> {
        let base = self.base.as_ref().is_none_or(|(b, _)| b.ld == b.cols);
        let flat = base && self.rule.matrices().all(|m| m.start_without_gaps().is_some());
        self.w.start_without_gaps().filter(|_| flat)
    }
    #[inline(always)]
    unsafe fn start<S: Vector<T>>(&self, _: usize, _: usize, _: usize, _: bool, _: S) -> S {
        S::zero()
    }
    #[inline(always)]
    fn fetch<S: Vector<T>>(&self, r: usize, c: usize, first: bool) {
        S::prefetch(self.w.at(r, c + T::LANES - 1), first);
        for m in self.rule.matrices() {
            S::prefetch(m.at(r, c + T::LANES - 1), first);
        }
    }
    #[inline(always)]
    unsafe fn finish<S: Vector<T>>(
        &self,
        r: usize,
        c: usize,
        n: usize,
        acc: S,
        own: S,
        max: &mut S,
    ) {
        // SAFETY: all matrices have W's shape, which has the tile.
        unsafe {
            let w = S::load_n(self.w.at(r, c), n);
            let mut d = own.fma(w, acc);
            if let Some((base, share)) = &self.base {
                d = S::splat(*share).fma(S::load_n(base.at(r, c), n), d);
            }
            let w = S::splat(self.factor).fma(self.rule.apply(r, c, n, d), w);
            *max = w.abs().max(*max);
            w.store_n(self.w.at(r, c), n);
        }
    }
}

/// `beta m + (1 - beta) d`.
#[inline(always)]
fn average<T: Real, S: Vector<T>>(m: S, d: S, [beta, rest]: [T; 2]) -> S {
    S::splat(beta).fma(m, S::splat(rest).mul(d))
}
