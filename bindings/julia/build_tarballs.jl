# The recipe for Yggdrasil: builds librelgrad for Julia's platforms as Relgrad_jll.
# julia build_tarballs.jl --verbose
using BinaryBuilder

name = "Relgrad"
version = v"0.1.0"

# Both are given when the recipe is submitted: the public repository and the release's commit.
sources = [GitSource(ENV["RELGRAD_REPOSITORY"], ENV["RELGRAD_COMMIT"])]

script = raw"""
cd ${WORKSPACE}/srcdir/relgrad*
# A shared library on musl is linked with its C library, not around a copy of it.
if [[ "${target}" == *-musl* ]]; then
    export RUSTFLAGS="-C target-feature=-crt-static"
fi
cargo rustc --release --lib --no-default-features --features std,capi --crate-type cdylib
install -Dvm 755 target/${rust_target}/release/*relgrad.${dlext} ${libdir}/librelgrad.${dlext}
install -Dvm 644 include/relgrad.h ${includedir}/relgrad.h
install_license LICENSE-MIT LICENSE-APACHE
"""

# Rust's library for 32-bit Windows does not link there.
platforms = filter(p -> !(Sys.iswindows(p) && arch(p) == "i686"), supported_platforms())
products = [LibraryProduct("librelgrad", :librelgrad), FileProduct("include/relgrad.h", :relgrad_h)]

# Julia 1.6 is the first with all these platforms.
build_tarballs(ARGS, name, version, sources, script, platforms, products, Dependency[];
               julia_compat = "1.6", compilers = [:c, :rust])
