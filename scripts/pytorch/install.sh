#!/usr/bin/env bash
# Installs PyTorch for the CPU, timm and safetensors in .deps/venv, pinned by version and SHA-256.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.deps/venv requirements=scripts/pytorch/requirements.txt
if cmp -s "$requirements" "$venv/requirements.txt"; then exit; fi

# PyPI's torch links over 1 GB of CUDA libraries that computing on the CPU never calls. This puts one
# small library in the place of all of them, whose functions end the program. The real CUDA runtime
# (libcudart, 2 MB) is installed, because torch calls it while it loads.
stub_cuda() {
	local lib=$1/torch/lib libraries='(cublas|cublasLt|cudnn|cufft|cufile|cupti|cusolver|cusparse|cusparseLt|nccl|nvrtc|nvshmem_host)'
	local functions='(cublas|cudnn|cufft|cuFile|cupti|cusolver|cusparse|nccl|nvrtc|nvshmem)'
	nm -D --undefined-only "$lib"/*.so | awk -v want="^$functions" '$2 ~ want { print $2 }' | sort -u >"$lib/stub.symbols"
	sed 's/@.*//; s/.*/void &(void) { __builtin_trap(); }/' "$lib/stub.symbols" >"$lib/stub.c"
	awk -F@ 'NF > 1 { names[$2] = names[$2] $1 "; " } END { for (v in names) print v " { " names[v] "};" }' "$lib/stub.symbols" >"$lib/stub.map"
	gcc -w -shared -fPIC -Wl,--version-script="$lib/stub.map" -o "$lib/stub" "$lib/stub.c"
	readelf -d "$lib"/*.so | grep -oE "lib$libraries\.so\.[0-9]+" | sort -u | while read -r name; do ln -sf stub "$lib/$name"; done
}

rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --require-hashes --no-deps --only-binary :all: -r "$requirements"
stub_cuda "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
cp "$requirements" "$venv/"
