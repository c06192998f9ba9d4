#!/usr/bin/env bash
# busy.sh [PACKAGE...]: runs the tests alongside 8 busy loops. If a test passes only on an
# idle machine, the test or the product has a bug.
# Without PACKAGE it tests the packages that changed since commit BASE, by default the
# newest commit more than a day old, or all packages if there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

changed() {
	local base=${BASE:-$(git rev-list -1 --before='24 hours ago' HEAD 2>/dev/null || true)}
	if [ -z "$base" ]; then
		echo ./...
		return
	fi
	git diff --name-only "$base" -- '*.go' | while read -r file; do
		dirname "$file"
	done | sort -u | while read -r dir; do
		dir=${dir%/testdata*}
		if compgen -G "$dir/*_test.go" >/dev/null; then
			echo "./$dir"
		fi
	done | sort -u
}

if [ $# -eq 0 ]; then
	mapfile -t packages < <(changed)
	if [ ${#packages[@]} -eq 0 ]; then
		echo 'no package has changed'
		exit 0
	fi
	set -- "${packages[@]}"
fi

loops=()
for _ in 1 2 3 4 5 6 7 8; do
	while :; do :; done &
	loops+=($!)
done
trap 'kill "${loops[@]}" 2>/dev/null || true' EXIT
go test -count=1 -shuffle=on -timeout=20m "$@"
