//! Which instruction sets there are, and which this processor has.

use crate::status::{Error, Result, Status, Value};
use core::sync::atomic::{AtomicU8, Ordering};

/// An instruction set. Results are the same bits on each; only the speed differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// The best that the processor has.
    Auto,
    /// Portable code.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F and DQ.
    Avx512,
    /// 64-bit Arm with NEON.
    Neon,
}

impl Level {
    #[cfg(feature = "capi")]
    pub(crate) const ALL: &[Level] =
        &[Level::Auto, Level::Scalar, Level::Avx2, Level::Avx512, Level::Neon];

    /// The levels that can run here, slowest first.
    pub fn available() -> impl Iterator<Item = Level> {
        [Level::Scalar, Level::Avx2, Level::Avx512, Level::Neon].into_iter().filter(|l| l.runs())
    }

    /// A lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Auto => "auto",
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Neon => "neon",
        }
    }

    /// Whether the processor has it; `Auto` is no instruction set.
    fn runs(self) -> bool {
        match self {
            Level::Auto => false,
            Level::Scalar => true,
            Level::Avx2 => matches!(best(), Level::Avx2 | Level::Avx512),
            Level::Avx512 | Level::Neon => self == best(),
        }
    }

    /// Whether the processor has it.
    pub(crate) fn check(self) -> Result<()> {
        if self == Level::Auto || self.runs() {
            return Ok(());
        }
        let have = "must be auto, or an instruction set this processor has";
        Err(Error::new(Status::Level, "level", Value::Int(self as u64), have))
    }

    /// The level that runs: never `Auto`, never one the processor lacks.
    pub(crate) fn resolve(self) -> Level {
        if self.runs() { self } else { best() }
    }
}

/// The best level, found once: 0 = not looked yet.
static BEST: AtomicU8 = AtomicU8::new(0);

fn best() -> Level {
    match BEST.load(Ordering::Relaxed) {
        1 => Level::Scalar,
        2 => Level::Avx2,
        3 => Level::Avx512,
        4 => Level::Neon,
        _ => {
            let found = detect();
            BEST.store(found as u8, Ordering::Relaxed);
            found
        }
    }
}

/// CPUID says what the processor has, XCR0 which registers the system saves; both must agree.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
fn detect() -> Level {
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    const FMA: u32 = 1 << 12;
    const OSXSAVE: u32 = 1 << 27;
    const AVX: u32 = 1 << 28;
    const AVX2: u32 = 1 << 5;
    const AVX512F: u32 = 1 << 16;
    const AVX512DQ: u32 = 1 << 17;
    const YMM: u64 = 0b110;
    const ZMM: u64 = 0b1110_0110;

    if __cpuid(0).eax < 7 {
        return Level::Scalar;
    }
    let leaf1 = __cpuid(1).ecx;
    if leaf1 & (FMA | OSXSAVE | AVX) != FMA | OSXSAVE | AVX {
        return Level::Scalar;
    }
    // SAFETY: OSXSAVE says that XGETBV exists.
    let saved = unsafe { xcr0() };
    let leaf7 = __cpuid_count(7, 0).ebx;
    if saved & YMM != YMM || leaf7 & AVX2 == 0 {
        return Level::Scalar;
    }
    if saved & ZMM == ZMM && leaf7 & (AVX512F | AVX512DQ) == AVX512F | AVX512DQ {
        return Level::Avx512;
    }
    return Level::Avx2;

    #[target_feature(enable = "xsave")]
    unsafe fn xcr0() -> u64 {
        // SAFETY: XCR0 always exists where XGETBV does.
        unsafe { _xgetbv(0) }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
fn detect() -> Level {
    // SSE2 and NEON are part of 64-bit processors; targets without them are for kernels that keep
    // off the vector registers.
    let neon = cfg!(all(target_arch = "aarch64", target_feature = "neon"));
    if neon { Level::Neon } else { Level::Scalar }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_available() {
        let resolved = Level::Auto.resolve();
        assert!(Level::available().any(|l| l == resolved));
        assert!(resolved.check().is_ok());
        let neon = cfg!(all(target_arch = "aarch64", target_feature = "neon"));
        assert_eq!(neon, resolved == Level::Neon);
        assert_eq!(neon, Level::Neon.check().is_ok());
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        {
            let avx2 =
                std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
            assert_eq!(avx2, Level::available().any(|l| l == Level::Avx2));
        }
    }
}
