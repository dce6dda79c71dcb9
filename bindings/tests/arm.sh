#!/usr/bin/env bash
# 64-bit Arm with NEON, under QEMU: the library's own tests and the whole system's.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ ! -d /usr/lib/rustlib/aarch64-unknown-linux-gnu ] || [ ! -x /usr/bin/aarch64-linux-gnu-gcc ] ||
    [ ! -x /usr/bin/qemu-aarch64-static ] || [ ! -x /usr/bin/cargo ]; then
    dpkg --add-architecture arm64
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends rustc-web cargo-web libstd-rust-web-dev \
        libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
fi
# Without `cli`: its tests start the program, which an emulated process cannot. Without the digits,
# the ten thousand steps and the large networks of the thread test: minutes of emulation that say
# nothing about instructions. The emulator takes the arm64 C library that
# the packages install; told of a second one by -L, threads hang.
arm=$(mktemp -d)
arm_tests() {
    env -u RUSTUP_TOOLCHAIN -u RUSTC_BOOTSTRAP PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static \
        timeout "$1" /usr/bin/cargo test --target aarch64-unknown-linux-gnu --target-dir "$arm" \
        --features capi --lib --test suite "${@:2}"
}
arm_tests 1200 --no-run
arm_tests 900 -- --skip digits:: --skip ten_thousand --skip any_number_of_threads
