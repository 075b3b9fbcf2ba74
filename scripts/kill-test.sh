#!/usr/bin/env bash
# Kills and stops training again and again, and checks that nothing is lost:
#
#   scripts/kill-test.sh kill [N]   N (200) times SIGKILL at a random moment of saving
#   scripts/kill-test.sh stop [N]   N (20) times SIGTERM at a random moment of a training with a state of 225 MiB: the exit code
#                                   is 143, the state is saved, and the time from the signal to the exit is printed
#   scripts/kill-test.sh ranks [N]  N (20) times SIGKILL to one of 2 ranks at a random moment: the job goes on each time, and ends
#                                   with the parameters, to the bit, of one that was left alone
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(make -s env)"

kill_saves() {
	SENET_KILLS=${1:-200} go test ./internal/checkpoint -count=1 -run '^TestAKillAtAnyMomentLeavesAValidCheckpoint$' -v
}

# split writes a part of a data set in Fashion-MNIST's format: $3 images of noise to the files $1/$2-*.
split() {
	{
		printf '%b' "\\0\\0\\x08\\x03\\0\\0\\0\\x$(printf %02x "$3")\\0\\0\\0\\x1c\\0\\0\\0\\x1c"
		head -c $(($3 * 28 * 28)) /dev/urandom
	} | gzip >"$1/$2-images-idx3-ubyte.gz"
	{
		printf '%b' "\\0\\0\\x08\\x01\\0\\0\\0\\x$(printf %02x "$3")"
		for ((k = 0; k < $3; k++)); do printf '%b' "\\x0$((k % 10))"; done
	} | gzip >"$1/$2-labels-idx1-ubyte.gz"
}

stop_trainings() {
	local n=${1:-20} dir slowest=0 pid start took code
	dir=$(mktemp -d)
	# shellcheck disable=SC2064 # the folder's name is known now
	trap "rm -rf '$dir'" EXIT
	go build -o "$dir/senet" ./cmd/senet
	mkdir "$dir/data"
	split "$dir/data" train 64
	split "$dir/data" t10k 200
	# Epochs of some seconds, so that every kind of moment comes up: start-up, steps, precise batch norm, evaluation, saving,
	# compilation for images of another size.
	cat >"$dir/config.yaml" <<-EOF
		device: cpu
		threads: 1
		model: {name: seresnet50, se: {reduction: 6}}
		data: {dir: "$dir/data"}
		train: {epochs: 100000, batch_size: 4, lr: 0.001, precise_bn: 8, resize: {from: 20, end_epoch: 32, multiple: 1}}
		eval: {batch_size: 20}
		output: {dir: "$dir/run", keep_checkpoints: 1, tensorboard: false}
	EOF
	for ((i = 1; i <= n; i++)); do
		"$dir/senet" train --config "$dir/config.yaml" --resume auto >"$dir/out" 2>"$dir/err" &
		pid=$!
		sleep "$(awk -v r=$RANDOM 'BEGIN { printf "%.3f", 15 * r / 32768 }')"
		start=$(date +%s%3N)
		kill -TERM "$pid"
		code=0
		wait "$pid" || code=$?
		took=$(($(date +%s%3N) - start))
		slowest=$((took > slowest ? took : slowest))
		printf 'stop %d: exit code %d after %d ms: %s\n' "$i" "$code" "$took" "$(tail -n 1 "$dir/err")"
		if [ "$code" != 143 ] || grep -q damaged "$dir/err"; then
			cat "$dir/err" >&2
			exit 1
		fi
	done
	du -shL "$dir/run/last"
	echo "$n stops, the slowest after $slowest ms"
	[ "$slowest" -le 5000 ]
}

kill_ranks() {
	local n=${1:-20} dir pid rank left
	scripts/deps.sh mpi
	export PATH=$PWD/.deps/mpi/openmpi/bin:$PATH
	dir=$(mktemp -d)
	# shellcheck disable=SC2064 # the folder's name is known now
	trap "rm -rf '$dir'" EXIT
	go build -o "$dir/senet" ./cmd/senet
	mkdir "$dir/data" "$dir/jobs"
	split "$dir/data" train 128
	split "$dir/data" t10k 40
	cat >"$dir/config.yaml" <<-EOF
		device: cpu
		model: {name: seresnet20_cifar}
		data: {dir: "$dir/data", workers: 1}
		train: {epochs: 200, batch_size: 16, lr: 0.02}
		eval: {batch_size: 20}
		output: {dir: "$dir/unbroken", keep_checkpoints: 1, tensorboard: false}
	EOF
	"$dir/senet" train --config "$dir/config.yaml" --nproc 2 >"$dir/out"
	TMPDIR=$dir/jobs "$dir/senet" train --config "$dir/config.yaml" --set output.dir="$dir/broken" --nproc 2 --max-restarts "$n" \
		>"$dir/out" 2>"$dir/err" &
	pid=$!
	left=$n
	while [ "$left" -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
		# One in four may come while the ranks still start.
		if [ $((RANDOM % 4)) -gt 0 ]; then
			until grep -qs . "$dir"/jobs/senet-job-*/0.step || ! kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
		fi
		sleep "$(awk -v r=$RANDOM 'BEGIN { printf "%.3f", 1.5 * r / 32768 }')"
		rank=$((RANDOM % 2))
		if kill -KILL "$(cat "$dir"/jobs/senet-job-*/$rank.pid 2>/dev/null)" 2>/dev/null; then
			left=$((left - 1))
			# Until the supervisor has seen it.
			until [ "$(grep -c 'restart' "$dir/err")" -ge $((n - left)) ] || ! kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
		fi
	done
	wait "$pid" || { cat "$dir/err" >&2; exit 1; }
	grep restart "$dir/err"
	for file in model optimizer; do cmp "$dir/unbroken/epoch-0200/$file.safetensors" "$dir/broken/epoch-0200/$file.safetensors"; done
	echo "$((n - left)) kills; the same bits at the end"
	[ "$left" = 0 ]
}

case ${1:-} in
ranks) kill_ranks "${2:-}" ;;
kill) kill_saves "${2:-}" ;;
stop) stop_trainings "${2:-}" ;;
*)
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 2
	;;
esac
