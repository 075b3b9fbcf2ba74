#!/usr/bin/env bash
# Tests senet on a machine with a GPU, which needs neither Go nor a network.
#
#   scripts/gpu-test.sh pack         here: builds build/gpu-test.tar.gz, with the program, the tests of internal/cuda and
#                                    the scripts in one folder, gpu-test
#   scripts/gpu-test.sh run [OUT]    there, in that folder: runs every part; OUT (gpu-test-out) gets PART.log of each
#     --only PART,...                only these parts
#     --device cpu                   rehearses what can be on a machine without a GPU, on small networks
#
# A part that fails or takes over 9 minutes does not keep the others from running; the end is a table, and exit 1 if one failed.
# PYTHON (python3) names a Python with PyTorch for CUDA, timm or torchvision, and safetensors.
set -euo pipefail
origin=$PWD
cd "$(dirname "$0")/.."

parts=(
	info          # the device, its driver, versions, and what senet says of them
	conformance   # every op and small networks against the oracle in all precisions, cuDNN where PyTorch has it
	own-conv      # the same for networks and convolutions without cuDNN
	zoo           # logits and the first loss of each kind of network in all precisions against the oracle, which takes minutes
	nccl          # PyTorch's NCCL with one rank: sums and gathers, issued and captured; with several GPUs also ranked conformance
	memcheck      # compute-sanitizer on the kernels: reads and writes out of bounds
	racecheck     #   shared memory used without a barrier
	initcheck     #   device memory read before it is written
	steps-float32 # 20 training steps of SE-ResNet-50 against PyTorch
	steps-bf16
	kernels       # each kernel's time and throughput
	profile       # a training step and inference by op, and what SE costs
	train64 train128 train256 infer64 infer128 infer256 latency # against PyTorch, interleaved
)
limit=540 # seconds of a part
notrun=77 # exit status of a part that could not run here

die() {
	echo "gpu-test: $*" >&2
	exit 2
}

# missing REASON... ends a part that this machine has not what it takes for.
missing() {
	echo "not run: $*"
	exit $notrun
}

pack() {
	local folder=build/gpu-test
	make build
	eval "$(make -s env)"
	rm -rf "$folder"
	mkdir -p "$folder"/{bin,lib}
	go test -c -ldflags='-s -w' -o "$folder/bin/cuda.test" ./internal/cuda
	cp bin/senet "$folder/bin/"
	cp lib/libdnnl.so.3 "$folder/lib/"
	cp -r --parents configs bench/*.py bench/*.sh scripts/gpu-test.sh scripts/pytorch "$folder/"
	tar -C build -czf build/gpu-test.tar.gz --exclude __pycache__ gpu-test
	du -h build/gpu-test.tar.gz
}

# library NAME prints the folder of a library of NVIDIA's that Python's packages have, e.g. cudnn, or nothing.
library() {
	"$python" -c "import nvidia.$1; print(list(nvidia.$1.__path__)[0] + '/lib')" 2>/dev/null || true
}

info() {
	date -u
	uname -srm
	if [ "$device" = cuda ]; then
		nvidia-smi
		nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem --format=csv
	fi
	"$python" -VV
	"$python" -c 'import torch; print("PyTorch", torch.__version__, "cuDNN", torch.backends.cudnn.version())' ||
		echo "$python has no PyTorch: the parts that compare with it will fail"
	echo "libraries for senet: ${LD_LIBRARY_PATH:-none found}"
	bin/senet version
	bin/senet doctor --device "$device"
	if [ "$device" = cuda ] && "$python" -c 'import torch; exit(not torch.backends.cudnn.is_available())' &&
		! bin/senet doctor --json | "$python" -c 'import json, sys; exit("version" not in json.load(sys.stdin)["cudnn"])'; then
		echo "PyTorch has cuDNN here, and senet does not find it: the parts below would not test it"
		return 1
	fi
}

# cuda_test PATTERN [FLAG...] runs tests of internal/cuda, under the command in $under.
cuda_test() {
	[ "$device" = cuda ] || missing "conformance on a CPU is what \`go test ./internal/cuda\` does"
	${under:-} bin/cuda.test -test.v -test.run "$1" -gpu "${@:2}"
}

conformance() { cuda_test '^Test(Conformance|Training)$'; }

own_conv() { cuda_test '^TestConformance$/./^(conv|conv_inference|early_squeeze|network)$' -own; }

zoo() { cuda_test '^TestZoo$'; }

nccl() { LD_LIBRARY_PATH=$(library nccl):$LD_LIBRARY_PATH cuda_test '^Test(OneRank|Conformance)$/^(float32|bf16)$/^ranks='; }

# sanitize TOOL on every op of our own kernels in two precisions; convolutions may be cuDNN's, and are slow under it.
sanitize() {
	[ "$device" = cuda ] || missing "compute-sanitizer needs a GPU"
	local tool
	tool=$(command -v compute-sanitizer || compgen -G '/usr/local/cuda*/bin/compute-sanitizer' | head -1) ||
		missing "this machine has no compute-sanitizer (CUDA toolkit)"
	local families='batch_norm|bn_se_add_relu|global_avg_pool|max_pool|linear|softmax_cross_entropy|sgd|scale|relu'
	under="$tool --tool $1 --error-exitcode 1" cuda_test "^TestConformance\$/^(float32|bf16)\$/^($families)\$"
}

steps() {
	local size=()
	if [ "$device" = cpu ]; then
		[ "$1" = float32 ] || missing "the CPU computes in float32"
		size=(--batch 8 --steps 3)
	fi
	"$python" scripts/pytorch/train_steps.py --device "$device" --precision "$1" "${size[@]}"
}

kernels() {
	bin/senet bench --help | grep -q 'senet bench.*kernels' || missing "this senet has no \`senet bench kernels\`"
	bin/senet bench kernels --model seresnet50 "${small[@]}" "${how[@]}"
}

profile() {
	bin/senet bench train --model seresnet50 --against resnet50 --profile --steps "$count" "${small[@]}" "${how[@]}"
	bin/senet bench infer --model seresnet50 --against resnet50 --profile --steps "$count" "${small[@]}" "${how[@]}"
}

# compare TASK [BATCH] against PyTorch; its JSON and tables go to OUT.
compare() {
	local options=(--batch "${2:-1}")
	if [ "$device" = cpu ]; then
		options=(--device cpu --precision float32 --modes eager --batch 2 --size 64 --classes 10 --rounds 1 --steps 1)
	fi
	PYTHON=$python bench/gpu_compare.sh "$1" --out "$out/$part.json" "${options[@]}"
}

# run_part runs the one named $part.
run_part() {
	case $part in
	own-conv) own_conv ;;
	memcheck | racecheck | initcheck) sanitize "$part" ;;
	steps-*) steps "${part#steps-}" ;;
	train* | infer*) compare "${part%%[0-9]*}" "${part##*[a-z]}" ;;
	latency) compare latency ;;
	*) "$part" ;;
	esac
}

run() {
	local results=() failed=0 part status start
	[ -x bin/senet ] || die "there is no bin/senet here: make a pack, and unpack it on this machine"
	mkdir -p "$out"
	for part in "${chosen[@]}"; do
		echo "gpu-test: $part"
		start=$SECONDS status=0
		timeout --kill-after=20 "$limit" scripts/gpu-test.sh part "$part" "$device" "$out" >"$out/$part.log" 2>&1 || status=$?
		case $status in
		0) status=ok ;;
		"$notrun") status=$(grep -m1 '^not run: ' "$out/$part.log") ;;
		124 | 137) status="FAILED: over $limit s" failed=1 ;;
		*) status="FAILED: exit $status" failed=1 ;;
		esac
		results+=("$(printf '%-14s %4d s   %s' "$part" $((SECONDS - start)) "$status")")
	done
	printf '%s\n' "${results[@]}" | tee "$out/summary.log"
	return $failed
}

python=${PYTHON:-python3} device=cuda out=$origin/gpu-test-out chosen=("${parts[@]}")
command=${1:-}
shift || true
case $command in
pack)
	pack
	exit
	;;
part) # a part in a process of its own, which `run` starts
	part=$1 device=$2 out=$3
	small=(--batch 128) count=20 how=(--device cuda --precision bf16)
	if [ "$device" = cpu ]; then small=(--batch 2 --size 64 --classes 10) count=2 how=(--device cpu); fi
	LD_LIBRARY_PATH=$(library cudnn)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	export LD_LIBRARY_PATH
	run_part
	exit
	;;
run) ;;
*) die "want pack, or run [OUT] [--only PART,...] [--device cpu]" ;;
esac

while [ $# -gt 0 ]; do
	case $1 in
	--only)
		IFS=, read -ra chosen <<<"${2:-}"
		for part in "${chosen[@]}"; do
			[[ " ${parts[*]} " = *" $part "* ]] || die "no part '$part': want ${parts[*]}"
		done
		shift
		;;
	--device)
		device=${2:-}
		[[ $device = cuda || $device = cpu ]] || die "--device '$device': want cuda or cpu"
		shift
		;;
	-*) die "no option $1" ;;
	*) out=$(cd "$origin" && realpath -m "$1") ;;
	esac
	shift
done
run
