//! The two number types.

use crate::plain::Plain;
use crate::simd::isa::portable::Portable;
use crate::simd::{Kernel, Kernels, Level};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`. Sealed.
#[allow(private_bounds)]
pub trait Real:
    sealed::Sealed
    + Plain
    + Kernels
    + Copy
    + PartialOrd
    + Default
    + core::fmt::Debug
    + core::fmt::Display
    + core::ops::Add<Output = Self>
    + core::ops::Sub<Output = Self>
    + core::ops::Mul<Output = Self>
    + core::ops::Div<Output = Self>
    + core::ops::Neg<Output = Self>
    + Send
    + Sync
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The largest finite number.
    const MAX: Self;
    /// Infinity.
    const INFINITY: Self;
    /// Spacing of the numbers above 1.
    const EPSILON: f64;
    /// Magnitudes that parameters and gradients may have; squares and sums stay finite.
    #[doc(hidden)]
    const LIMIT: f64;
    #[doc(hidden)]
    const LANES: usize;
    /// Tells `f32` (32) from `f64` (64).
    const BITS: u32;
    #[doc(hidden)]
    type Array: AsRef<[Self]> + AsMut<[Self]> + Copy + Default;

    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
    /// The same number.
    fn to_f64(self) -> f64;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Its IEEE 754 bits, zero-extended.
    fn to_bits64(self) -> u64;

    #[doc(hidden)]
    #[allow(private_bounds, private_interfaces)]
    fn dispatch<K: Kernel<Self>>(level: Level, kernel: K) -> K::Output;
}

macro_rules! real {
    ($t:ty, $block:ident, $lanes:literal, $limit:literal, $bits:literal) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const MAX: Self = <$t>::MAX;
            const INFINITY: Self = <$t>::INFINITY;
            const EPSILON: f64 = <$t>::EPSILON as f64;
            const LIMIT: f64 = $limit;
            const LANES: usize = $lanes;
            const BITS: u32 = $bits;
            type Array = [$t; $lanes];

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$t>::is_finite(self)
            }
            fn to_bits64(self) -> u64 {
                u64::from(self.to_bits())
            }

            #[inline(always)]
            #[allow(private_bounds, private_interfaces)]
            fn dispatch<K: Kernel<Self>>(level: Level, kernel: K) -> K::Output {
                match level {
                    // SAFETY: callers pass only levels from `resolve` or `available`, which name
                    // what the processor has.
                    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
                    Level::Avx512 => unsafe {
                        crate::simd::isa::avx512::run::<$t, crate::simd::isa::avx512::$block, K>(
                            kernel,
                        )
                    },
                    // SAFETY: as above.
                    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
                    Level::Avx2 => unsafe {
                        crate::simd::isa::avx2::run::<$t, crate::simd::isa::avx2::$block, K>(kernel)
                    },
                    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
                    Level::Neon => {
                        crate::simd::isa::neon::run::<$t, crate::simd::isa::neon::$block, K>(kernel)
                    }
                    _ => kernel.run::<Portable<$t>>(),
                }
            }
        }
    };
}

real!(f32, F32, 16, 1e18, 32);
real!(f64, F64, 8, 1e150, 64);
