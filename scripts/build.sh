#!/usr/bin/env bash
# build.sh [FILE]: builds the program, static and without paths of this machine.
# GOOS and GOARCH choose another system.
set -euo pipefail
cd "$(dirname "$0")/.."

# Outside of a repository, as in an unpacked archive, there is nothing to ask.
version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
CGO_ENABLED=0 go build -buildvcs=false -trimpath \
	-ldflags "-s -w -X tunnels/internal/cli.version=$version" -o "${1:-bin/tunnels}" .
