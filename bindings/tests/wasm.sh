#!/usr/bin/env bash
# WebAssembly under Node: the example of every language to the bits of the C program, and relgrad.mjs.
source "$(dirname "$0")/common.sh"
need node nodejs
need /usr/lib/rustlib/src/rust rustc-web cargo-web rust-web-src libstd-rust-web-dev
need pkg-config pkg-config
# Not optimised much, since that is quick; the bits are the same.
CARGO_PROFILE_BARE_METAL_OPT_LEVEL=1 CARGO_PROFILE_BARE_METAL_CODEGEN_UNITS=16 \
    "$root/bindings/wasm/build" "$work/relgrad.wasm" > "$work/log" 2>&1 || { cat "$work/log"; fail "no relgrad.wasm"; }
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"
cc -std=c11 "$root/bindings/examples/banana.c" "${flags[@]}" -o "$work/banana"
"$work/banana" > "$work/native"
node "$root/bindings/wasm/banana.mjs" "$work/relgrad.wasm" > "$work/wasm" || fail "banana.mjs"
same "WebAssembly and C, to the last bit" "$work/native" "$work/wasm"
node "$root/bindings/tests/wasm.mjs" "$work/relgrad.wasm" || fail "relgrad.mjs"
