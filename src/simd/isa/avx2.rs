//! Blocks as two 256-bit registers: AVX2 with FMA.

use super::x86;
use crate::simd::{Arithmetic, Kernel, Real, Vector};
use core::arch::x86_64::*;

/// Runs a kernel compiled for AVX2 and FMA.
///
/// # Safety
/// The processor must have both.
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
pub(in crate::simd) unsafe fn run<T: Real, S: Vector<T>, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<S>()
}

/// 16 `f32`.
#[derive(Clone, Copy)]
pub(crate) struct F32(__m256, __m256);
/// 8 `f64`.
#[derive(Clone, Copy)]
pub(crate) struct F64(__m256d, __m256d);

/// Applies an intrinsic to both halves.
macro_rules! both {
    ($f:ident, $($x:expr),+) => {
        // SAFETY: these blocks exist only where AVX2 and FMA do.
        unsafe { Self($f($($x.0),+), $f($($x.1),+)) }
    };
}

/// What `F32` and `F64` share of [`Vector`] but for the intrinsics' names.
macro_rules! memory {
    ($t:ty, $half:literal, $loadu:ident, $storeu:ident) => {
        const TILE: (usize, usize) = (6, 1);
        const DOT_TILE: (usize, usize) = (3, 2);
        const INTERLEAVE: bool = true;

        #[inline(always)]
        fn outline<K: Kernel<$t>>(kernel: K) -> K::Output {
            // SAFETY: these blocks exist only where the processor has what they are made of.
            unsafe { run::<$t, Self, K>(kernel) }
        }

        #[inline(always)]
        fn prefetch(p: *const $t, first: bool) {
            x86::prefetch(p, first);
        }
        #[inline(always)]
        unsafe fn load(p: *const $t) -> Self {
            // SAFETY: valid for all lanes by contract.
            unsafe { Self($loadu(p), $loadu(p.add($half))) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut $t) {
            // SAFETY: valid for all lanes by contract.
            unsafe {
                $storeu(p, self.0);
                $storeu(p.add($half), self.1);
            }
        }
    };
}

/// What they share of [`Arithmetic`].
macro_rules! arithmetic {
    ($t:ty, $set1:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident, $sqrt:ident,
     $andnot:ident, $and:ident, $or:ident, $xor:ident, $cmp:ident, $blend:ident, $round:ident,
     $min:ident, $max:ident) => {
        #[inline(always)]
        fn splat(x: $t) -> Self {
            // SAFETY: these blocks exist only where AVX2 does.
            let v = unsafe { $set1(x) };
            Self(v, v)
        }
        #[inline(always)]
        fn add(self, o: Self) -> Self {
            both!($add, self, o)
        }
        #[inline(always)]
        fn sub(self, o: Self) -> Self {
            both!($sub, self, o)
        }
        #[inline(always)]
        fn mul(self, o: Self) -> Self {
            both!($mul, self, o)
        }
        #[inline(always)]
        fn div(self, o: Self) -> Self {
            both!($div, self, o)
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            both!($fma, self, b, c)
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            both!($sqrt, self)
        }
        #[inline(always)]
        fn abs(self) -> Self {
            let sign = Self::splat(-0.0);
            both!($andnot, sign, self)
        }
        #[inline(always)]
        fn neg(self) -> Self {
            let sign = Self::splat(-0.0);
            both!($xor, sign, self)
        }
        #[inline(always)]
        fn copysign(self, o: Self) -> Self {
            let sign = Self::splat(-0.0);
            let (of, magnitude) = (both!($and, sign, o), both!($andnot, sign, self));
            both!($or, of, magnitude)
        }
        #[inline(always)]
        fn select_lt(a: Self, b: Self, x: Self, y: Self) -> Self {
            // SAFETY: these blocks exist only where AVX2 does.
            unsafe {
                Self(
                    $blend(y.0, x.0, $cmp::<_CMP_LT_OQ>(a.0, b.0)),
                    $blend(y.1, x.1, $cmp::<_CMP_LT_OQ>(a.1, b.1)),
                )
            }
        }
        #[inline(always)]
        fn round(self) -> Self {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            // SAFETY: these blocks exist only where AVX2 does.
            unsafe { Self($round::<NEAREST>(self.0), $round::<NEAREST>(self.1)) }
        }
        #[inline(always)]
        fn min(self, o: Self) -> Self {
            both!($min, self, o)
        }
        #[inline(always)]
        fn max(self, o: Self) -> Self {
            both!($max, self, o)
        }
    };
}

/// Lanes below `n` set, for the half that starts at lane `from`.
#[inline(always)]
fn mask32(n: usize, from: i32) -> __m256i {
    // SAFETY: called for blocks that exist only where AVX2 does.
    unsafe {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32 - from), lane)
    }
}

/// As [`mask32`] for 64-bit lanes.
#[inline(always)]
fn mask64(n: usize, from: i64) -> __m256i {
    // SAFETY: called for blocks that exist only where AVX2 does.
    unsafe {
        let lane = _mm256_setr_epi64x(0, 1, 2, 3);
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64 - from), lane)
    }
}

impl Arithmetic<f32> for F32 {
    arithmetic!(
        f32,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_fmadd_ps,
        _mm256_sqrt_ps,
        _mm256_andnot_ps,
        _mm256_and_ps,
        _mm256_or_ps,
        _mm256_xor_ps,
        _mm256_cmp_ps,
        _mm256_blendv_ps,
        _mm256_round_ps,
        _mm256_min_ps,
        _mm256_max_ps
    );

    #[inline(always)]
    fn pow2(self) -> Self {
        #[inline(always)]
        fn half(x: __m256) -> __m256 {
            // SAFETY: these blocks exist only where AVX2 does.
            unsafe {
                let e = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(e))
            }
        }
        Self(half(self.0), half(self.1))
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        #[inline(always)]
        fn half(x: __m256) -> (__m256, __m256) {
            // SAFETY: these blocks exist only where AVX2 does.
            unsafe {
                let bits = _mm256_castps_si256(x);
                let above = _mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f35_04f3));
                let e = _mm256_srai_epi32::<23>(above);
                let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(e));
                (_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(e))
            }
        }
        let ((m0, e0), (m1, e1)) = (half(self.0), half(self.1));
        (Self(m0, m1), Self(e0, e1))
    }
}

// SAFETY: loads and stores touch the named lanes only.
unsafe impl Vector<f32> for F32 {
    memory!(f32, 8, _mm256_loadu_ps, _mm256_storeu_ps);

    #[inline(always)]
    unsafe fn load_partial(p: *const f32, n: usize) -> Self {
        // SAFETY: masked lanes are not accessed; the others are valid by contract.
        unsafe {
            Self(
                _mm256_maskload_ps(p, mask32(n, 0)),
                _mm256_maskload_ps(p.wrapping_add(8), mask32(n, 8)),
            )
        }
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, n: usize) {
        // SAFETY: by contract; these blocks exist only where AVX does.
        unsafe { x86::store_first32(self.0, self.1, p, n) }
    }
    #[inline(always)]
    unsafe fn transpose(row: impl Fn(usize) -> *const f32, to: *mut f32, ld: usize) {
        // SAFETY: by contract; these blocks exist only where AVX does.
        unsafe { x86::transpose32(row, to, ld) }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: these blocks exist only where AVX2 does.
        unsafe {
            let s = _mm256_add_ps(self.0, self.1);
            let s = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps::<1>(s));
            let s = _mm_add_ps(s, _mm_movehl_ps(s, s));
            _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps::<1>(s, s)))
        }
    }
}

impl Arithmetic<f64> for F64 {
    arithmetic!(
        f64,
        _mm256_set1_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_mul_pd,
        _mm256_div_pd,
        _mm256_fmadd_pd,
        _mm256_sqrt_pd,
        _mm256_andnot_pd,
        _mm256_and_pd,
        _mm256_or_pd,
        _mm256_xor_pd,
        _mm256_cmp_pd,
        _mm256_blendv_pd,
        _mm256_round_pd,
        _mm256_min_pd,
        _mm256_max_pd
    );

    #[inline(always)]
    fn pow2(self) -> Self {
        #[inline(always)]
        fn half(x: __m256d) -> __m256d {
            // Added to 1.5 2^52, a whole number stands in the low bits of the sum.
            // SAFETY: these blocks exist only where AVX2 does.
            unsafe {
                let low = _mm256_castpd_si256(_mm256_add_pd(x, _mm256_set1_pd(6755399441055744.0)));
                let e = _mm256_add_epi64(low, _mm256_set1_epi64x(1023));
                _mm256_castsi256_pd(_mm256_slli_epi64::<52>(e))
            }
        }
        Self(half(self.0), half(self.1))
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        #[inline(always)]
        fn half(x: __m256d) -> (__m256d, __m256d) {
            // There is no arithmetic shift of 64 bits, so the exponent is kept biased, hence
            // positive; it becomes a number by standing in the low bits of 2^52.
            // SAFETY: these blocks exist only where AVX2 does.
            unsafe {
                let bits = _mm256_castpd_si256(x);
                let bias = _mm256_set1_epi64x(1023 << 52);
                let above = _mm256_sub_epi64(bits, _mm256_set1_epi64x(0x3fe6_a09e_667f_3bcd));
                let e = _mm256_srli_epi64::<52>(_mm256_add_epi64(above, bias));
                let shift = _mm256_sub_epi64(_mm256_slli_epi64::<52>(e), bias);
                let m = _mm256_castsi256_pd(_mm256_sub_epi64(bits, shift));
                let two52 = _mm256_set1_epi64x(0x4330_0000_0000_0000);
                let e = _mm256_castsi256_pd(_mm256_or_si256(e, two52));
                (m, _mm256_sub_pd(e, _mm256_set1_pd(4503599627370496.0 + 1023.0)))
            }
        }
        let ((m0, e0), (m1, e1)) = (half(self.0), half(self.1));
        (Self(m0, m1), Self(e0, e1))
    }
}

// SAFETY: loads and stores touch the named lanes only.
unsafe impl Vector<f64> for F64 {
    memory!(f64, 4, _mm256_loadu_pd, _mm256_storeu_pd);

    #[inline(always)]
    unsafe fn load_partial(p: *const f64, n: usize) -> Self {
        // SAFETY: masked lanes are not accessed; the others are valid by contract.
        unsafe {
            Self(
                _mm256_maskload_pd(p, mask64(n, 0)),
                _mm256_maskload_pd(p.wrapping_add(4), mask64(n, 4)),
            )
        }
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f64, n: usize) {
        // SAFETY: by contract; these blocks exist only where AVX does.
        unsafe { x86::store_first64(self.0, self.1, p, n) }
    }
    #[inline(always)]
    unsafe fn transpose(row: impl Fn(usize) -> *const f64, to: *mut f64, ld: usize) {
        // SAFETY: by contract; these blocks exist only where AVX does.
        unsafe { x86::transpose64(row, to, ld) }
    }
    #[inline(always)]
    fn sum(self) -> f64 {
        // SAFETY: these blocks exist only where AVX2 does.
        unsafe {
            let s = _mm256_add_pd(self.0, self.1);
            let s = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd::<1>(s));
            _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)))
        }
    }
}
