#!/usr/bin/env bash
# Compares senet with PyTorch on this machine; see cpu_compare.py for the arguments. Needs bin/senet (make build).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/pytorch/install.sh
scripts/deps.sh onnx
exec .deps/venv/bin/python bench/cpu_compare.py "$@"
