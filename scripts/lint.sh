#!/usr/bin/env bash
# Static checks of the source: format, vet, staticcheck (configured in
# staticcheck.conf), and the syntax of the scripts.
set -euo pipefail
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	printf 'not formatted; run make fmt:\n%s\n' "$unformatted" >&2
	exit 1
fi
for script in scripts/*.sh .ci/run; do
	bash -n "$script"
done
for os in linux darwin windows; do # each has its own files
	echo "go vet for $os"
	GOOS=$os go vet ./...
done
echo staticcheck
go run "$staticcheck" ./...
