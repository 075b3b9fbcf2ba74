#!/usr/bin/env bash
# Compares decoding and resizing of images with Pillow and torchvision on this machine; see data_compare.py.
# Takes the number of rounds; PILLOW_SIMD may name a Python that has pillow-simd.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh build data
scripts/pytorch/install.sh
binary=$(mktemp)
trap 'rm -f "$binary"' EXIT
go test -c -o "$binary" ./internal/data/picture
.deps/venv/bin/python bench/data_compare.py "$binary" "$@"
