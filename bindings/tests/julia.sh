#!/usr/bin/env bash
# The Julia package's tests, in a real Julia; skipped, loudly, where none is to be had.
source "$(dirname "$0")/common.sh"
need python3 python3
julia=$(julia_command) || exit 0
"$julia" --version
export RELGRAD_LIBRARY=$prefix/lib/librelgrad.so

# Structures as in C.
python3 "$root/bindings/tests/layout.py" "$prefix/include/relgrad.h" > "$work/layout.c"
cc -I"$prefix/include" "$work/layout.c" -o "$work/layout"
"$work/layout" > "$work/layout.txt"

# A library that catches a panic of its own, called by the same process.
cat > "$work/other.rs" <<'RUST'
#[no_mangle]
pub extern "C" fn other_catches() -> i32 {
    std::panic::catch_unwind(|| panic!("caught in Rust")).map_or(7, |()| 0)
}
RUST
rustc --crate-type cdylib -O "$work/other.rs" -o "$work/libother.so"

# ccall stands in one file.
other=$(grep -l 'ccall\|@cfunction' "$root"/bindings/julia/Relgrad.jl/src/*.jl)
[ "$other" = "$root/bindings/julia/Relgrad.jl/src/library.jl" ] || fail "ccall in $other"

for threads in 1 2; do
    JULIA_NUM_THREADS=$threads RUST_BACKTRACE=0 RELGRAD_LAYOUT=$work/layout.txt RELGRAD_PANICS=$work/libother.so \
        JULIA_DEPOT_PATH=$work/depot "$julia" --startup-file=no --depwarn=error \
        --project="$root/bindings/julia/Relgrad.jl" "$root/bindings/julia/Relgrad.jl/test/runtests.jl"
done

# The lines of bindings/README.md.
{
    echo 'x = randn(2, 200); z = copy(x)'
    sed -n '/^## Julia$/,/^## /{/^```julia$/,/^```$/{/^```/d;p}}' "$root/bindings/README.md"
    echo 'println("ok: bindings/README.md on Julia: ", size(decode(model, z)))'
} > "$work/readme.jl"
"$julia" --startup-file=no --project="$root/bindings/julia/Relgrad.jl" "$work/readme.jl"

# The recipe for Yggdrasil, and its script on this platform: the library it installs opens.
# Unoptimised, since that is quick.
"$julia" --startup-file=no "$root/bindings/tests/recipe.jl" "$root/bindings/julia/build_tarballs.jl" > "$work/script"
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir "$work/srcdir"
ln -s "$root" "$work/srcdir/relgrad"
env -u CARGO_TARGET_DIR CARGO_BUILD_TARGET="$host" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
    WORKSPACE="$work" target="$host" rust_target="$host" dlext=so libdir="$work/lib" includedir="$work/include" \
    bash -ec "install_license() { ls \"\$@\" > '$work/licenses'; }; $(cat "$work/script")" > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "the recipe's script"; }
cmp "$root/include/relgrad.h" "$work/include/relgrad.h" || fail "the recipe's header"
RELGRAD_LIBRARY=$work/lib/librelgrad.so "$julia" --startup-file=no --project="$root/bindings/julia/Relgrad.jl" \
    -e 'using Relgrad; println("ok: build_tarballs.jl: librelgrad ", Relgrad.c_version())'
echo "ok: Julia"
