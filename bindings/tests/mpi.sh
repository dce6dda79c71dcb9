#!/usr/bin/env bash
# MPI on 1, 2 and 4 ranks: factors give the bits of one process, with conditions too, dense sums its numbers; a rank
# that dies ends the run, and the checkpoint brings it back.
source "$(dirname "$0")/common.sh"
need mpicc libopenmpi-dev
need mpirun openmpi-bin
need pkg-config pkg-config
read -ra flags <<< "$(pkg-config --cflags --libs relgrad)"
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
run() { timeout 120 mpirun -np "$@"; }

mpicc -std=c11 -D_DEFAULT_SOURCE -O2 "${warnings[@]}" "$root/bindings/mpi/train.c" "${flags[@]}" -o "$work/train"
mpicc -std=c11 -D_DEFAULT_SOURCE -O2 "${warnings[@]}" "$root/bindings/mpi/single.c" "${flags[@]}" -o "$work/single"
cd "$work"
./single factors 300 > single.out
./single given 300 > given.out
for ranks in 1 2 4; do
    run $ranks ./train factors 300 "factors.$ranks" > "factors.$ranks.out"
    run $ranks ./train given 300 "given.$ranks" > "given.$ranks.out"
    run $ranks ./train dense 300 "dense.$ranks" > "dense.$ranks.out"
done
same "factors: one process, 1, 2 and 4 ranks, to the last bit" single.out factors.{1,2,4}.out
same "and with conditions" given.out given.{1,2,4}.out
! cmp -s single.out given.out || fail "conditions change nothing"
cmp factors.1 factors.4 || fail "checkpoints differ"
awk '/mean/ { if (!NR || first == "") first = $3; d = $3 - first; if (d < 0) d = -d; if (d > 2e-3) exit 1 }' \
    dense.{1,2,4}.out || fail "dense: $(cat dense.?.out)"
echo "ok: dense: the same up to the order of summation: $(awk '/mean/ {printf "%s ", $3}' dense.?.out)"

# With sanitizers; what MPI leaks is its own affair.
mpicc -std=c11 -D_DEFAULT_SOURCE -O1 "${warnings[@]}" "${sanitize[@]}" "$root/bindings/mpi/train.c" "${flags[@]}" -o "$work/sanitized"
ASAN_OPTIONS=detect_leaks=0 run 2 ./sanitized factors 300 sanitized.checkpoint > sanitized.out
same "with sanitizers" single.out sanitized.out

# The last rank dies at step 130: the run ends, says so, and the checkpoint of step 100 is whole.
if run 4 ./train factors 300 died 3 130 > died.out 2> died.err; then fail "a dead rank went unnoticed"; fi
grep -i 'rank 3.*signal 9' died.err > /dev/null || fail "no clear error: $(cat died.err)"
grep -i 'rank 3.*signal 9' died.err
rm -f died.new
run 2 ./train factors 300 died > resumed.out
same "a run that lost a rank, and its continuation on two" single.out resumed.out

# A checkpoint that was damaged is refused with a reason, not used.
printf 'x' | dd of=died bs=1 seek=1000 conv=notrunc status=none
if run 2 ./train factors 350 died > damaged.out 2> damaged.err; then fail "a damaged checkpoint was used"; fi
grep 'reading the checkpoint.*checksum' damaged.err
echo "ok: MPI"
