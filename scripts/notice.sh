#!/usr/bin/env bash
# Fails if NOTICE lacks a Go module that is linked into senet, or names one that is not.
set -euo pipefail
cd "$(dirname "$0")/.."

linked=$(go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./cmd/senet | sort -u)
named=$(sed -n 's/^- \([a-z0-9.]*\.[a-z]*\/[^ ]*\): .*/\1/p' NOTICE | sort -u)
diff <(echo "$linked") <(echo "$named") || {
	echo "NOTICE: < is linked but not named, > is named but not linked" >&2
	exit 1
}
