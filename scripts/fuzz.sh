#!/usr/bin/env bash
# fuzz.sh [SECONDS]: runs every fuzz target for that long, one after the other;
# 10 if not said.
set -euo pipefail
cd "$(dirname "$0")/.."

grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort |
	while IFS=: read -r file func; do
		dir=$(dirname "$file")
		echo "== $dir ${func#func }"
		go test -run='^$' -fuzz="^${func#func }\$" -fuzztime="${1:-10}s" "$dir" </dev/null
	done
