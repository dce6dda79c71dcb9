#!/usr/bin/env bash
# Python: the module's tests, and its structures against the header.
source "$(dirname "$0")/common.sh"
need python3 python3
python=python3
"$python" -c 'import numpy' 2> /dev/null || {
    # Debian's Python with Debian's NumPy, whatever other Python comes first.
    need /usr/lib/python3/dist-packages/numpy python3 python3-numpy
    python=/usr/bin/python3
}
export RELGRAD_LIBRARY=$prefix/lib/librelgrad.so PYTHONPATH=$root/bindings/python
export PYTHONDONTWRITEBYTECODE=1

"$python" "$root/bindings/tests/layout.py" "$prefix/include/relgrad.h" > "$work/layout.c"
cc -I"$prefix/include" "$work/layout.c" -o "$work/layout"
"$work/layout" | sort > "$work/c"
"$python" "$root/bindings/tests/test_relgrad.py" layout | sort > "$work/python"
grep -F -f <(sed 's/[. ].*//' "$work/python" | sort -u) -w "$work/c" > "$work/expected"
same "structures as in C" "$work/expected" "$work/python"
"$python" "$root/bindings/tests/test_relgrad.py"
