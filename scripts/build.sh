#!/usr/bin/env bash
# build.sh [FILE]: builds the program, statically linked and without paths of this machine.
# GOOS and GOARCH select another system.
set -euo pipefail
cd "$(dirname "$0")/.."

# Outside a repository, as in an unpacked archive, the version is unknown.
version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
CGO_ENABLED=0 go build -buildvcs=false -trimpath \
	-ldflags "-s -w -X tunnels/internal/cli.version=$version" -o "${1:-bin/tunnels}" .
