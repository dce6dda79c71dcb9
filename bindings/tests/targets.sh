#!/usr/bin/env bash
# The library without std on processors of other kinds: 32-bit x86, and big-endian 64-bit PowerPC under QEMU.
# The same bits as here.
source "$(dirname "$0")/common.sh"
need /usr/lib/rustlib/src/rust rustc-web cargo-web rust-web-src libstd-rust-web-dev
need /usr/lib32/crt1.o gcc-multilib
need powerpc64-linux-gnu-gcc gcc-powerpc64-linux-gnu libc6-dev-ppc64-cross
need qemu-ppc64-static qemu-user-static
need pkg-config pkg-config
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"
# bits STEPS OUTPUT COMPILER...: what a few runs print; RUN goes before each.
bits() {
    local precision optimizer
    for precision in "" -DDOUBLE; do
        # shellcheck disable=SC2086 # one flag or none
        "${@:3}" -std=c11 $precision -DSTEPS="$1" -I"$prefix/include" "$root/ffi-tests/c/same_bits.c" \
            "${libraries[@]}" -lm -o "$work/program" || return
        for optimizer in sgd natural; do "${run[@]}" "$work/program" "$optimizer" auto || return; done
    done > "$2"
}

# Not optimised much, since that is quick; the bits are the same.
export CARGO_PROFILE_BARE_METAL_OPT_LEVEL=1 CARGO_PROFILE_BARE_METAL_CODEGEN_UNITS=16
for target in i686 powerpc64; do
    # Without hardware FMA, as the emulator makes each one from whole numbers, a run is short.
    case $target in
    # What the program itself computes in double is to be rounded to double.
    i686) compiler=(cc -m32 -msse2 -mfpmath=sse) emulator=() steps=60 ;;
    powerpc64) compiler=(powerpc64-linux-gnu-gcc -static) emulator=(qemu-ppc64-static) steps=2 ;;
    esac
    run=() libraries=("${flags[@]}")
    bits "$steps" "$work/expected" cc || fail "the run here"
    "$root/bindings/without-std" "$CARGO_TARGET_DIR/targets" "$target-unknown-linux-gnu" staticlib \
        > "$work/log" 2>&1 || { cat "$work/log"; fail "no library for $target"; }
    run=("${emulator[@]}")
    libraries=("$CARGO_TARGET_DIR/targets/$target-unknown-linux-gnu/bare-metal/librelgrad.a")
    bits "$steps" "$work/$target" "${compiler[@]}" || fail "the run on $target"
    same "the bits of $target are those of this machine" "$work/expected" "$work/$target"
done
