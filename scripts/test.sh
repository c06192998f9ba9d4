#!/usr/bin/env bash
# All tests, in any order, under the race detector. Arguments are passed on to
# go test: scripts/test.sh -run Pool
set -euo pipefail
cd "$(dirname "$0")/.."

if ! scripts/setup.sh; then
	echo 'going on without: tests that need what is missing will fail' >&2
fi
race=-race
if [ "$(go env CGO_ENABLED)" != 1 ]; then
	echo 'no C compiler, so without the race detector' >&2
	race=''
fi
# shellcheck disable=SC2086 # an empty race is no argument
go test $race -shuffle=on -timeout=20m "$@" ./...
# What the race detector would change is tested without it.
go test -run AllocateNothing ./remux
