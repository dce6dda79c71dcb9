#!/usr/bin/env bash
# One problem in every language: the same numbers, and the same parameters to the last bit.
source "$(dirname "$0")/common.sh"
need gfortran gfortran
need pkg-config pkg-config
need g++ g++
need python3 python3
examples=$root/bindings/examples
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"

(cd "$root" && cargo run -q --release --no-default-features --features std --example banana) > "$work/rust"
cc -std=c11 -O2 "$examples/banana.c" "${flags[@]}" -o "$work/c.bin"
"$work/c.bin" > "$work/c"
c++ -std=c++17 -O2 "$examples/banana.cpp" "${flags[@]}" -o "$work/cpp.bin"
"$work/cpp.bin" > "$work/cpp"
gfortran -O2 -J"$work" -I"$root/bindings/fortran" "$root/bindings/fortran/relgrad.F90" \
    "$examples/banana.f90" "${flags[@]}" -o "$work/fortran.bin"
"$work/fortran.bin" > "$work/fortran"
export RELGRAD_LIBRARY=$prefix/lib/librelgrad.so PYTHONPATH=$root/bindings/python
PYTHONDONTWRITEBYTECODE=1 "$(python_with_numpy)" "$examples/banana.py" > "$work/python"
same "Rust, C, C++, Fortran, Python" "$work"/{rust,c,cpp,fortran,python}
if julia=$(julia_command); then
    "$julia" --startup-file=no --project="$root/bindings/julia/Relgrad.jl" "$examples/banana.jl" > "$work/julia"
    same "and Julia" "$work/rust" "$work/julia"
fi
cat "$work/rust"

# bindings/README.md prints these programs.
python3 "$root/bindings/tests/printed.py"
echo "ok: bindings/README.md"
