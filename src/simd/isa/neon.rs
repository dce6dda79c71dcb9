//! Blocks as four 128-bit registers: NEON, which every 64-bit Arm processor has.

use crate::simd::{Arithmetic, Kernel, Real, Vector};
use core::arch::aarch64::*;

/// Runs a kernel on NEON's registers.
#[inline(never)]
pub(in crate::simd) fn run<T: Real, S: Vector<T>, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<S>()
}

/// 16 `f32`.
#[derive(Clone, Copy)]
pub(crate) struct F32([float32x4_t; 4]);
/// 8 `f64`.
#[derive(Clone, Copy)]
pub(crate) struct F64([float64x2_t; 4]);

/// Applies an intrinsic to each of the four registers.
macro_rules! each {
    ($f:ident, $($x:expr),+) => {
        // SAFETY: this module is compiled only for targets with NEON.
        unsafe { Self([$f($($x.0[0]),+), $f($($x.0[1]),+), $f($($x.0[2]),+), $f($($x.0[3]),+)]) }
    };
}

/// What `F32` and `F64` share of [`Vector`] but for the intrinsics' names.
macro_rules! memory {
    ($t:ty, $quarter:literal, $load:ident, $store:ident, $load_first:ident, $store_first:ident) => {
        const TILE: (usize, usize) = (6, 1);
        const DOT_TILE: (usize, usize) = (2, 2);

        #[inline(always)]
        fn outline<K: Kernel<$t>>(kernel: K) -> K::Output {
            run::<$t, Self, K>(kernel)
        }

        #[inline(always)]
        unsafe fn load(p: *const $t) -> Self {
            // SAFETY: valid for all lanes by contract.
            unsafe {
                Self([
                    $load(p),
                    $load(p.add($quarter)),
                    $load(p.add(2 * $quarter)),
                    $load(p.add(3 * $quarter)),
                ])
            }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut $t) {
            for (i, register) in self.0.into_iter().enumerate() {
                // SAFETY: valid for all lanes by contract.
                unsafe { $store(p.add(i * $quarter), register) }
            }
        }
        #[inline(always)]
        unsafe fn load_partial(p: *const $t, n: usize) -> Self {
            let mut block = Self::splat(0.0);
            for (i, register) in block.0.iter_mut().enumerate() {
                // SAFETY: the lanes below `n` are valid by contract.
                *register = unsafe {
                    $load_first(p.wrapping_add(i * $quarter), n.saturating_sub(i * $quarter))
                };
            }
            block
        }
        #[inline(always)]
        unsafe fn store_partial(self, p: *mut $t, n: usize) {
            for (i, register) in self.0.into_iter().enumerate() {
                // SAFETY: the lanes below `n` are valid by contract.
                unsafe {
                    let p = p.wrapping_add(i * $quarter);
                    $store_first(p, n.saturating_sub(i * $quarter), register);
                }
            }
        }
    };
}

/// What they share of [`Arithmetic`].
macro_rules! arithmetic {
    ($t:ty, $splat:ident, $splat_bits:ident, $sign:literal, $select:ident, $less:ident, $add:ident,
     $sub:ident, $mul:ident, $div:ident, $fma:ident, $sqrt:ident, $abs:ident, $neg:ident,
     $round:ident) => {
        #[inline(always)]
        fn splat(x: $t) -> Self {
            // SAFETY: this module is compiled only for targets with NEON.
            Self([unsafe { $splat(x) }; 4])
        }
        #[inline(always)]
        fn add(self, o: Self) -> Self {
            each!($add, self, o)
        }
        #[inline(always)]
        fn sub(self, o: Self) -> Self {
            each!($sub, self, o)
        }
        #[inline(always)]
        fn mul(self, o: Self) -> Self {
            each!($mul, self, o)
        }
        #[inline(always)]
        fn div(self, o: Self) -> Self {
            each!($div, self, o)
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            // The intrinsic adds to its first argument.
            each!($fma, c, self, b)
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            each!($sqrt, self)
        }
        #[inline(always)]
        fn abs(self) -> Self {
            each!($abs, self)
        }
        #[inline(always)]
        fn neg(self) -> Self {
            each!($neg, self)
        }
        #[inline(always)]
        fn copysign(self, o: Self) -> Self {
            let mut block = self;
            for (x, of) in block.0.iter_mut().zip(o.0) {
                // SAFETY: this module is compiled only for targets with NEON.
                *x = unsafe { $select($splat_bits($sign), of, *x) };
            }
            block
        }
        #[inline(always)]
        fn select_lt(a: Self, b: Self, x: Self, y: Self) -> Self {
            let mut block = y;
            for (i, y) in block.0.iter_mut().enumerate() {
                // SAFETY: this module is compiled only for targets with NEON.
                *y = unsafe { $select($less(a.0[i], b.0[i]), x.0[i], *y) };
            }
            block
        }
        #[inline(always)]
        fn round(self) -> Self {
            each!($round, self)
        }
    };
}

/// The first `n` lanes, all four if `n` is larger; zero in the others.
#[inline(always)]
unsafe fn load_first32(p: *const f32, n: usize) -> float32x4_t {
    // SAFETY: only the first `n` numbers are read, valid by contract.
    unsafe {
        let zero = vdupq_n_f32(0.0);
        match n {
            0 => zero,
            1 => vld1q_lane_f32::<0>(p, zero),
            2 => vcombine_f32(vld1_f32(p), vget_low_f32(zero)),
            3 => vld1q_lane_f32::<2>(p.add(2), vcombine_f32(vld1_f32(p), vget_low_f32(zero))),
            _ => vld1q_f32(p),
        }
    }
}

#[inline(always)]
unsafe fn store_first32(p: *mut f32, n: usize, x: float32x4_t) {
    // SAFETY: only the first `n` numbers are written, valid by contract.
    unsafe {
        match n {
            0 => {}
            1 => vst1q_lane_f32::<0>(p, x),
            2 => vst1_f32(p, vget_low_f32(x)),
            3 => {
                vst1_f32(p, vget_low_f32(x));
                vst1q_lane_f32::<2>(p.add(2), x);
            }
            _ => vst1q_f32(p, x),
        }
    }
}

/// As [`load_first32`] for two lanes.
#[inline(always)]
unsafe fn load_first64(p: *const f64, n: usize) -> float64x2_t {
    // SAFETY: only the first `n` numbers are read, valid by contract.
    unsafe {
        match n {
            0 => vdupq_n_f64(0.0),
            1 => vld1q_lane_f64::<0>(p, vdupq_n_f64(0.0)),
            _ => vld1q_f64(p),
        }
    }
}

#[inline(always)]
unsafe fn store_first64(p: *mut f64, n: usize, x: float64x2_t) {
    // SAFETY: only the first `n` numbers are written, valid by contract.
    unsafe {
        match n {
            0 => {}
            1 => vst1q_lane_f64::<0>(p, x),
            _ => vst1q_f64(p, x),
        }
    }
}

#[inline(always)]
fn pow2_32(x: float32x4_t) -> float32x4_t {
    // SAFETY: this module is compiled only for targets with NEON.
    unsafe {
        let e = vaddq_s32(vcvtq_s32_f32(x), vdupq_n_s32(127));
        vreinterpretq_f32_s32(vshlq_n_s32::<23>(e))
    }
}

#[inline(always)]
fn pow2_64(x: float64x2_t) -> float64x2_t {
    // SAFETY: this module is compiled only for targets with NEON.
    unsafe {
        let e = vaddq_s64(vcvtq_s64_f64(x), vdupq_n_s64(1023));
        vreinterpretq_f64_s64(vshlq_n_s64::<52>(e))
    }
}

#[inline(always)]
fn split32(x: float32x4_t) -> (float32x4_t, float32x4_t) {
    // SAFETY: this module is compiled only for targets with NEON.
    unsafe {
        let bits = vreinterpretq_s32_f32(x);
        let e = vshrq_n_s32::<23>(vsubq_s32(bits, vdupq_n_s32(0x3f35_04f3)));
        let m = vsubq_s32(bits, vshlq_n_s32::<23>(e));
        (vreinterpretq_f32_s32(m), vcvtq_f32_s32(e))
    }
}

#[inline(always)]
fn split64(x: float64x2_t) -> (float64x2_t, float64x2_t) {
    // SAFETY: this module is compiled only for targets with NEON.
    unsafe {
        let bits = vreinterpretq_s64_f64(x);
        let e = vshrq_n_s64::<52>(vsubq_s64(bits, vdupq_n_s64(0x3fe6_a09e_667f_3bcd)));
        let m = vsubq_s64(bits, vshlq_n_s64::<52>(e));
        (vreinterpretq_f64_s64(m), vcvtq_f64_s64(e))
    }
}

impl Arithmetic<f32> for F32 {
    arithmetic!(
        f32,
        vdupq_n_f32,
        vdupq_n_u32,
        0x8000_0000,
        vbslq_f32,
        vcltq_f32,
        vaddq_f32,
        vsubq_f32,
        vmulq_f32,
        vdivq_f32,
        vfmaq_f32,
        vsqrtq_f32,
        vabsq_f32,
        vnegq_f32,
        vrndnq_f32
    );

    #[inline(always)]
    fn pow2(self) -> Self {
        Self(self.0.map(pow2_32))
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let [a, b, c, d] = self.0.map(split32);
        (Self([a.0, b.0, c.0, d.0]), Self([a.1, b.1, c.1, d.1]))
    }
}

// SAFETY: loads and stores touch the named lanes only.
unsafe impl Vector<f32> for F32 {
    memory!(f32, 4, vld1q_f32, vst1q_f32, load_first32, store_first32);

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: this module is compiled only for targets with NEON.
        unsafe {
            let s = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
            let s = vadd_f32(vget_low_f32(s), vget_high_f32(s));
            vget_lane_f32::<0>(s) + vget_lane_f32::<1>(s)
        }
    }
}

impl Arithmetic<f64> for F64 {
    arithmetic!(
        f64,
        vdupq_n_f64,
        vdupq_n_u64,
        0x8000_0000_0000_0000,
        vbslq_f64,
        vcltq_f64,
        vaddq_f64,
        vsubq_f64,
        vmulq_f64,
        vdivq_f64,
        vfmaq_f64,
        vsqrtq_f64,
        vabsq_f64,
        vnegq_f64,
        vrndnq_f64
    );

    #[inline(always)]
    fn pow2(self) -> Self {
        Self(self.0.map(pow2_64))
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let [a, b, c, d] = self.0.map(split64);
        (Self([a.0, b.0, c.0, d.0]), Self([a.1, b.1, c.1, d.1]))
    }
}

// SAFETY: loads and stores touch the named lanes only.
unsafe impl Vector<f64> for F64 {
    memory!(f64, 2, vld1q_f64, vst1q_f64, load_first64, store_first64);

    #[inline(always)]
    fn sum(self) -> f64 {
        let [a, b, c, d] = self.0;
        // SAFETY: this module is compiled only for targets with NEON.
        unsafe {
            let s = vaddq_f64(vaddq_f64(a, c), vaddq_f64(b, d));
            vgetq_lane_f64::<0>(s) + vgetq_lane_f64::<1>(s)
        }
    }
}
