//! What Rust crates and the compiler are told beyond the manifest. Nothing is compiled here.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");

    // A crate that depends on this one and compiles C finds relgrad.h in DEP_RELGRAD_INCLUDE.
    let root = var("CARGO_MANIFEST_DIR").expect("set by cargo");
    println!("cargo::metadata=include={root}/include");

    // Set here: the target has vfma.f32.
    println!("cargo::rustc-check-cfg=cfg(relgrad_vfma)");
    // Set by tests, in RUSTFLAGS: the general path at every size.
    println!("cargo::rustc-check-cfg=cfg(relgrad_no_lanes)");
    // Set by whoever builds the program, in RUSTFLAGS; see src/lib.rs.
    println!("cargo::rustc-check-cfg=cfg(relgrad_panic_handler)");
    println!("cargo::rustc-check-cfg=cfg(relgrad_fast_no_fma)");
    if has_vfma() {
        println!("cargo::rustc-cfg=relgrad_vfma");
    }
}

/// Whether the target is 32-bit Arm with fused multiply-adds in single precision. Stable Rust does
/// not tell of the unit, but these targets (Cortex-M4F, M7, M33 and later) promise it.
fn has_vfma() -> bool {
    let (target, arch) = (var("TARGET").unwrap_or_default(), var("CARGO_CFG_TARGET_ARCH"));
    let features = var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let units = ["vfp4d16sp", "vfp4d16", "vfp4", "fp-armv8d16sp"];
    let promises = ["thumbv7em-", "thumbv8m.main-"].iter().any(|t| target.starts_with(t))
        && target.ends_with("eabihf");
    arch.as_deref() == Ok("arm") && (promises || features.split(',').any(|f| units.contains(&f)))
}
