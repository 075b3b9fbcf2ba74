#!/usr/bin/env bash
# Compares 2 MPI ranks of one core each with one process of 2 threads, on 2 cores of this machine, at the same images a step:
#
#   bench/dist_compare.sh [MODEL BATCH SIZE CHANNELS CLASSES [ROUNDS [STEPS]]]     seresnet50 16 224 3 1000 5 8
#
# Every round runs one after the other, each in processes of its own that measure the median of STEPS training steps after a
# warm-up. Prints each round, then the median of the ratios, the bytes that a rank sums in a step against those of its gradients, and
# the share of the sums' time, as they take it with nothing else to do, that the backward pass hides.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(make -s env)"
scripts/deps.sh mpi
export PATH=$PWD/.deps/mpi/openmpi/bin:$PATH LD_LIBRARY_PATH=$PWD/.deps/mpi/openmpi/lib OMP_WAIT_POLICY=passive

rounds=${6:-5}
options=(-model "${1:-seresnet50}" -batch "${2:-16}" -size "${3:-224}" -channels "${4:-3}" -classes "${5:-1000}" -steps "${7:-8}")
program=$(mktemp)
results=$(mktemp)
trap 'rm -f "$program" "$results"' EXIT
go build -o "$program" ./internal/bench/ranks

root=()
if [ "$(id -u)" = 0 ]; then root=(--allow-run-as-root); fi
uname -srm
grep -m 1 'model name' /proc/cpuinfo
mpirun --version | head -n 1
echo "${options[*]}"
for ((round = 1; round <= rounds; round++)); do
	one=$("$program" "${options[@]}" -threads 2)
	two=$(mpirun "${root[@]}" -n 2 --bind-to core "$program" "${options[@]}")
	echo "one process: $one; two ranks: $two"
	echo "$one $two" >>"$results"
done
# Columns: images/s ONE images/s TWO sums N bytes B theory T alone A waited W
sort -g <(awk '{ print $4 / $2 }' "$results") | awk '{ x[NR] = $1 } END { printf "speed of two ranks: %.3f of one process (%.3f to %.3f)\n", x[int((NR + 1) / 2)], x[1], x[NR] }'
awk 'NR == 1 { printf "a step sums %d bytes in %d buckets; gradients have %d, so theory is %d with loss and stop\n", $8, $6, $10, $10 + 8 }' "$results"
sort -g <(awk '{ print 1 - $14 / $12 }' "$results") | awk '{ x[NR] = $1 } END { printf "hidden share of the sums: %.2f (%.2f to %.2f)\n", x[int((NR + 1) / 2)], x[1], x[NR] }'
