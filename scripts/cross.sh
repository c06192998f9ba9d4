#!/usr/bin/env bash
# Builds the program for every supported system.
set -euo pipefail
cd "$(dirname "$0")/.."

for os in linux darwin windows; do
	for arch in amd64 arm64; do
		suffix=''
		[ "$os" = windows ] && suffix=.exe
		echo "$os/$arch"
		GOOS=$os GOARCH=$arch scripts/build.sh "bin/tunnels-$os-$arch$suffix"
	done
done
