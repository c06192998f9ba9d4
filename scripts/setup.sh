#!/usr/bin/env bash
# Installs missing programs that the tests run through the tunnel, on Debian. On other
# systems it prints what is missing.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

packages=()
need() { # need PACKAGE PROGRAM...: any one of the programs is enough
	local package=$1 program
	shift
	for program; do
		if have "$program"; then return; fi
	done
	packages+=("$package")
}

need chromium chromium chromium-browser google-chrome
need openssh-server sshd
need openssh-client ssh
need rsync rsync
need git git
need make make
need curl curl
need wget wget
need socat socat
need proxychains4 proxychains4
need python3 python3
need iproute2 ip
need procps pkill
need util-linux unshare
need gcc cc gcc clang # needed by the race detector
# Only OpenBSD's netcat can close a single direction.
if ! have nc || ! nc -h 2>&1 | grep -q OpenBSD; then
	packages+=(netcat-openbsd)
fi
if [[ " ${packages[*]-} " == *" gcc "* ]]; then
	packages+=(libc6-dev)
fi

if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi
if ! have apt-get; then
	echo "missing; please install your system's packages for: ${packages[*]}" >&2
	exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! have sudo; then
		echo "missing; please run as root: apt-get install ${packages[*]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi
echo "installing: ${packages[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null; }
apt update
apt install --no-install-recommends "${packages[@]}"
