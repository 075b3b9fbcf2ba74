#!/usr/bin/env bash
# Builds the archive that senet links in place of -lcuda; see stub.c. For each function that cuda.h
# declares, under the name that the driver exports (cuMemAlloc_v2), it holds a jump through a slot.
# A slot that the driver does not fill returns CUDA_ERROR_STUB_LIBRARY.
#
#   scripts/cuda/stub.sh --where    prints the folder of the archive, whether it is built or not
#   scripts/cuda/stub.sh            builds it; deps.sh calls this, one at a time
#
# Go's build cache does not see that an archive changed, so what it is made from is in the folder's name.
set -euo pipefail
cd "$(dirname "$0")/../.."

made_from=(scripts/requirements-cuda.txt scripts/cuda/stub.c scripts/cuda/stub.sh)
folder=.deps/cuda-stub/$(cat "${made_from[@]}" | sha256sum | cut -c1-16)
if [ "${1-}" = --where ]; then
	echo "$PWD/$folder"
	exit
fi
if [ -e "$folder/libcuda.a" ]; then exit; fi

new=.deps/new
rm -rf "$new"
mkdir -p "$new"
echo '#include <cuda.h>' | g++ -E -P -x c++ -I.deps/cuda/include - |
	grep -oE '\bcu[A-Z][A-Za-z0-9_]* *\(' | tr -d ' (' | sort -u >"$new/names"
[ "$(wc -l <"$new/names")" -gt 400 ] || {
	echo "stub: cuda.h declares fewer functions than it should" >&2
	exit 1
}

awk '
	BEGIN {
		print ".text"
		print "missing:\n\tmov $34, %eax\n\tret"
	}
	$1 != "cuInit" && $1 != "cuDeviceGetCount" {
		name[n++] = $1
		printf ".globl %s\n.hidden %s\n.type %s, @function\n%s:\n\tjmp *senet_cuda_slots+%d(%%rip)\n", $1, $1, $1, $1, 8 * (n - 1)
	}
	END {
		print ".section .rodata\n"
		for (i = 0; i < n; i++) printf "name%d: .asciz \"%s\"\n", i, name[i]
		print ".section .data.rel.ro, \"aw\"\n.balign 8\n.globl senet_cuda_names\n.hidden senet_cuda_names\nsenet_cuda_names:"
		for (i = 0; i < n; i++) printf "\t.quad name%d\n", i
		print "\t.quad 0"
		print ".data\n.balign 8\n.globl senet_cuda_slots\n.hidden senet_cuda_slots\nsenet_cuda_slots:"
		for (i = 0; i < n; i++) print "\t.quad missing"
		print ".section .note.GNU-stack, \"\", @progbits"
	}' "$new/names" >"$new/jumps.s"
g++ -c "$new/jumps.s" -o "$new/jumps.o"
g++ -x c -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -c scripts/cuda/stub.c -o "$new/stub.o"
# One object, so that whatever is linked from it brings the slots and what fills them.
g++ -r -nostdlib "$new/jumps.o" "$new/stub.o" -o "$new/cuda.o"
mkdir "$new/archive"
ar rcD "$new/archive/libcuda.a" "$new/cuda.o"
rm -rf .deps/cuda-stub
mkdir .deps/cuda-stub
mv -T "$new/archive" "$folder"
