#!/usr/bin/env bash
# Fortran: the modules in both precisions, with checks, sanitizers and valgrind.
source "$(dirname "$0")/common.sh"
need gfortran gfortran
need pkg-config pkg-config
need valgrind valgrind
read -ra libraries <<< "$(pkg-config --libs relgrad)"
strict=(-std=f2018 -Wall -Wextra -Wno-unused-dummy-argument -Werror -fcheck=all)
fortran=$root/bindings/fortran
program() { # OUTPUT SOURCE FLAG...
    mkdir -p "$work/$1.mod"
    gfortran "${strict[@]}" "${@:3}" -I"$fortran" -J"$work/$1.mod" "$fortran/relgrad.F90" "$2" \
        "${libraries[@]}" -o "$work/$1" || fail "$2 does not build"
}

program test "$root/bindings/tests/test_relgrad.f90" -g
"$work/test"
valgrind -q --error-exitcode=9 --leak-check=full "$work/test"
program banana "$root/bindings/examples/banana.f90" -O2
"$work/banana" > "$work/plain"
program sanitized "$root/bindings/examples/banana.f90" "${sanitize[@]}"
nm "$work/sanitized" | grep __asan_init > /dev/null || fail "the sanitizer is not linked"
cat > "$work/control.f90" <<'F'
program control
  integer, allocatable :: x(:)
  integer :: beyond
  allocate (x(3))
  x = 1
  read *, beyond
  beyond = x(beyond)
  print *, beyond
  deallocate (x)
end program
F
gfortran "${sanitize[@]}" "$work/control.f90" -o "$work/control"
echo 3 | "$work/control" > "$work/out" || fail "the control fails without a fault"
! echo 4 | "$work/control" > "$work/out" 2> "$work/report" || fail "the sanitizer is not in"
grep AddressSanitizer "$work/report" > /dev/null || fail "no report of the fault"
echo "ok: the sanitizer is in"
"$work/sanitized" > "$work/sanitizers"
valgrind -q --error-exitcode=9 "$work/banana" > "$work/valgrind"
same "plain, with sanitizers, under valgrind" "$work/plain" "$work/sanitizers" "$work/valgrind"
