//! One file for each instruction set: the vector in its registers.

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(super) mod avx2;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(super) mod avx512;
pub(super) mod level;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(super) mod neon;
pub(super) mod portable;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(super) mod x86;
