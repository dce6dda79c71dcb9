#!/usr/bin/env bash
# Without an operating system, under QEMU: a C and a Rust firmware on Cortex-M4F, and the C one on
# Cortex-M7 and RISC-V, against the same program on the host; what a step costs, and the stack of each call.
# `bare-metal.sh --write` puts the tables into bindings/README.md.
source "$(dirname "$0")/common.sh"
need qemu-system-arm qemu-system-arm
need arm-none-eabi-gcc gcc-arm-none-eabi libnewlib-arm-none-eabi
need /usr/lib/rustlib/src/rust rustc-web cargo-web rust-web-src libstd-rust-web-dev
need qemu-system-riscv32 qemu-system-misc
need g++ g++
need riscv64-unknown-elf-gcc gcc-riscv64-unknown-elf
need /usr/lib/picolibc/riscv64-unknown-elf picolibc-riscv64-unknown-elf
need pkg-config pkg-config
here=$root/bindings/bare-metal
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"
common=(-std=c11 -O2 -ffp-contract=off "${warnings[@]}" -I"$here")
arm=(-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -ffunction-sections -fdata-sections
    -I"$prefix/include")
board=("$here/board.c" -nostartfiles -T "$here/mps2.ld" -Wl,--gc-sections
    -Wl,-z,noexecstack)
on_board() { # ELF FLAG...
    timeout 120 qemu-system-arm -M "${board_name:-mps2-an386}" -nographic -monitor none -serial none \
        -chardev stdio,id=out -semihosting-config enable=on,target=native,chardev=out "${@:2}" -kernel "$1" < /dev/null
}
sizes() { # DIM FOLDER
    mkdir -p "$2"
    cc -std=c11 -DMODEL_DIM="$1" "$here/sizes.c" "${flags[@]}" -o "$2/sizes"
    "$2/sizes" > "$2/sizes.h"
}

"$here/build" "$work/librelgrad.a" > "$work/log" 2>&1 || { cat "$work/log"; fail "no library"; }
! arm-none-eabi-nm "$work/librelgrad.a" | grep -E '__rust_alloc|3std[0-9]' || fail "an allocator, or std"
arm-none-eabi-nm -g --defined-only "$work/librelgrad.a" | awk 'NF == 3 {print $3}' | sort > "$work/shown"
nm -g --defined-only "$prefix/lib/librelgrad.a" | awk 'NF == 3 {print $3}' |
    grep -v "_pool\|_ica_" | sort > "$work/hosted"
same "the same functions as on the host but the pool and ICA, and no others" "$work/hosted" "$work/shown"
arm-none-eabi-objdump -d "$work/librelgrad.a" | grep 'vfma.f32' > /dev/null || fail "no hardware FMA"

# The sensor node on the board, on the host.
sizes 8 "$work/8"
cc "${common[@]}" -I"$work/8" "$here/anomaly.c" "$here/host.c" "${flags[@]}" -o "$work/host"
"$work/host" > "$work/host.out" || { cat "$work/host.out"; fail "the host's run"; }
cc "${common[@]}" "${sanitize[@]}" -I"$work/8" "$here/anomaly.c" "$here/host.c" "${flags[@]}" -o "$work/sanitized"
"$work/sanitized" > "$work/sanitized.out" || fail "the host's run with sanitizers"
same "the host, with sanitizers" "$work/host.out" "$work/sanitized.out"
arm-none-eabi-gcc "${common[@]}" "${arm[@]}" -I"$work/8" "$here/anomaly.c" "${board[@]}" \
    "$work/librelgrad.a" -o "$work/anomaly.elf"
on_board "$work/anomaly.elf" > "$work/board.out" || { cat "$work/board.out"; fail "the board's run"; }
same "C firmware and host, to the last bit" "$work/host.out" "$work/board.out"
board_name=mps2-an500 on_board "$work/anomaly.elf" > "$work/m7.out" || fail "the Cortex-M7's run"
same "and on a Cortex-M7" "$work/host.out" "$work/m7.out"
cat "$work/board.out"

# The sketch of the package for Arduino, on the same board.
sketch=(-std=gnu++11 -O2 -ffp-contract=off "${warnings[@]}" -fno-exceptions -fno-rtti -I"$here" -include "$root/bindings/tests/Arduino.h"
    -x c++ -c "$root/bindings/packages/arduino/examples/Anomaly/Anomaly.ino")
g++ "${sketch[@]}" -I"$prefix/include" -o "$work/sketch.o" && cc "$work/sketch.o" "$here/host.c" "${flags[@]}" -o "$work/sketch"
timeout 20 "$work/sketch" > "$work/sketch.host" || fail "the sketch on the host"
arm-none-eabi-g++ "${sketch[@]}" "${arm[@]}" -o "$work/sketch.o"
arm-none-eabi-gcc "${common[@]}" "${arm[@]}" "$work/sketch.o" "${board[@]}" "$work/librelgrad.a" -o "$work/sketch.elf"
on_board "$work/sketch.elf" > "$work/sketch.board" || fail "the sketch on the board"
same "the sketch for Arduino, on the board and the host" "$work/sketch.host" "$work/sketch.board"

# In Rust.
sed 's/#define MODEL_\(.*\) \(.*\)/pub const \1: usize = \2;/' "$work/8/sizes.h" > "$work/8/sizes.rs"
(
    cd "$here/rust"
    env -u RUSTUP_TOOLCHAIN PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 SIZES="$work/8" \
        /usr/bin/cargo rustc -q --release --target-dir "$CARGO_TARGET_DIR/bare-metal" \
        --target thumbv7em-none-eabihf -Zbuild-std=core -- -Clinker=arm-none-eabi-ld \
        -Clinker-flavor=ld -Clink-arg=-Tlink.x -Clink-arg="-L$here/rust"
) || fail "the Rust firmware does not build"
on_board "$CARGO_TARGET_DIR/bare-metal/thumbv7em-none-eabihf/release/anomaly" > "$work/rust.out" ||
    { cat "$work/rust.out"; fail "the Rust firmware's run"; }
grep -E '^(running|parameters)' "$work/host.out" > "$work/host.short"
same "Rust firmware and host" "$work/host.short" "$work/rust.out"

# Costs: SysTick counts 40 instructions a tick when QEMU gives each a nanosecond.
cost() { # LABEL DIM LIBRARY
    local steps ram flash
    sizes "$2" "$work/$2"
    arm-none-eabi-gcc "${common[@]}" "${arm[@]}" -DMODEL_DIM="$2" -I"$work/$2" "$here/cost.c" \
        "${board[@]}" "$3" -o "$work/cost.elf"
    on_board "$work/cost.elf" -icount shift=0 > "$work/cost" || fail "cost at D = $2"
    read -r steps ram < "$work/cost"
    flash=$(arm-none-eabi-size "$work/cost.elf" | awk 'NR == 2 {print $1 + $2}')
    echo "| $1 | $flash | $ram | $steps |"
}
for dim in 4 8 16 32; do cost $dim $dim "$work/librelgrad.a"; done | tee "$work/table"

# The stack: columns are learned curves, and a fixed one.
stack() { # FLAG...
    arm-none-eabi-gcc "${common[@]}" "${arm[@]}" "$@" "$here/stack.c" "${board[@]}" "$work/librelgrad.a" \
        -o "$work/stack.elf"
    on_board "$work/stack.elf"
}
stack > "$work/learned" || { cat "$work/learned"; fail "the stack with learned curves"; }
stack -DFIXED > "$work/fixed" || { cat "$work/fixed"; fail "the stack with a fixed curve"; }
paste -d '\0' "$work/learned" <(cut -d'|' -f 3- "$work/fixed") | tee "$work/stack"
if [ "${1:-}" = --write ]; then
    CARGO_PROFILE_BARE_METAL_OPT_LEVEL=s "$here/build" "$work/small.a"
    cost "8, built for size" 8 "$work/small.a" | tee -a "$work/table"
    sed -i -e "/^| features D/,/^$/{/^|---/r $work/table
/^| [0-9]/d}" -e "/^| stack, bytes/,/^$/{/^|---/r $work/stack
/^| .relgrad_/d}" "$root/bindings/README.md"
fi

# The sensor node on RISC-V, with an FPU and without one: start-up and output are picolibc's. Not
# optimised much, since that is quick.
# imc has no atomic instructions at all: neither has the processor it runs on.
for isa in imc imac imafc; do
    case $isa in imafc) abi=ilp32f ;; *) abi=ilp32 ;; esac
    case $isa in imc) cpu=rv32,a=false,f=false,d=false ;; *) cpu=rv32 ;; esac
    CARGO_PROFILE_BARE_METAL_OPT_LEVEL=1 CARGO_PROFILE_BARE_METAL_CODEGEN_UNITS=16 \
        "$here/build" "$work/riscv.a" "riscv32$isa-unknown-none-elf" > "$work/log" 2>&1 ||
        { cat "$work/log"; fail "no library for riscv32$isa"; }
    riscv64-unknown-elf-gcc "${common[@]}" "-march=rv32$isa" "-mabi=$abi" -mcmodel=medany \
        --specs=picolibc.specs --oslib=semihost --crt0=hosted \
        -Wl,--gc-sections -Wl,--defsym=__flash=0x80000000,--defsym=__flash_size=0x200000 \
        -Wl,--defsym=__ram=0x80200000,--defsym=__ram_size=0x200000 \
        -I"$prefix/include" -I"$work/8" "$here/anomaly.c" "$here/host.c" "$work/riscv.a" -o "$work/riscv.elf"
    timeout 300 qemu-system-riscv32 -M virt -cpu "$cpu" -bios none -nographic -monitor none -serial none \
        -chardev stdio,id=out -semihosting-config enable=on,target=native,chardev=out \
        -kernel "$work/riscv.elf" < /dev/null > "$work/riscv.out" || fail "the run on riscv32$isa"
    same "and on riscv32$isa" "$work/host.out" "$work/riscv.out"
done

# Cortex-M0 and M0+ have no atomic read-modify-write and no FPU. Their code runs on a board with a
# Cortex-M4, as QEMU has none of theirs with room for it.
CARGO_PROFILE_BARE_METAL_OPT_LEVEL=1 CARGO_PROFILE_BARE_METAL_CODEGEN_UNITS=16 \
    "$here/build" "$work/m0.a" thumbv6m-none-eabi > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "no library for Cortex-M0"; }
arm-none-eabi-nm -g --defined-only "$work/m0.a" | awk 'NF == 3 {print $3}' | sort > "$work/m0"
same "the same functions for Cortex-M0" "$work/hosted" "$work/m0"
# All arithmetic is software's there, so the run is short.
arm-none-eabi-gcc "${common[@]}" -DSTEPS=100 -mcpu=cortex-m0plus -mthumb -I"$prefix/include" -I"$work/8" \
    "$here/anomaly.c" "${board[@]}" "$work/m0.a" -o "$work/m0.elf"
cc "${common[@]}" -DSTEPS=100 -I"$work/8" "$here/anomaly.c" "$here/host.c" "${flags[@]}" -o "$work/short"
"$work/short" > "$work/short.out" || fail "the host's short run"
on_board "$work/m0.elf" > "$work/m0.out" || { cat "$work/m0.out"; fail "the Cortex-M0's run"; }
same "and as Cortex-M0 code" "$work/short.out" "$work/m0.out"
