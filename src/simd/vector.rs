//! The vector of fixed width that every loop is written over.

use crate::simd::Real;

/// Operations on all lanes at once, one lane independent of the others.
///
/// Each is exact or rounded once as IEEE 754 says, so all implementations give the same bits.
/// Comparisons with NaN are false. Those made of vector registers exist only where the processor
/// has them: in kernels, which [`Real::dispatch`] runs.
pub(crate) trait Arithmetic<T: Real>: Copy {
    fn splat(x: T) -> Self;
    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    fn div(self, o: Self) -> Self;
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn neg(self) -> Self;
    /// The magnitude of `self` with the sign of `o`.
    fn copysign(self, o: Self) -> Self;
    /// Lane by lane `if a < b { x } else { y }`.
    fn select_lt(a: Self, b: Self, x: Self, y: Self) -> Self;
    /// To the nearest integer, ties to even.
    fn round(self) -> Self;
    /// `2^self` for whole `self` within the normal exponents.
    fn pow2(self) -> Self;
    /// `(m, e)` with `self = m 2^e`, `m` in `[sqrt(1/2), sqrt(2))`, for positive normal lanes.
    fn split(self) -> (Self, Self);

    #[inline(always)]
    fn zero() -> Self {
        Self::splat(T::ZERO)
    }
    /// The smaller; `o` if they are equal (zeros of either sign) or one is NaN.
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self::select_lt(self, o, self, o)
    }
    /// The larger; `o` if they are equal (zeros of either sign) or one is NaN.
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self::select_lt(o, self, self, o)
    }
}

/// 64 bytes of `T`: 16 `f32` or 8 `f64`.
///
/// # Safety
/// Pointers must be valid for the lanes read or written.
pub(crate) unsafe trait Vector<T: Real>: Arithmetic<T> {
    /// The most rows and blocks of a tile of accumulators for which there are registers, in
    /// products along rows and in products of rows with rows.
    const TILE: (usize, usize);
    const DOT_TILE: (usize, usize);

    /// Whether these are registers. Where they are not, some ways to go through a matrix are not
    /// compiled: they change speed alone.
    const REGISTERS: bool = true;

    /// Whether long chains of operations are better off by several blocks at a time, as a
    /// [`Interleaved`](crate::simd::interleaved::Interleaved).
    const INTERLEAVE: bool = false;

    /// Runs a kernel as a function of its own, compiled for these blocks.
    fn outline<K: Kernel<T>>(kernel: K) -> K::Output;

    unsafe fn load(p: *const T) -> Self;
    unsafe fn store(self, p: *mut T);
    /// The first `n` lanes (`0 < n < T::LANES`), zero in the others; reads nothing past them.
    unsafe fn load_partial(p: *const T, n: usize) -> Self;
    /// Writes the first `n` lanes only.
    unsafe fn store_partial(self, p: *mut T, n: usize);

    /// Asks for the memory at `p`, valid or not, to come into the first cache or the second.
    #[inline(always)]
    fn prefetch(_p: *const T, _first: bool) {}

    /// The sum of all lanes by halving: lane `i` with lane `i + n/2`, and so on.
    fn sum(self) -> T;
    /// The sums of a tile's blocks, each as [`Vector::sum`] gives it.
    #[inline(always)]
    fn sums<const M: usize, const N: usize>(tile: [[Self; N]; M]) -> [[T; N]; M] {
        row_sums(tile)
    }

    /// Transposes a square: number `j` of row `i` goes to `to + j ld + i`, `T::LANES` of either.
    #[inline(always)]
    unsafe fn transpose(row: impl Fn(usize) -> *const T, to: *mut T, ld: usize) {
        for j in 0..T::LANES {
            for i in 0..T::LANES {
                // SAFETY: by contract.
                unsafe { *to.add(j * ld + i) = *row(i).add(j) };
            }
        }
    }

    /// `n` lanes, all of them when `n` is the width.
    #[inline(always)]
    unsafe fn load_n(p: *const T, n: usize) -> Self {
        // SAFETY: the caller vouches for `n` lanes.
        unsafe { if n == T::LANES { Self::load(p) } else { Self::load_partial(p, n) } }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut T, n: usize) {
        // SAFETY: the caller vouches for `n` lanes.
        unsafe { if n == T::LANES { self.store(p) } else { self.store_partial(p, n) } }
    }
    #[inline(always)]
    fn to_array(self) -> T::Array {
        let mut a = T::Array::default();
        // SAFETY: `Array` has exactly `LANES` elements.
        unsafe { self.store(a.as_mut().as_mut_ptr()) };
        a
    }
}

/// [`Vector::sums`] one by one.
#[inline(always)]
pub(super) fn row_sums<T: Real, S: Vector<T>, const M: usize, const N: usize>(
    tile: [[S; N]; M],
) -> [[T; N]; M] {
    let mut out = [[T::ZERO; N]; M];
    for i in 0..M {
        for j in 0..N {
            out[i][j] = tile[i][j].sum();
        }
    }
    out
}

/// A loop with its operands, to be run on blocks of any kind.
pub(crate) trait Kernel<T: Real> {
    type Output;
    /// Must be `#[inline(always)]`, as must all it calls: only then is it compiled for the
    /// instruction set of its caller.
    fn run<S: Vector<T>>(self) -> Self::Output;
}
