//! What becomes of a tile of a product while it is still in registers: stored, or turned into
//! an optimiser's step in place.

use super::matrix::{Mat, MatMut};
use super::{Block, Real};

/// Where a product's tiles go.
pub(crate) trait Sink<T: Real> {
    /// Whether coefficients count with the opposite sign.
    const NEGATE: bool = false;
    fn shape(&self) -> (usize, usize);
    /// The value that the chain at row `r`, columns `c .. c + n` starts from.
    ///
    /// # Safety
    /// Those elements lie within [`Sink::shape`].
    unsafe fn start<S: Block<T>>(&self, r: usize, c: usize, n: usize) -> S;
    /// Takes the finished chain; may raise `max` to the magnitudes it wrote.
    ///
    /// # Safety
    /// As for [`Sink::start`].
    unsafe fn finish<S: Block<T>>(&mut self, r: usize, c: usize, n: usize, acc: S, max: &mut S);
}

/// Keeps the product; rows from the first part's height on go to the second.
pub(crate) struct Store<'a, T> {
    first: MatMut<'a, T>,
    second: Option<MatMut<'a, T>>,
}

impl<'a, T> Store<'a, T> {
    pub fn one(out: MatMut<'a, T>) -> Self {
        Store { first: out, second: None }
    }
    pub fn two(first: MatMut<'a, T>, second: MatMut<'a, T>) -> Self {
        Store { first, second: Some(second) }
    }
}

impl<T: Real> Sink<T> for Store<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.first.rows + self.second.as_ref().map_or(0, |s| s.rows), self.first.cols)
    }
    #[inline(always)]
    unsafe fn start<S: Block<T>>(&self, _: usize, _: usize, _: usize) -> S {
        S::zero()
    }
    #[inline(always)]
    unsafe fn finish<S: Block<T>>(&mut self, r: usize, c: usize, n: usize, acc: S, _: &mut S) {
        let split = self.first.rows;
        let (part, r) = match &mut self.second {
            Some(second) if r >= split => (second, r - split),
            _ => (&mut self.first, r),
        };
        // SAFETY: within the part by contract.
        unsafe { acc.store_n(part.as_mut_ptr().add(r * part.ld + c), n) }
    }
}

/// `out += product`, or `out -= product`.
pub(crate) struct Accumulate<'a, T, const NEGATE: bool>(pub MatMut<'a, T>);

impl<T: Real, const NEGATE: bool> Sink<T> for Accumulate<'_, T, NEGATE> {
    const NEGATE: bool = NEGATE;
    fn shape(&self) -> (usize, usize) {
        (self.0.rows, self.0.cols)
    }
    #[inline(always)]
    unsafe fn start<S: Block<T>>(&self, r: usize, c: usize, n: usize) -> S {
        // SAFETY: within the matrix by contract.
        unsafe { S::load_n(self.0.at(r, c), n) }
    }
    #[inline(always)]
    unsafe fn finish<S: Block<T>>(&mut self, r: usize, c: usize, n: usize, acc: S, _: &mut S) {
        // SAFETY: within the matrix by contract.
        unsafe { acc.store_n(self.0.at_mut(r, c), n) }
    }
}

/// `out = product + base`: a dense gradient.
pub(crate) struct Gradient<'a, T> {
    pub out: MatMut<'a, T>,
    pub base: Option<Mat<'a, T>>,
}

impl<T: Real> Sink<T> for Gradient<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let out = (self.out.rows, self.out.cols);
        assert!(self.base.as_ref().is_none_or(|b| (b.rows, b.cols) == out));
        out
    }
    #[inline(always)]
    unsafe fn start<S: Block<T>>(&self, _: usize, _: usize, _: usize) -> S {
        S::zero()
    }
    #[inline(always)]
    unsafe fn finish<S: Block<T>>(&mut self, r: usize, c: usize, n: usize, acc: S, max: &mut S) {
        // SAFETY: both matrices have the tile.
        unsafe {
            let g = match &self.base {
                Some(base) => acc.add(S::load_n(base.at(r, c), n)),
                None => acc,
            };
            *max = g.abs().max(*max);
            g.store_n(self.out.at_mut(r, c), n);
        }
    }
}

/// Structured step, `W = diag(rows) W + product`: plain SGD and natural.
pub(crate) struct Scaled<'a, T> {
    pub w: MatMut<'a, T>,
    /// The diagonal, one number a row.
    pub rows: &'a [T],
}

impl<T: Real> Sink<T> for Scaled<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.w.rows.min(self.rows.len()), self.w.cols)
    }
    #[inline(always)]
    unsafe fn start<S: Block<T>>(&self, r: usize, c: usize, n: usize) -> S {
        // SAFETY: within W, and `rows` has an element for each row.
        unsafe { S::splat(*self.rows.get_unchecked(r)).mul(S::load_n(self.w.at(r, c), n)) }
    }
    #[inline(always)]
    unsafe fn finish<S: Block<T>>(&mut self, r: usize, c: usize, n: usize, acc: S, max: &mut S) {
        *max = acc.abs().max(*max);
        // SAFETY: within W by contract.
        unsafe { acc.store_n(self.w.at_mut(r, c), n) }
    }
}

/// `W += rate d` with `d = product + diag(rows) W + factor base`, `d` first put through a rule.
pub(crate) struct Ascend<'a, T> {
    pub w: MatMut<'a, T>,
    /// The diagonal, one number a row.
    pub rows: &'a [T],
    pub base: Option<(Mat<'a, T>, T)>,
    pub rate: T,
    pub rule: Rule<'a, T>,
}

/// What is done with a direction before it is added.
pub(crate) enum Rule<'a, T> {
    /// Nothing.
    Plain,
    /// Averaged: `m = beta m + (1 - beta) d`, and `m` is added.
    Momentum { m: MatMut<'a, T>, beta: T },
    /// Adam, see [`AdamConstants`].
    Adam { m: MatMut<'a, T>, v: MatMut<'a, T>, constants: AdamConstants<T> },
}

/// The numbers that an Adam step multiplies by.
#[derive(Clone, Copy)]
pub(crate) struct AdamConstants<T> {
    pub beta1: T,
    pub beta2: T,
    /// `1 / (1 - beta1^t)` and `1 / (1 - beta2^t)`.
    pub correction: [T; 2],
    pub epsilon: T,
}

impl<T: Real> Sink<T> for Ascend<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let w = (self.w.rows, self.w.cols);
        assert!(self.base.as_ref().is_none_or(|(b, _)| (b.rows, b.cols) == w));
        match &self.rule {
            Rule::Plain => {}
            Rule::Momentum { m, .. } => assert!((m.rows, m.cols) == w),
            Rule::Adam { m, v, .. } => {
                assert!((m.rows, m.cols) == w && (v.rows, v.cols) == w);
            }
        }
        (self.w.rows.min(self.rows.len()), self.w.cols)
    }
    #[inline(always)]
    unsafe fn start<S: Block<T>>(&self, _: usize, _: usize, _: usize) -> S {
        S::zero()
    }
    #[inline(always)]
    unsafe fn finish<S: Block<T>>(&mut self, r: usize, c: usize, n: usize, acc: S, max: &mut S) {
        // SAFETY: all matrices have W's shape, which has the tile; so has `rows` the row.
        unsafe {
            let w = S::load_n(self.w.at(r, c), n);
            let mut d = S::splat(*self.rows.get_unchecked(r)).fma(w, acc);
            if let Some((base, factor)) = &self.base {
                d = S::splat(*factor).fma(S::load_n(base.at(r, c), n), d);
            }
            let d = match &mut self.rule {
                Rule::Plain => d,
                Rule::Momentum { m, beta } => {
                    let m_new = average(S::load_n(m.at(r, c), n), d, *beta);
                    m_new.store_n(m.at_mut(r, c), n);
                    m_new
                }
                Rule::Adam { m, v, constants } => {
                    let (m_new, v_new, d) =
                        adam(S::load_n(m.at(r, c), n), S::load_n(v.at(r, c), n), d, constants);
                    m_new.store_n(m.at_mut(r, c), n);
                    v_new.store_n(v.at_mut(r, c), n);
                    d
                }
            };
            let w = S::splat(self.rate).fma(d, w);
            *max = w.abs().max(*max);
            w.store_n(self.w.at_mut(r, c), n);
        }
    }
}

/// `beta m + (1 - beta) d`.
#[inline(always)]
pub(crate) fn average<T: Real, S: Block<T>>(m: S, d: S, beta: T) -> S {
    S::splat(beta).fma(m, S::splat(T::ONE - beta).mul(d))
}

/// The new moments and the direction `m^ / (sqrt(v^) + epsilon)`.
#[inline(always)]
pub(crate) fn adam<T: Real, S: Block<T>>(m: S, v: S, g: S, k: &AdamConstants<T>) -> (S, S, S) {
    let m = average(m, g, k.beta1);
    let v = average(v, g.mul(g), k.beta2);
    let root = v.mul(S::splat(k.correction[1])).sqrt().add(S::splat(k.epsilon));
    (m, v, m.mul(S::splat(k.correction[0])).div(root))
}
