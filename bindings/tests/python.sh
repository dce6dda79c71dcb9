#!/usr/bin/env bash
# Python: the module's tests, and its structures against the header.
source "$(dirname "$0")/common.sh"
need python3 python3
python=$(python_with_numpy)
export RELGRAD_LIBRARY=$prefix/lib/librelgrad.so PYTHONPATH=$root/bindings/python
export PYTHONDONTWRITEBYTECODE=1

"$python" "$root/bindings/tests/layout.py" "$prefix/include/relgrad.h" > "$work/layout.c"
cc -I"$prefix/include" "$work/layout.c" -o "$work/layout"
"$work/layout" | sort > "$work/c"
"$python" -W error "$root/bindings/tests/test_relgrad.py" layout | sort > "$work/python"
grep -F -f <(sed 's/[. ].*//' "$work/python" | sort -u) -w "$work/c" > "$work/expected"
same "structures as in C" "$work/expected" "$work/python"
"$python" -W error "$root/bindings/tests/test_relgrad.py"

# scikit-learn, where it is to be had.
venv=$CARGO_TARGET_DIR/bindings/sklearn
if [ ! -x "$venv/bin/pip" ]; then
    python3 -c 'import ensurepip' 2> /dev/null || need ensurepip python3-venv
    python3 -m venv "$venv"
fi
if "$venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1; then
    "$venv/bin/python" "$root/bindings/tests/test_sklearn.py"
else
    echo "SKIPPED: scikit-learn, which is not to be had here"
fi
