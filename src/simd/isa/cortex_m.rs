//! Sixteen fused multiply-adds on the single-precision unit of Cortex-M4F and later, for
//! `Portable` blocks. Stable Rust has no inline form of the instruction without std.

/// `a = a b + c`, each lane rounded once.
#[inline(always)]
pub(in crate::simd) fn fma16(a: &mut [f32; 16], b: &[f32; 16], c: &[f32; 16]) {
    // SAFETY: sixteen numbers behind each pointer; build.rs vouches for the instruction.
    unsafe { vfma16(a.as_mut_ptr(), b.as_ptr(), c.as_ptr()) }
}

#[unsafe(naked)]
unsafe extern "C" fn vfma16(a: *mut f32, b: *const f32, c: *const f32) {
    // r0, r1, r2 are a, b, c. Eight lanes at a time: s0-s7 hold c and then the result, s8-s15 a,
    // s16-s23 b; the last belong to the caller.
    core::arch::naked_asm!(
        // Link-time optimisation assembles this without the target's features.
        ".fpu fpv4-sp-d16",
        "vpush {{s16-s23}}",
        ".rept 2",
        "vldmia r2!, {{s0-s7}}",
        "vldmia r0, {{s8-s15}}",
        "vldmia r1!, {{s16-s23}}",
        "vfma.f32 s0, s8, s16",
        "vfma.f32 s1, s9, s17",
        "vfma.f32 s2, s10, s18",
        "vfma.f32 s3, s11, s19",
        "vfma.f32 s4, s12, s20",
        "vfma.f32 s5, s13, s21",
        "vfma.f32 s6, s14, s22",
        "vfma.f32 s7, s15, s23",
        "vstmia r0!, {{s0-s7}}",
        ".endr",
        "vpop {{s16-s23}}",
        "bx lr",
    )
}
