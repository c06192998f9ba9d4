#!/usr/bin/env bash
# fuzz.sh [SECONDS]: runs every fuzz target for that long, one after the other;
# 10 if not said.
set -euo pipefail
cd "$(dirname "$0")/.."

# fuzz runs one target. A worker that is busy when the time is up makes go test fail
# with "context deadline exceeded" and no input. Whatever is wrong with the target
# itself comes with an input that shows it, or with a panic.
fuzz() {
	local log status=0
	log=$(mktemp)
	go test -run='^$' -fuzz="^$2\$" -fuzztime="$3s" "$1" </dev/null 2>&1 | tee "$log" || status=$?
	if [ "$status" -ne 0 ] && [ "$(grep -A1 '^--- FAIL: Fuzz' "$log" | tail -n 1 | tr -d ' ')" = contextdeadlineexceeded ] &&
		! grep -qE 'Failing input|panic|DATA RACE|hung or terminated' "$log"; then
		echo "$2: the time was up while a worker was busy; nothing was found"
		status=0
	fi
	rm -f "$log"
	return "$status"
}

grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort |
	while IFS=: read -r file func; do
		dir=$(dirname "$file")
		echo "== $dir ${func#func }"
		fuzz "$dir" "${func#func }" "${1:-10}"
	done
