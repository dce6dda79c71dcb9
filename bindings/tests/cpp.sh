#!/usr/bin/env bash
# relgrad.hpp with g++ and clang++, with and without exceptions, under sanitizers and valgrind;
# the simulator that learns while it runs.
source "$(dirname "$0")/common.sh"
need g++ g++
need clang++ clang
need "$(clang -print-file-name=libclang_rt.asan-x86_64.a)" \
    "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
need pkg-config pkg-config
need valgrind valgrind
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"

warnings+=(-Wconversion -Wshadow)

build() { # COMPILER SOURCE OUTPUT FLAG...
    "$1" "$2" -O1 -pthread "${warnings[@]}" "${@:4}" "${flags[@]}" -o "$work/$3" || fail "$1 ${*:4} $2"
}

# The sanitizers are really in: they see a fault made for them, and only they do.
for compiler in gcc clang; do
    control=$root/ffi-tests/c/overflow.c
    "$compiler" -std=c11 "${sanitize[@]}" "$control" -o "$work/control"
    "$work/control" > /dev/null || fail "$compiler: the control fails without a fault"
    for fault in address undefined; do
        ! "$work/control" "$fault" > /dev/null 2> "$work/report" || fail "$compiler: no $fault sanitizer"
        grep -qE 'AddressSanitizer|runtime error' "$work/report" || fail "$compiler: no report of $fault"
    done
done
echo "ok: the sanitizers are in"

for compiler in g++ clang++; do
    for standard in "-std=c++17" "-std=c++20" "-std=c++2b" "-std=c++17 -fno-exceptions -fno-rtti"; do
        read -ra how <<< "$standard"
        build "$compiler" "$root/bindings/tests/header.cpp" header "${how[@]}"
        "$work/header" > "$work/out" || { cat "$work/out"; fail "$compiler $standard"; }
    done
    build "$compiler" "$root/bindings/tests/header.cpp" header -std=c++17 "${sanitize[@]}"
    "$work/header" || fail "$compiler with sanitizers"
    for example in banana simulator; do
        build "$compiler" "$root/bindings/examples/$example.cpp" "$example" -std=c++17 "${sanitize[@]}"
        "$work/$example" > "$work/$example.$compiler" || fail "$example with sanitizers"
    done
done
same "g++ and clang++ see the same model" "$work/banana.g++" "$work/banana.clang++"
build g++ "$root/bindings/examples/simulator.cpp" simulator -std=c++17
"$work/simulator"

gcc -std=c11 -O1 "${warnings[@]}" "${sanitize[@]}" "$root/bindings/examples/banana.c" "${flags[@]}" -o "$work/c"
"$work/c" > "$work/banana.c.out"
same "C and C++, with sanitizers" "$work/banana.c.out" "$work/banana.g++"
for language in c cpp; do
    case $language in c) compiler=gcc standard=-std=c11 ;; *) compiler=g++ standard=-std=c++17 ;; esac
    build "$compiler" "$root/bindings/examples/banana.$language" banana "$standard" -g
    valgrind -q --error-exitcode=9 --leak-check=full "$work/banana" > "$work/valgrind.$language" ||
        fail "valgrind on banana.$language"
done
same "under valgrind" "$work/valgrind.c" "$work/valgrind.cpp" "$work/banana.c.out"
