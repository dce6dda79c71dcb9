#!/usr/bin/env bash
# The installed libraries: symbols, ABI, CMake and pkg-config consumers, two Rust libraries in one
# program. `install.sh --write` takes the ABI as it now is into bindings/abi.
source "$(dirname "$0")/common.sh"
need cmake cmake make
need pkg-config pkg-config
need g++ g++

# The link line in bindings/README.md is what the compiler says.
libraries=$(cat "$CARGO_TARGET_DIR/native-static-libs")
section=$(sed -n '/^## From C$/,/^## C++$/p' "$root/bindings/README.md")
link=$(grep '^cc ' <<< "$section")
[[ $link == *"librelgrad.a $libraries -o demo" ]] || fail "bindings/README.md: the link line is $libraries"
# It serves for the program printed there.
mkdir "$work/top"
ln -s "$root/include" "$work/top/include"
ln -s "$CARGO_TARGET_DIR" "$work/top/target"
sed -n '/^```c$/,/^```$/{/^```/d;p}' <<< "$section" > "$work/top/demo.c"
(cd "$work/top" && sh -c "$link" && ./demo) || fail "the program of bindings/README.md"
echo "ok: the program and link line of bindings/README.md"

# Only relgrad_* can be seen, in both libraries the same.
nm -D --defined-only --without-symbol-versions "$prefix/lib/librelgrad.so" | awk '$2 != "A" {print $3}' | sort > "$work/shared"
nm -g --defined-only "$prefix/lib/librelgrad.a" | awk 'NF == 3 {print $3}' | sort > "$work/static"
! grep -v '^relgrad_' "$work/shared" || fail "foreign symbols"
same "only relgrad_* symbols, in both libraries" "$work/shared" "$work/static"

# The run-time name carries the ABI version.
abi=$(sed -n 's/^#define RELGRAD_ABI_VERSION //p' "$prefix/include/relgrad.h")
soname=$(readelf -d "$prefix/lib/librelgrad.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ "$soname" = "librelgrad.so.$abi" ] || fail "SONAME is $soname"
# So does every symbol: two versions can be in one process.
readelf --dyn-syms -W "$prefix/lib/librelgrad.so" | awk '$7 ~ /^[0-9]+$/ && $5 != "LOCAL" {print $8}' |
    sort > "$work/versioned"
sed "s/\$/@@RELGRAD_$abi/" "$work/shared" > "$work/expected"
same "every symbol of the shared library is @@RELGRAD_$abi" "$work/expected" "$work/versioned"

# The ABI: the header without its comments, and the symbols. A difference means a new ABI version,
# unless all it does is add.
{
    cc -E -P -fpreprocessed -dD -x c "$prefix/include/relgrad.h" 2> /dev/null
    cat "$work/shared"
} > "$work/abi"
if [ "${1:-}" = --write ]; then
    cp "$work/abi" "$root/bindings/abi/$abi.txt"
    # The first header stays: programs were compiled with it. Remove it first as long as this version of
    # the ABI was not released.
    [ -e "$root/bindings/abi/$abi.h" ] || cp "$prefix/include/relgrad.h" "$root/bindings/abi/$abi.h"
fi
diff "$root/bindings/abi/$abi.txt" "$work/abi" ||
    fail "the ABI has changed: if something was removed or changed since a release, raise
RELGRAD_ABI_VERSION; then bindings/tests/install.sh --write"
echo "ok: ABI $abi and SONAME $soname"

# A program with the first header of this version, and with today's.
mkdir "$work/first"
cp "$root/bindings/abi/$abi.h" "$work/first/relgrad.h"
for include in "$work/first" "$prefix/include"; do
    out=$work/$(basename "$include").out
    cc -std=c11 "${warnings[@]}" -I"$include" "$root/bindings/abi/$abi.c" -L"$prefix/lib" -lrelgrad -lm \
        -o "$work/program" || fail "abi/$abi.c with the header in $include"
    "$work/program" > "$out" 2>&1 || fail "abi/$abi.c with the header in $include"
done
same "a program compiled with the first header of ABI $abi" "$work/first.out" "$work/include.out"

# A CMake project of its own, a Makefile of its own.
cmake -S "$root/bindings/consumers/cmake" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_FLAGS="${warnings[*]}" -DCMAKE_CXX_FLAGS="${warnings[*]}" > /dev/null
cmake --build "$work/cmake" > /dev/null
(cd "$work/cmake" && ctest --output-on-failure | tail -n 4)
for version in 0.2 1.0; do
    sed "s/relgrad 0.1/relgrad $version/" "$root/bindings/consumers/cmake/CMakeLists.txt" \
        > "$work/CMakeLists.txt"
    ! cmake -S "$work" -B "$work/refused" -DCMAKE_PREFIX_PATH="$prefix" > /dev/null 2>&1 ||
        fail "CMake takes this version for $version"
done
mkdir -p "$work/bindings/consumers/make" "$work/bindings/examples"
cp "$root/bindings/consumers/make/Makefile" "$work/bindings/consumers/make"
cp "$root/bindings/examples/banana.c" "$work/bindings/examples"
(
    cd "$work/bindings/consumers/make"
    make -s CFLAGS="-O2 ${warnings[*]}" check > both
    make -s whole 2> /dev/null && ./whole >> both
    split -l 4 both out.
    same "Makefile: shared, static, static with the C library" out.aa out.ab out.ac
)

# It finds itself wherever it is moved.
cp -R "$prefix" "$work/moved"
PKG_CONFIG_PATH=$work/moved/lib/pkgconfig pkg-config --libs relgrad | grep -q "$work/moved" ||
    fail "relgrad.pc cannot be moved"

# A second Rust library in the same program, each with its own copy of Rust's runtime; both catch
# panics of their own.
mkdir "$work/two"
cat > "$work/two/other.rs" <<'RUST'
#[no_mangle]
pub extern "C" fn other_catches() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    std::panic::catch_unwind(|| panic!("caught")).map_or(7, |()| 0)
}
RUST
cat > "$work/two/main.c" <<'C'
#include <relgrad.h>
int other_catches(void);
int main(void) {
    relgrad_config config = {.struct_size = sizeof config};
    relgrad_sizes sizes = {.struct_size = sizeof sizes};
    int ok = other_catches() == 7 && relgrad_config_default(&config, 2, 2) == RELGRAD_OK
             && relgrad_query_sizes(&config, &sizes) == RELGRAD_OK;
    return ok ? 0 : 1;
}
C
rustc --crate-type staticlib -O "$work/two/other.rs" -o "$work/two/libother.a"
for order in "-l:librelgrad.a -l:libother.a" "-l:libother.a -l:librelgrad.a"; do
    # shellcheck disable=SC2086 # a list of libraries
    cc "$work/two/main.c" -I"$prefix/include" -L"$prefix/lib" -L"$work/two" \
        -Wl,--whole-archive $order -Wl,--no-whole-archive $libraries -o "$work/two/main" ||
        fail "two Rust libraries do not link"
    "$work/two/main" || fail "two Rust libraries do not run"
done
echo "ok: two Rust static libraries in one program"

# A library linked as the shared one is catches its panics too, beside relgrad's.
"$root/bindings/localize" "" "$work/two/libother.a" "$work/two/libcaught.a" 2> "$work/err" &&
    fail "localize takes a library without relgrad_ functions"
sed 's/other_catches/relgrad_other_catches/' "$work/two/other.rs" > "$work/two/named.rs"
rustc --crate-type staticlib -O "$work/two/named.rs" -o "$work/two/libnamed.a"
"$root/bindings/localize" "" "$work/two/libnamed.a" "$work/two/libnamed.a"
"$root/bindings/share" "$work/two/libnamed.a" "$work/two/libnamed.so.3" OTHER 'relgrad_other_*'
sed 's/other_catches/relgrad_other_catches/' "$work/two/main.c" > "$work/two/named.c"
cc "$work/two/named.c" -I"$prefix/include" -L"$prefix/lib" -lrelgrad "$work/two/libnamed.so.3" \
    -Wl,-rpath,"$work/two" -o "$work/two/named" || fail "two Rust shared libraries do not link"
"$work/two/named" || fail "a panic in a shared library is not caught"
echo "ok: a panic in a shared library is caught"
