#!/usr/bin/env bash
# Compares senet with PyTorch on this machine's GPU; gpu_compare.sh --help has the arguments, e.g.
#   bench/gpu_compare.sh train infer latency --out gpu.json
# Needs bin/senet (make build, or scripts/gpu-test.sh) and a Python with PyTorch for CUDA, and timm or torchvision: PYTHON names it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import torch' || {
	echo "gpu_compare: $python has no PyTorch; PYTHON=... takes another" >&2
	exit 1
}
exec "$python" bench/gpu_compare.py "$@"
