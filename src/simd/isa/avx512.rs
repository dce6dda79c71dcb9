//! Blocks as one 512-bit register: AVX-512F with DQ.

use super::x86;
use crate::simd::vector::row_sums;
use crate::simd::{Arithmetic, Kernel, Real, Vector};
use core::arch::x86_64::*;

/// Runs a kernel compiled for AVX-512.
///
/// # Safety
/// The processor must have AVX-512F, AVX-512DQ, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
#[inline(never)]
pub(in crate::simd) unsafe fn run<T: Real, S: Vector<T>, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<S>()
}

/// 16 `f32`.
#[derive(Clone, Copy)]
pub(crate) struct F32(__m512);
/// 8 `f64`.
#[derive(Clone, Copy)]
pub(crate) struct F64(__m512d);

/// An intrinsic on the registers of blocks.
macro_rules! on {
    ($f:ident, $($x:expr),+) => {
        // SAFETY: these blocks exist only where AVX-512F and DQ do.
        unsafe { Self($f($($x.0),+)) }
    };
}

/// What `F32` and `F64` share of [`Vector`] but for the intrinsics' names.
macro_rules! memory {
    ($t:ty, $mask:ty, $loadu:ident, $storeu:ident, $maskload:ident) => {
        const TILE: (usize, usize) = (6, 4);
        const DOT_TILE: (usize, usize) = (4, 4);
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
            unsafe { Self($loadu(p)) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut $t) {
            // SAFETY: valid for all lanes by contract.
            unsafe { $storeu(p, self.0) }
        }
        #[inline(always)]
        unsafe fn load_partial(p: *const $t, n: usize) -> Self {
            // SAFETY: masked lanes are not accessed; the others are valid by contract.
            unsafe { Self($maskload(((1u32 << n) - 1) as $mask, p)) }
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
            // SAFETY: these blocks exist only where AVX-512F does.
            unsafe { Self($set1(x)) }
        }
        #[inline(always)]
        fn add(self, o: Self) -> Self {
            on!($add, self, o)
        }
        #[inline(always)]
        fn sub(self, o: Self) -> Self {
            on!($sub, self, o)
        }
        #[inline(always)]
        fn mul(self, o: Self) -> Self {
            on!($mul, self, o)
        }
        #[inline(always)]
        fn div(self, o: Self) -> Self {
            on!($div, self, o)
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            on!($fma, self, b, c)
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            on!($sqrt, self)
        }
        #[inline(always)]
        fn abs(self) -> Self {
            let sign = Self::splat(-0.0);
            on!($andnot, sign, self)
        }
        #[inline(always)]
        fn neg(self) -> Self {
            let sign = Self::splat(-0.0);
            on!($xor, sign, self)
        }
        #[inline(always)]
        fn copysign(self, o: Self) -> Self {
            let sign = Self::splat(-0.0);
            let (of, magnitude) = (on!($and, sign, o), on!($andnot, sign, self));
            on!($or, of, magnitude)
        }
        #[inline(always)]
        fn select_lt(a: Self, b: Self, x: Self, y: Self) -> Self {
            // SAFETY: these blocks exist only where AVX-512F does.
            unsafe { Self($blend($cmp::<_CMP_LT_OQ>(a.0, b.0), y.0, x.0)) }
        }
        #[inline(always)]
        fn round(self) -> Self {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            // SAFETY: these blocks exist only where AVX-512F does.
            unsafe { Self($round::<NEAREST>(self.0)) }
        }
        #[inline(always)]
        fn min(self, o: Self) -> Self {
            on!($min, self, o)
        }
        #[inline(always)]
        fn max(self, o: Self) -> Self {
            on!($max, self, o)
        }
    };
}

impl Arithmetic<f32> for F32 {
    arithmetic!(
        f32,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_fmadd_ps,
        _mm512_sqrt_ps,
        _mm512_andnot_ps,
        _mm512_and_ps,
        _mm512_or_ps,
        _mm512_xor_ps,
        _mm512_cmp_ps_mask,
        _mm512_mask_blend_ps,
        _mm512_roundscale_ps,
        _mm512_min_ps,
        _mm512_max_ps
    );

    #[inline(always)]
    fn pow2(self) -> Self {
        // SAFETY: these blocks exist only where AVX-512F does.
        unsafe {
            let e = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(e)))
        }
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        // SAFETY: these blocks exist only where AVX-512F does.
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let above = _mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f35_04f3));
            let e = _mm512_srai_epi32::<23>(above);
            let m = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(e));
            (Self(_mm512_castsi512_ps(m)), Self(_mm512_cvtepi32_ps(e)))
        }
    }
}

// SAFETY: loads and stores touch the named lanes only.
unsafe impl Vector<f32> for F32 {
    memory!(f32, __mmask16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_maskz_loadu_ps);

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, n: usize) {
        // SAFETY: by contract; these blocks exist only where AVX-512 does.
        unsafe {
            let (low, high) = (_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            x86::store_first32(low, high, p, n);
        }
    }
    #[inline(always)]
    unsafe fn transpose(row: impl Fn(usize) -> *const f32, to: *mut f32, ld: usize) {
        // SAFETY: by contract; these blocks exist only where AVX does.
        unsafe { x86::transpose32(row, to, ld) }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: these blocks exist only where AVX-512F and DQ do.
        unsafe {
            let upper = _mm512_extractf32x8_ps::<1>(self.0);
            let s = _mm256_add_ps(_mm512_castps512_ps256(self.0), upper);
            let s = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps::<1>(s));
            let s = _mm_add_ps(s, _mm_movehl_ps(s, s));
            _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps::<1>(s, s)))
        }
    }
    /// Two blocks are halved into one register, then two of those, until each lane is a sum:
    /// two shuffles a block.
    #[inline(always)]
    fn sums<const M: usize, const N: usize>(tile: [[Self; N]; M]) -> [[f32; N]; M] {
        if N != 4 {
            return row_sums(tile);
        }
        // Of smaller tiles some rows stand for those that are missing.
        let mut quarters = [Self::zero(); 4];
        for i in 0..4 {
            let row = &tile[i % M];
            quarters[i] = quarter_sums(row[0], row[1 % N], row[2 % N], row[3 % N]);
        }
        let sums = sums_of_quarters(quarters);
        let mut out = [[0.0; N]; M];
        for i in 0..M {
            for j in 0..N {
                out[i][j] = sums[i][j];
            }
        }
        out
    }
}

/// A quarter for each block `x`: lanes `(x_i + x_i+8) + (x_i+4 + x_i+12)`.
#[inline(always)]
fn quarter_sums(a: F32, b: F32, c: F32, d: F32) -> F32 {
    // SAFETY: these blocks exist only where AVX-512F does.
    unsafe {
        // Quarters (0, 1) of both, plus quarters (2, 3) of both.
        let halve = |x, y| {
            let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(x, y);
            let high = _mm512_shuffle_f32x4::<0b11_10_11_10>(x, y);
            _mm512_add_ps(low, high)
        };
        let (ab, cd) = (halve(a.0, b.0), halve(c.0, d.0));
        let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd);
        let high = _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd);
        F32(_mm512_add_ps(low, high))
    }
}

/// `(p_0 + p_2) + (p_1 + p_3)` of each quarter p: a row of sums for each register.
#[inline(always)]
fn sums_of_quarters([a, b, c, d]: [F32; 4]) -> [[f32; 4]; 4] {
    // SAFETY: these blocks exist only where AVX-512F does.
    unsafe {
        let halve = |x, y| {
            let (x, y) = (_mm512_castps_pd(x), _mm512_castps_pd(y));
            let low = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)))
        };
        let (ab, cd) = (halve(a.0, b.0), halve(c.0, d.0));
        let even = _mm512_shuffle_ps::<0b10_00_10_00>(ab, cd);
        let odd = _mm512_shuffle_ps::<0b11_01_11_01>(ab, cd);
        // Quarter q, lane r: the sum of register r's quarter q.
        let sums = _mm512_add_ps(even, odd);
        let turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let mut out = [[0.0; 4]; 4];
        _mm512_storeu_ps(out.as_mut_ptr().cast(), _mm512_permutexvar_ps(turn, sums));
        out
    }
}

impl Arithmetic<f64> for F64 {
    arithmetic!(
        f64,
        _mm512_set1_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        _mm512_div_pd,
        _mm512_fmadd_pd,
        _mm512_sqrt_pd,
        _mm512_andnot_pd,
        _mm512_and_pd,
        _mm512_or_pd,
        _mm512_xor_pd,
        _mm512_cmp_pd_mask,
        _mm512_mask_blend_pd,
        _mm512_roundscale_pd,
        _mm512_min_pd,
        _mm512_max_pd
    );

    #[inline(always)]
    fn pow2(self) -> Self {
        // SAFETY: these blocks exist only where AVX-512F and DQ do.
        unsafe {
            let e = _mm512_add_epi64(_mm512_cvtpd_epi64(self.0), _mm512_set1_epi64(1023));
            Self(_mm512_castsi512_pd(_mm512_slli_epi64::<52>(e)))
        }
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        // SAFETY: these blocks exist only where AVX-512F and DQ do.
        unsafe {
            let bits = _mm512_castpd_si512(self.0);
            let above = _mm512_sub_epi64(bits, _mm512_set1_epi64(0x3fe6_a09e_667f_3bcd));
            let e = _mm512_srai_epi64::<52>(above);
            let m = _mm512_sub_epi64(bits, _mm512_slli_epi64::<52>(e));
            (Self(_mm512_castsi512_pd(m)), Self(_mm512_cvtepi64_pd(e)))
        }
    }
}

// SAFETY: loads and stores touch the named lanes only.
unsafe impl Vector<f64> for F64 {
    memory!(f64, __mmask8, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_maskz_loadu_pd);

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f64, n: usize) {
        // SAFETY: by contract; these blocks exist only where AVX-512 does.
        unsafe {
            let (low, high) = (_mm512_castpd512_pd256(self.0), _mm512_extractf64x4_pd::<1>(self.0));
            x86::store_first64(low, high, p, n);
        }
    }
    #[inline(always)]
    unsafe fn transpose(row: impl Fn(usize) -> *const f64, to: *mut f64, ld: usize) {
        // SAFETY: by contract; these blocks exist only where AVX does.
        unsafe { x86::transpose64(row, to, ld) }
    }
    #[inline(always)]
    fn sum(self) -> f64 {
        // SAFETY: these blocks exist only where AVX-512F does.
        unsafe {
            let upper = _mm512_extractf64x4_pd::<1>(self.0);
            let s = _mm256_add_pd(_mm512_castpd512_pd256(self.0), upper);
            let s = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd::<1>(s));
            _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)))
        }
    }
}
