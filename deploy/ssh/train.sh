#!/usr/bin/env bash
# Trains on machines that ssh reaches, with no scheduler: deploy/ssh/train.sh "HOST..." RANKS --config FILE [MORE...]
# starts RANKS ranks of bin/senet on each host, in this folder, which all of them must see. Rank 0 is on the first host, whose
# port MASTER_PORT (29500) the others must reach. Ctrl-C and SIGTERM stop all ranks, with a checkpoint saved.
set -euo pipefail
if [ $# -lt 3 ]; then
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 2
fi
read -ra hosts <<<"$1"
each=$2
shift 2

# What a host runs: its ranks, which are told to stop when stdin ends, as it does when this script ends in whatever way.
# shellcheck disable=SC2016 # the host expands it
ranks='
	for ((local = 0; local < LOCAL_WORLD_SIZE; local++)); do
		RANK=$((FIRST_RANK + local)) LOCAL_RANK=$local bin/senet train --resume auto "$@" </dev/null &
		pids+=($!)
	done
	{ cat >/dev/null; kill -TERM "${pids[@]}" 2>/dev/null; } <&0 &
	watcher=$!
	code=0
	for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
	kill "$watcher" 2>/dev/null
	exit "$code"
'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkfifo "$scratch/stdin"
exec {open}<>"$scratch/stdin" # as long as it is open, the stdin of every ssh has no end
stop() {
	if [ "$open" ]; then exec {open}>&-; fi
	open=
}
trap stop INT TERM
for ((host = 0; host < ${#hosts[@]}; host++)); do
	command=$(printf 'cd %q && export MASTER_ADDR=%q MASTER_PORT=%q WORLD_SIZE=%q LOCAL_WORLD_SIZE=%q FIRST_RANK=%q && exec bash -c %q train.sh' \
		"$PWD" "${hosts[0]}" "${MASTER_PORT:-29500}" $((${#hosts[@]} * each)) "$each" $((host * each)) "$ranks")
	command+=$(printf ' %q' "$@")
	{
		trap '' INT # of a terminal it comes to the whole group
		code=0
		${SSH:-ssh} "${hosts[host]}" "$command" || code=$?
		echo "$code" >"$scratch/$host"
		exit "$code"
	} <"$scratch/stdin" {open}>&- &
done
while [ "$(jobs -r)" ]; do
	wait -n || stop # where one host's ranks have failed, the others stop too
done
code=0
for ((host = 0; host < ${#hosts[@]}; host++)); do
	ended=$(cat "$scratch/$host")
	if [ "$code" = 0 ] || [ "$code" = 143 ]; then code=$((ended ? ended : code)); fi
done
exit "$code"
