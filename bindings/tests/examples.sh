#!/usr/bin/env bash
# One problem in every language, by the commands of bindings/README.md: the same numbers, and the
# same parameters to the last bit.
source "$(dirname "$0")/common.sh"
need gfortran gfortran
need pkg-config pkg-config
need g++ g++
need python3 python3
cd "$root"

# What the commands find as python3 and julia.
mkdir -p "$work/bin" target
ln -s "$(command -v "$(python_with_numpy)")" "$work/bin/python3"
if julia=$(julia_command); then ln -s "$julia" "$work/bin/julia"; fi
sed -n '/^<!-- end of examples/,/^## /p' bindings/README.md | sed -n '/^```sh/,/^```$/{/^```/d;p}' > "$work/commands"
[ "$(grep -c 'bindings/examples/banana\|--example banana' "$work/commands")" = 6 ] || fail "not six commands in bindings/README.md"
export PREFIX=$prefix PYTHONDONTWRITEBYTECODE=1
# Rust's is not optimised much, since that is quick; the bits are the same.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
# shellcheck disable=SC1090 # its exports
source <(grep '^export ' "$work/commands")

outputs=()
while read -r command; do
    [[ $command != julia* || -x $work/bin/julia ]] || continue
    out=$work/${command%% *}
    (PATH=$work/bin:$PATH && eval "$command") < /dev/null > "$out" 2> "$out.err" ||
        { cat "$out.err"; fail "$command"; }
    ! grep -i warning "$out.err" || fail "$command"
    outputs+=("$out")
done < <(grep -v '^export ' "$work/commands")
rm -f target/banana
same "$(basename -a "${outputs[@]}" | tr '\n' ' ')print the same" "${outputs[@]}"
cat "${outputs[0]}"

# bindings/README.md prints these programs.
python3 bindings/tests/printed.py
echo "ok: bindings/README.md"
