#!/usr/bin/env bash
# Python: the package's tests, its structures against the header, the program's files; the wheel in an empty
# environment; scikit-learn.
source "$(dirname "$0")/common.sh"
need python3 python3
python=$(python_with_numpy)
export RELGRAD_LIBRARY=$prefix/lib/librelgrad.so PYTHONPATH=$root/bindings/python
export PYTHONDONTWRITEBYTECODE=1
cd "$root"

"$python" bindings/tests/layout.py "$prefix/include/relgrad.h" > "$work/layout.c"
cc -I"$prefix/include" "$work/layout.c" -o "$work/layout"
"$work/layout" | sort > "$work/c"
"$python" -W error bindings/tests/test_relgrad.py layout | sort > "$work/python"
grep -F -f <(sed 's/[. ].*//' "$work/python" | sort -u) -w "$work/c" > "$work/expected"
same "structures as in C" "$work/expected" "$work/python"
"$python" -W error bindings/tests/test_relgrad.py

# The program, which is there already where all tests run.
if [ -z "${RELGRAD_PROGRAM:-}" ]; then
    cargo build --quiet --release --features cli --bin relgrad
    export RELGRAD_PROGRAM=$CARGO_TARGET_DIR/release/relgrad
fi
"$python" -W error bindings/tests/test_flow.py
"$python" -W error bindings/examples/prior.py

# What comes from PyPI, where that is to be had.
[ "$(sed -n 's/^version = "\(.*\)".*/\1/p' bindings/python/pyproject.toml)" = \
    "$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)" ] || fail "another version in pyproject.toml"
venv=$CARGO_TARGET_DIR/bindings/python
if [ ! -x "$venv/bin/pip" ]; then
    python3 -c 'import ensurepip' 2> /dev/null || need ensurepip python3-venv
    python3 -m venv "$venv"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
if ! "$venv/bin/pip" install --quiet hatchling==1.33.0 scikit-learn==1.9.1 pandas==3.1.1 polars==2.1.0; then
    echo "SKIPPED: the wheel and scikit-learn, which are not to be had here"
    exit
fi
"$venv/bin/python" bindings/tests/test_sklearn.py
sed -n '/^## Python/,/^## Fortran/p' bindings/README.md | sed -n '/^```python/,/^```$/{/^```/d;p}' > "$work/readme.py"
(cd "$work" && "$venv/bin/python" -W error readme.py)
echo "ok: what bindings/README.md says"

"$venv/bin/pip" wheel --quiet --no-deps --no-build-isolation -w "$work" bindings/python
python3 -m venv "$work/empty"
unset RELGRAD_LIBRARY PYTHONPATH LD_LIBRARY_PATH
"$work/empty/bin/pip" install --quiet "$work"/relgrad-*.whl
sed -n '/^```python/,/^```$/{/^```/d;p}' bindings/python/README.md > "$work/own.py"
cd "$work"
"$work/empty/bin/python" -W error "$root/bindings/tests/test_wheel.py"
"$work/empty/bin/python" -W error "$work/own.py"
