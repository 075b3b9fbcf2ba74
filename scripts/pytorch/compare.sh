#!/usr/bin/env bash
# Compares `senet import` and `senet predict --logits` with timm on random weights, for the networks named as arguments or for
# all that timm has. Needs bin/senet (make build); installs PyTorch and timm in .deps/venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/pytorch/install.sh
exec .deps/venv/bin/python scripts/pytorch/compare.py "$@"
