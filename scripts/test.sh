#!/usr/bin/env bash
# Runs all tests in random order with the race detector. Arguments are passed to go
# test: scripts/test.sh -run Pool
set -euo pipefail
cd "$(dirname "$0")/.."

if ! scripts/setup.sh; then
	echo 'continuing: tests that need the missing programs will fail' >&2
fi
race=-race
if [ "$(go env CGO_ENABLED)" != 1 ]; then
	echo 'no C compiler: running without the race detector' >&2
	race=''
fi
# shellcheck disable=SC2086 # an empty race must not become an argument
go test $race -shuffle=on -timeout=20m "$@" ./...
# The race detector changes allocations, so they are tested without it.
go test -run AllocateNothing ./remux/...
