# Sourced by the tests beside it: an installed relgrad in $prefix, a scratch folder in $work.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
prefix=$CARGO_TARGET_DIR/bindings/prefix
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings=(-Wall -Wextra -Wpedantic -Werror)
sanitize=(-g -fsanitize=address,undefined -fno-sanitize-recover=all)

fail() { echo "FAILED: $*" >&2; exit 1; }

# need COMMAND PACKAGE...: installs the packages where the command, or file, is missing.
need() {
    if command -v "$1" > /dev/null || [ -e "$1" ]; then return; fi
    shift
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || fail "install $*"
    packages env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

# packages COMMAND...: with fresh lists of packages. One at a time, since scripts may run at once.
packages() {
    flock "$root/bindings/tests" sh -c 'apt-get update -qq && "$@"' sh "$@"
}

# A Python that has NumPy: the first one, or Debian's.
python_with_numpy() {
    if python3 -c 'import numpy' 2> /dev/null; then
        echo python3
    else
        need /usr/lib/python3/dist-packages/numpy python3 python3-numpy
        echo /usr/bin/python3
    fi
}

# The Julia that is installed, or a fetched one; fails, loudly, where there is none to be had.
julia_command() {
    local own=$CARGO_TARGET_DIR/bindings/julia
    if command -v julia; then return; fi
    [ -x "$own/julia" ] || packages "$root/bindings/julia/fetch" "$own" >&2 || {
        rm -rf "$own"
        echo "SKIPPED: Julia, which is not to be had here" >&2
        return 1
    }
    echo "$own/julia"
}

# same WHAT FILE...: all files hold the same text, and some.
same() {
    local what=$1 first=$2 file
    shift
    [ -s "$first" ] || fail "$what: $first is empty"
    for file in "$@"; do
        diff "$first" "$file" || fail "$what: $first and $file differ"
    done
    echo "ok: $what"
}

# Unless whoever runs several scripts has seen to it.
if [ -z "${RELGRAD_INSTALLED:-}" ]; then
    "$root/bindings/install" "$prefix" > "$work/install.log" 2>&1 || { cat "$work/install.log"; exit 1; }
    ! grep -A 9 '^warning' "$work/install.log" || fail "installing warns"
fi
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export LD_LIBRARY_PATH=$prefix/lib
