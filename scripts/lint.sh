#!/usr/bin/env bash
# Everything about the source that needs no running: format, vet, staticcheck
# (its checks are in staticcheck.conf), and that the scripts parse.
set -euo pipefail
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	printf 'not formatted, make fmt mends it:\n%s\n' "$unformatted" >&2
	exit 1
fi
for script in scripts/*.sh .ci/run; do
	bash -n "$script"
done
for os in linux darwin windows; do # each has files of its own
	echo "go vet for $os"
	GOOS=$os go vet ./...
done
echo staticcheck
go run "$staticcheck" ./...
