#!/usr/bin/env bash
# Runs every fuzz target of the repository for the time in $1 (30s), one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd internal) || {
	echo "fuzz: there are no fuzz targets" >&2
	exit 1
}
while IFS=: read -r file declaration; do
	target=${declaration#func }
	echo "fuzz: $target in $(dirname "$file")"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" "./$(dirname "$file")"
done <<<"$targets"
