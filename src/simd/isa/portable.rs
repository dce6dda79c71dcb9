//! Blocks as plain arrays, for every processor.

use crate::simd::{Arithmetic, Kernel, Real, Vector};

/// `T::LANES` numbers.
#[derive(Clone, Copy)]
pub(crate) struct Portable<T: Real>(T::Array);

#[cfg(relgrad_vfma)]
#[path = "cortex_m.rs"]
mod cortex_m;

// On x86-64 this is the way of processors without AVX2, whose FMA is a call for each lane: what is
// long is a function of its own there, or it would be most of what is compiled.

/// `a b + c` with one rounding; where the hardware has no such instruction, in software.
#[cfg_attr(target_arch = "x86_64", inline(never))]
#[cfg_attr(not(target_arch = "x86_64"), inline(always))]
fn fma_f32(a: &mut [f32; 16], b: &[f32; 16], c: &[f32; 16]) {
    #[cfg(relgrad_vfma)]
    return cortex_m::fma16(a, b, c);
    #[cfg(not(relgrad_vfma))]
    for i in 0..16 {
        a[i] = fma_one_f32(a[i], b[i], c[i]);
    }
}

#[cfg(not(relgrad_vfma))]
#[inline(always)]
fn fma_one_f32(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(relgrad_fast_no_fma) {
        return a * b + c;
    }
    #[cfg(feature = "std")]
    return a.mul_add(b, c);
    #[cfg(not(feature = "std"))]
    return libm::fmaf(a, b, c);
}

#[cfg_attr(target_arch = "x86_64", inline(never))]
#[cfg_attr(not(target_arch = "x86_64"), inline(always))]
fn fma_f64(a: &mut [f64; 8], b: &[f64; 8], c: &[f64; 8]) {
    for i in 0..8 {
        a[i] = fma_one_f64(a[i], b[i], c[i]);
    }
}

#[inline(always)]
fn fma_one_f64(a: f64, b: f64, c: f64) -> f64 {
    if cfg!(relgrad_fast_no_fma) {
        return a * b + c;
    }
    #[cfg(feature = "std")]
    return a.mul_add(b, c);
    #[cfg(not(feature = "std"))]
    return libm::fma(a, b, c);
}

macro_rules! portable {
    ($t:ty, $n:literal, $int:ty, $mantissa:literal, $bias:literal, $sqrt_half:literal,
     $fma:path, $sqrt:path, $rint:path) => {
        impl Arithmetic<$t> for Portable<$t> {
            #[inline(always)]
            fn splat(x: $t) -> Self {
                Portable([x; $n])
            }
            #[inline(always)]
            fn add(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] += o.0[i];
                }
                self
            }
            #[inline(always)]
            fn sub(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] -= o.0[i];
                }
                self
            }
            #[inline(always)]
            fn mul(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] *= o.0[i];
                }
                self
            }
            // Inlined, it may become blocks of two in registers of four, whose other lanes divide by 0:
            // programs that trap that would end.
            #[cfg_attr(target_arch = "x86_64", inline(never))]
            #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
            fn div(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] /= o.0[i];
                }
                self
            }
            #[inline(always)]
            fn fma(mut self, b: Self, c: Self) -> Self {
                $fma(&mut self.0, &b.0, &c.0);
                self
            }
            #[cfg_attr(target_arch = "x86_64", inline(never))]
            #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
            fn sqrt(mut self) -> Self {
                for i in 0..$n {
                    self.0[i] = $sqrt(self.0[i]);
                }
                self
            }
            #[inline(always)]
            fn abs(mut self) -> Self {
                for i in 0..$n {
                    self.0[i] = self.0[i].abs();
                }
                self
            }
            #[inline(always)]
            fn neg(mut self) -> Self {
                for i in 0..$n {
                    self.0[i] = -self.0[i];
                }
                self
            }
            #[inline(always)]
            fn copysign(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = self.0[i].copysign(o.0[i]);
                }
                self
            }
            #[inline(always)]
            fn select_lt(a: Self, b: Self, x: Self, mut y: Self) -> Self {
                for i in 0..$n {
                    y.0[i] = if a.0[i] < b.0[i] { x.0[i] } else { y.0[i] };
                }
                y
            }
            #[cfg_attr(target_arch = "x86_64", inline(never))]
            #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
            fn round(mut self) -> Self {
                for i in 0..$n {
                    self.0[i] = $rint(self.0[i]);
                }
                self
            }
            #[inline(always)]
            fn pow2(mut self) -> Self {
                for i in 0..$n {
                    let e = self.0[i] as $int + $bias;
                    self.0[i] = <$t>::from_bits((e << $mantissa) as _);
                }
                self
            }
            #[cfg_attr(target_arch = "x86_64", inline(never))]
            #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
            fn split(mut self) -> (Self, Self) {
                let mut exponent = [0.0; $n];
                for i in 0..$n {
                    let bits = self.0[i].to_bits() as $int;
                    let e = (bits - $sqrt_half) >> $mantissa;
                    exponent[i] = e as $t;
                    self.0[i] = <$t>::from_bits((bits - (e << $mantissa)) as _);
                }
                (self, Portable(exponent))
            }
        }

        // SAFETY: plain arrays of exactly `LANES` elements, accessed within them.
        unsafe impl Vector<$t> for Portable<$t> {
            const REGISTERS: bool = false;
            const TILE: (usize, usize) = (2, 1);
            const DOT_TILE: (usize, usize) = (2, 1);

            #[inline(never)]
            fn outline<K: Kernel<$t>>(kernel: K) -> K::Output {
                kernel.run::<Self>()
            }

            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: valid for all lanes by contract.
                Portable(unsafe { p.cast::<[$t; $n]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: valid for all lanes by contract.
                unsafe { p.cast::<[$t; $n]>().write_unaligned(self.0) }
            }
            #[cfg_attr(target_arch = "x86_64", inline(never))]
            #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
            unsafe fn load_partial(p: *const $t, n: usize) -> Self {
                let mut a = [0.0; $n];
                // Unrolled: a call of memcpy would take longer.
                for i in 0..$n {
                    if i < n {
                        // SAFETY: `i` is among the valid lanes.
                        a[i] = unsafe { *p.add(i) };
                    }
                }
                Portable(a)
            }
            #[cfg_attr(target_arch = "x86_64", inline(never))]
            #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
            unsafe fn store_partial(self, p: *mut $t, n: usize) {
                for i in 0..$n {
                    if i < n {
                        // SAFETY: `i` is among the valid lanes.
                        unsafe { *p.add(i) = self.0[i] };
                    }
                }
            }
            #[inline(always)]
            fn sum(self) -> $t {
                let mut a = self.0;
                let mut half = $n / 2;
                while half > 0 {
                    for i in 0..half {
                        a[i] += a[i + half];
                    }
                    half /= 2;
                }
                a[0]
            }
        }
    };
}

portable!(f32, 16, i32, 23, 127, 0x3f35_04f3, fma_f32, libm::sqrtf, libm::rintf);
portable!(f64, 8, i64, 52, 1023, 0x3fe6_a09e_667f_3bcd, fma_f64, libm::sqrt, libm::rint);
