#!/usr/bin/env bash
# Converts a PyTorch checkpoint to safetensors: pth_to_safetensors.sh IN.pth OUT.safetensors. Installs PyTorch in .deps/venv.
set -euo pipefail
if [ $# != 2 ]; then
	echo "usage: $0 IN.pth OUT.safetensors" >&2
	exit 2
fi
here=$(dirname "$0")
"$here/pytorch/install.sh"
exec "$here/../.deps/venv/bin/python" "$here/pytorch/pth_to_safetensors.py" "$@"
