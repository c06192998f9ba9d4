#!/usr/bin/env bash
# bench.sh [OPTION...]: builds the program and runs tunnels bench with these options,
# after installing the programs to compare with (on Debian).
# bench.sh cmp [BASE]: compares the Go benchmarks of the hot paths of this tree with
# those of commit BASE, using benchstat. BASE is HEAD by default, or the commit before
# it if the tree has no changes.
set -euo pipefail
cd "$(dirname "$0")/.."

benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

# install_peers installs the programs to compare with. Without them the benchmark
# still runs, and reports that they are missing.
install_peers() {
	local packages=()
	have ssh || packages+=(openssh-client)
	have sshd || packages+=(openssh-server)
	have microsocks || packages+=(microsocks)
	if [ ${#packages[@]} -eq 0 ]; then
		return 0
	fi
	local as_root=()
	if [ "$(id -u)" -ne 0 ]; then
		as_root=(sudo)
	fi
	if ! have apt-get || { [ ${#as_root[@]} -gt 0 ] && ! have sudo; }; then
		echo "not installed and therefore not compared: ${packages[*]}" >&2
		return 0
	fi
	echo "installing: ${packages[*]}" >&2
	apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null >&2; }
	apt update && apt install --no-install-recommends "${packages[@]}" ||
		echo 'installation failed; continuing without them' >&2
}

# hot runs the benchmarks of code that every byte, frame or session passes through.
hot() {
	go test -run '^$' -bench . -benchmem -benchtime 200ms ./remux/... ./tls ./sla
}

compare() {
	local base=${1:-HEAD}
	if [ $# -eq 0 ] && [ -z "$(git status --porcelain)" ]; then
		base=HEAD~1
	fi
	work=$(mktemp -d)
	trap 'git worktree remove --force "$work/base" 2>/dev/null || true; rm -rf "$work"' EXIT
	git worktree add --quiet --detach "$work/base" "$base"
	echo "before: $(git log -1 --format='%h %s' "$base"), after: this tree" >&2
	for _ in 1 2 3 4 5 6; do # alternating, so that disturbances affect both
		(cd "$work/base" && hot) >>"$work/before"
		hot >>"$work/after"
	done
	go run "$benchstat" "before=$work/before" "after=$work/after"
}

if [ "${1-}" = cmp ]; then
	shift
	compare "$@"
	exit
fi
case " $* " in
*' -quick '* | *' -smoke '* | *' -systems '*) ;; # these need no other programs
*) install_peers ;;
esac
scripts/build.sh
mkdir -p bin
exec bin/tunnels bench "$@"
