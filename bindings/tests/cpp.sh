#!/usr/bin/env bash
# relgrad.hpp with g++ and clang++, with and without exceptions, under sanitizers and valgrind;
# programs of parts built in different ways; what must not compile; the simulators that learn while
# they run.
source "$(dirname "$0")/common.sh"
need g++ g++
need clang++ clang
need "$(clang -print-file-name=libclang_rt.asan-x86_64.a)" \
    "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
need pkg-config pkg-config
need valgrind valgrind
need python3 python3
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"
read -ra cflags <<< "$(pkg-config --cflags relgrad)"

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

python3 "$root/bindings/tests/named.py" "$root/include/relgrad.h" "$root/include/relgrad.hpp"

# In one program parts of two standards, with exceptions and without, by two compilers, in either
# order: they work, or they do not link.
mixed=$root/bindings/tests/mixed.cpp
part() { # COMPILER NAME FLAG...
    "$1" -c "$mixed" -O0 "${warnings[@]}" "-DPART=$2" "${@:3}" "${cflags[@]}" -o "$work/$1.$2.o" || fail "$1 $2"
}
for compiler in g++ clang++; do
    part "$compiler" main -DMAIN -std=c++17
    part "$compiler" handing_over -DMAIN -DHAND_OVER -std=c++17
    part "$compiler" cpp17 -std=c++17
    part "$compiler" cpp20 -std=c++20
    part "$compiler" cpp17_no_exceptions -std=c++17 -fno-exceptions -fno-rtti
    part "$compiler" cpp20_no_exceptions -std=c++20 -fno-exceptions -fno-rtti
done
for one in g++ clang++; do
    for other in g++ clang++; do
        parts=("$work/$other.cpp17.o" "$work/$one.cpp20.o" "$work/$other.cpp17_no_exceptions.o"
            "$work/$one.cpp20_no_exceptions.o")
        backwards=("${parts[3]}" "${parts[2]}" "${parts[1]}" "${parts[0]}")
        for order in "${parts[*]}" "${backwards[*]}"; do
            read -ra objects <<< "$order"
            "$one" "${objects[@]}" "$work/$one.main.o" "${flags[@]}" -o "$work/mixed" || fail "$one and $other"
            "$work/mixed" || fail "$one and $other: $order"
        done
        ! "$one" "${parts[@]}" "$work/$one.handing_over.o" "${flags[@]}" -o "$work/mixed" 2> "$work/report" ||
            fail "$one and $other: a model goes to a part without exceptions"
        grep -q 'undefined reference.*length_in_cpp17_no_exceptions' "$work/report" || fail "$(cat "$work/report")"
    done
done
echo "ok: one program of parts built in different ways"

# Temporaries that hold data do not compile.
temporary=$root/bindings/tests/temporary.cpp
cases=$(sed -n 's/^#define CASES //p' "$temporary")
for compiler in g++ clang++; do
    for standard in c++17 c++20; do
        try=("$compiler" "-std=$standard" -fsyntax-only "${warnings[@]}" "${cflags[@]}" "$temporary")
        "${try[@]}" -DCASE=0 || fail "$compiler $standard: temporary.cpp"
        for ((i = 1; i <= cases; i++)); do
            ! "${try[@]}" "-DCASE=$i" 2> "$work/report" || fail "$compiler $standard compiles case $i of temporary.cpp"
            grep -q 'deleted' "$work/report" || { cat "$work/report"; fail "$compiler $standard: case $i of temporary.cpp"; }
        done
    done
done
echo "ok: temporaries do not compile"

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

gcc -std=c11 -O1 "${warnings[@]}" "${sanitize[@]}" "$root/bindings/examples/posterior.c" "${flags[@]}" -lm -o "$work/posterior"
"$work/posterior" || fail "the posterior that a simulator learned"
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
