#!/usr/bin/env bash
# Checks internal/cuda's use of cuDNN against the real library, without a GPU: the constants of cudnn_api.h against its
# header, and whether it has engines for every convolution of ResNet-50 in each precision, on the GPUs that
# cudnn_real_test.go describes. Prints a table. Fetches 1.3 GB once to FOLDER, and takes some minutes.
#
#   scripts/cuda/cudnn_check.sh [FOLDER]    default .deps/cudnn-check
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${1:-.deps/cudnn-check}
cublas="nvidia-cublas-cu12==12.9.1.4 --hash=sha256:453611eb21a7c1f2c2156ed9f3a45b691deda0440ec550860290dc901af5b4c2"
scripts/deps.sh build
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
{
	cat scripts/requirements-cudnn.txt
	echo "$cublas"
} >"$folder/wanted"
if ! cmp -s "$folder/wanted" "$folder/requirements.txt"; then
	rm -rf "$folder/wheels" "$folder/nvidia"
	python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		--dest "$folder/wheels" --requirement "$folder/wanted"
	for wheel in "$folder"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$folder"; done
	rm -rf "$folder/wheels"
	mv "$folder/wanted" "$folder/requirements.txt"
fi

# What cudnn_graph.h includes of the CUDA toolkit, as far as it needs it.
mkdir -p "$folder/include" "$folder/driver"
echo 'typedef struct CUstream_st* cudaStream_t; typedef struct CUgraph_st* cudaGraph_t;' >"$folder/include/cuda_runtime_api.h"
echo 'typedef enum { MAJOR_VERSION } libraryPropertyType;' >"$folder/include/library_types.h"
{
	printf '#include <stddef.h>\n#include <cudnn_graph.h>\n'
	grep -oE '\bCUDNN_[A-Z_0-9]+ = [0-9]+' internal/cuda/cudnn_api.h | sed -E 's/(.*) = (.*)/_Static_assert(\1 == \2, "\1");/'
} >"$folder/constants.c"
g++ -x c -fsyntax-only -I "$folder/include" -I "$folder/nvidia/cudnn/include" "$folder/constants.c"
echo "cudnn_api.h: $(grep -c _Static_assert "$folder/constants.c") constants agree with cudnn_graph.h"

g++ -x c -shared -fPIC -Wall -Wextra -Werror -Wl,-soname,libcuda.so.1 scripts/cuda/cudnn_check.c -o "$folder/driver/libcuda.so.1"
eval "$(make -s env)"
export SENET_CUDNN_CHECK=1
export LD_LIBRARY_PATH=$folder/driver:$folder/nvidia/cudnn/lib:$PWD/.deps/cuda/lib
# -gpu: not on the emulated driver, which loads only our own kernels.
go test -count 1 -timeout 30m -v -run '^TestRealCuDNN$' ./internal/cuda -args -gpu
