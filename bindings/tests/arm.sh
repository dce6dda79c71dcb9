#!/usr/bin/env bash
# 64-bit Arm with NEON, under QEMU: the tests of the library, of the whole system and of the
# workbench; the example in Rust and in C, against this machine's.
source "$(dirname "$0")/common.sh"
[ -d /usr/lib/rustlib/aarch64-unknown-linux-gnu ] || packages dpkg --add-architecture arm64
need /usr/lib/rustlib/aarch64-unknown-linux-gnu rustc-web cargo-web libstd-rust-web-dev libstd-rust-web-dev:arm64
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
need qemu-aarch64-static qemu-user-static
need pkg-config pkg-config
target=aarch64-unknown-linux-gnu
folder=$CARGO_TARGET_DIR/arm
# The emulator takes the arm64 C library that the packages install; told of a second one by -L,
# threads hang.
on_arm() { # SECONDS SUBCOMMAND ARGUMENT...
    with_debian_rust timeout "$1" /usr/bin/cargo "$2" --target "$target" --target-dir "$folder" "${@:3}"
}
with_debian_rust() { # COMMAND ARGUMENT...
    (cd "$root" && env -u RUSTUP_TOOLCHAIN -u RUSTC_BOOTSTRAP PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc \
        CARGO_TARGET_DIR="$folder" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static \
        RELGRAD_RUNNER=qemu-aarch64-static "$@")
}

# Compiled in half the time without what debuggers need, and with other people's crates unoptimised.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
build=(--config 'profile.test.package."*".opt-level=0' --features cli,capi)
tests=(--lib --test suite --test workbench)
on_arm 1800 test "${build[@]}" "${tests[@]}" --no-run
# Reproductions and searches take minutes, of code that other tests run too.
on_arm 1800 test "${build[@]}" "${tests[@]}" -- --skip reproduce:: --skip thorough::

# The same numbers as here: from Rust, and from C with a package for Arm, which is not optimised, since
# that is quick.
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"
cc -std=c11 -O2 "${warnings[@]}" "$root/bindings/examples/banana.c" "${flags[@]}" -o "$work/here"
"$work/here" > "$work/here.out"
on_arm 600 run -q --profile test "${build[@]}" --example banana > "$work/rust.out" || fail "Rust on Arm"
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off
with_debian_rust timeout 1200 bindings/install "$work/arm" --target "$target" --libdir lib/aarch64-linux-gnu
lib=$work/arm/lib/aarch64-linux-gnu
arm_c() { # SOURCE OUTPUT FLAG...
    # shellcheck disable=SC2046 # a list of flags
    aarch64-linux-gnu-gcc -std=c11 -O2 "${warnings[@]}" "$root/$1" \
        $(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --cflags --libs --static relgrad) "${@:3}" -o "$work/$2"
}
arm_c bindings/examples/banana.c shared
timeout 300 qemu-aarch64-static -E LD_LIBRARY_PATH="$lib" "$work/shared" > "$work/c.out" || fail "C on Arm"
same "x86 and Arm, Rust and C" "$work/here.out" "$work/rust.out" "$work/c.out"
arm_c bindings/packages/conan/test_package/program.c static -static
timeout 60 qemu-aarch64-static "$work/static" || fail "C on Arm with everything static"
# Cargo's own way to say the target.
CARGO_BUILD_TARGET=$target with_debian_rust bindings/install "$work/again" --libdir lib/aarch64-linux-gnu
diff -r "$work/arm" "$work/again" || fail "CARGO_BUILD_TARGET and --target differ"
echo "ok: a package for Arm"
