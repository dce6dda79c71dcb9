#!/usr/bin/env bash
# relgrad inside other build systems: CMake's FetchContent and add_subdirectory, Meson's subprojects. They share
# the build of install.sh, whose cargo folder is theirs. bindings/packages/README.md has what is not tested here.
source "$(dirname "$0")/common.sh"
need cmake cmake make
need pkg-config pkg-config
need g++ g++
export CMAKE_BUILD_PARALLEL_LEVEL=2
# The installed one must not be found here.
unset PKG_CONFIG_PATH LD_LIBRARY_PATH

# One version in all of them.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
for file in vcpkg/relgrad/vcpkg.json arduino/library.json arduino/library.properties esp-idf/relgrad/idf_component.yml; do
    grep -qE "^[ \"]*version[\":= ]+$version\"?,?$" "$root/bindings/packages/$file" || fail "$file: not version $version"
done

# CMake: as a part of another project.
configure() { # SOURCE BUILD OPTION...
    cmake -S "$1" -B "$2" -DCMAKE_C_FLAGS="${warnings[*]}" -DCMAKE_CXX_FLAGS="${warnings[*]}" "${@:3}" \
        > "$work/log" 2>&1 || { cat "$work/log"; fail "cmake $1"; }
}
build() { # BUILD
    cmake --build "$1" > "$work/log" 2>&1 || { cat "$work/log"; fail "cmake --build $1"; }
}
configure "$root/bindings/consumers/subproject" "$work/sub"
build "$work/sub"
(cd "$work/sub" && ctest --output-on-failure | tail -n 4)
cmake --build "$work/sub" > "$work/log" 2>&1
! grep -E 'Linking|Building C' "$work/log" || fail "a second build does something"
for library in librelgrad.a librelgrad.so.1; do
    cmp "$work/sub/_deps/relgrad-build/made/$library" "$prefix/lib/$library" ||
        fail "CMake and bindings/install make different libraries"
done

# By itself, it installs what bindings/install does; also elsewhere, and for finding again.
configure "$root" "$work/own" -DCMAKE_INSTALL_PREFIX="$work/installed" -DCMAKE_INSTALL_LIBDIR=lib
build "$work/own"
cmake --install "$work/own" > /dev/null
same_tree() { # WHAT TREE
    (cd "$2" && find . \( -type f -o -type l \) -printf '%p %m %l\n' | sort) > "$work/tree"
    (cd "$prefix" && find . \( -type f -o -type l \) -printf '%p %m %l\n' | sort) > "$work/tree.expected"
    diff "$work/tree.expected" "$work/tree" || fail "$1: other files than bindings/install"
    diff -r "$prefix" "$2" || fail "$1 differs from bindings/install"
    echo "ok: $1 is what bindings/install installs"
}
same_tree "cmake --install" "$work/installed"
cmake "$work/own" -DCMAKE_INSTALL_LIBDIR=lib/triple -DCMAKE_INSTALL_INCLUDEDIR=include/relgrad > /dev/null
DESTDIR=$work/stage cmake --install "$work/own" --prefix /usr > /dev/null
configure "$root/bindings/consumers/cmake" "$work/found" -Drelgrad_DIR="$work/stage/usr/lib/triple/cmake/relgrad"
build "$work/found"
(cd "$work/found" && ctest --output-on-failure | tail -n 4)
# shellcheck disable=SC2046 # a list of flags
(
    export PKG_CONFIG_PATH=$work/stage/usr/lib/triple/pkgconfig LD_LIBRARY_PATH=$work/stage/usr/lib/triple
    cc -std=c11 "$root/bindings/examples/banana.c" $(pkg-config --cflags --libs relgrad) -o "$work/banana"
    "$work/banana" > /dev/null
) || fail "relgrad.pc of other folders"

# What the options do, without building: the command that CMake would run.
command_of() { # OPTION...
    rm -rf "$work/asked"
    cmake -S "$root" -B "$work/asked" "$@" > "$work/log" 2>&1 &&
        grep -h 'bindings/build' "$work/asked/CMakeFiles/relgrad_cargo.dir/build.make" > "$work/command"
}
command_has() { # TEXT OPTION...
    command_of "${@:2}" || { cat "$work/log"; fail "cmake ${*:2}"; }
    grep -qF -- "$1" "$work/command" || { cat "$work/command"; fail "no $1 with ${*:2}"; }
}
command_has 'OPT_LEVEL=s ' -DCMAKE_BUILD_TYPE=MinSizeRel
command_has 'OPT_LEVEL=1 ' -DRELGRAD_OPT_LEVEL=1
command_has '--target aarch64-unknown-linux-gnu' -DRELGRAD_CARGO_TARGET=aarch64-unknown-linux-gnu
command_has '--target aarch64-unknown-linux-gnu' -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=arm64
command_has '--target riscv64gc-unknown-linux-gnu' -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=riscv64
command_of -DCMAKE_SYSTEM_NAME=Linux
! grep -e --target "$work/command" || fail "this machine is taken for another"
! command_of -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=vax || fail "CMake takes an unknown processor"
grep -q RELGRAD_CARGO_TARGET "$work/log" || fail "no hint for an unknown processor"
echo "ok: options of the CMake project"

# Meson: as a subproject, with the overlay that bindings/packages has for it. Links instead of a copy of
# relgrad, so that cargo's build is shared.
need meson meson ninja-build
mkdir -p "$work/meson/subprojects/relgrad"
cp "$root/bindings/consumers/meson/meson.build" "$work/meson"
ln -s "$root/bindings/examples" "$work/meson/examples"
ln -s "$root/Cargo.toml" "$root/include" "$root/bindings" "$work/meson/subprojects/relgrad"
cp "$root"/bindings/packages/meson/packagefiles/relgrad/* "$work/meson/subprojects/relgrad"
for library in shared static; do
    (
        cd "$work/meson" &&
            meson setup "$library" -Ddefault_library=$library -Dlibdir=lib -Dprefix=/usr -Dwarning_level=3 \
                -Dwerror=true &&
            meson test -C "$library" &&
            DESTDIR=$work/meson/stage.$library meson install -C "$library"
    ) > "$work/log" 2>&1 || { cat "$work/log"; fail "Meson, $library"; }
    ! grep -i 'warning:' "$work/log" || fail "Meson warns"
    # Meson has no CMake package.
    cp -r "$prefix/lib/cmake" "$work/meson/stage.$library/usr/lib"
    same_tree "meson install, $library," "$work/meson/stage.$library/usr"
done
