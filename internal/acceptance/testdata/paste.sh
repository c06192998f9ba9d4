#!/usr/bin/env bash
# paste.sh DIR runs README's commands, from DIR/blocks, as if on a separate machine: with
# its own /etc, /usr/local/bin, /var/log, network and processes. Needs root.
# DIR/src is the source folder, including bin/tunnels.
set -euo pipefail

if [ "${2-}" != inside ]; then
	exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$1" inside
fi
export W=$1
mkdir -p "$W"/{etc,local,log,vps,laptop,fake,www}
cp -a /etc/. "$W/etc"
mount --bind "$W/etc" /etc
mount --bind "$W/local" /usr/local/bin
mount --bind "$W/log" /var/log
export PATH=$W/fake:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
echo '127.0.0.1 vps.example.com' >>/etc/hosts

# The Internet is a page at 198.51.100.7.
echo 'hello from the Internet' >"$W/www/index.html"
ip link set lo up
unshare --net sleep infinity &
net=$!
while [ "$(readlink /proc/$net/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
ip link add v0 type veth peer name v1 netns $net
ip addr add 198.51.100.1/24 dev v0
ip link set v0 up
nsenter --net=/proc/$net/ns/net sh -c 'ip addr add 198.51.100.7/24 dev v1 && ip link set v1 up'
nsenter --net=/proc/$net/ns/net python3 -m http.server -d "$W/www" 80 >/dev/null 2>&1 &

cat >"$W/fake/sudo" <<'END'
#!/bin/sh
exec "$@"
END
# scp FROM TO copies files. vps.example.com stands for the folder vps on this machine.
cat >"$W/fake/scp" <<'END'
#!/bin/bash
at() {
	case $1 in
	root@vps.example.com:/*) echo "${1#*:}" ;;
	root@vps.example.com:*) echo "$W/vps/${1#*:}" ;;
	*) echo "$1" ;;
	esac
}
exec cp "$(at "$1")" "$(at "$2")"
END
# systemctl runs a unit's ExecStart as the unit's user.
cat >"$W/fake/systemctl" <<'END'
#!/bin/bash
set -eu
unit=/etc/systemd/system/tunnels.service name=server verify=()
if [ "$1" = --user ]; then
	shift
	unit=$HOME/.config/systemd/user/tunnels.service name=client verify=(--user)
fi
start() {
	if command -v systemd-analyze >/dev/null; then
		XDG_RUNTIME_DIR=$W/log systemd-analyze "${verify[@]}" verify "$unit" >&2
	fi
	cmd=$(sed -n 's/^ExecStart=//p' "$unit")
	who=$(sed -n 's/^User=//p' "$unit")
	as=()
	if [ -n "$who" ]; then
		as=(setpriv --reuid "$who" --regid "$who" --clear-groups --inh-caps=+net_bind_service --ambient-caps=+net_bind_service)
	fi
	"${as[@]}" ${cmd//%E/$HOME/.config} >>"$W/$name.log" 2>&1 </dev/null &
	echo $! >"$W/$name.pid"
	# Wait for the exec, because the next command may replace the binary.
	while kill -0 $! 2>/dev/null && [ "$(cat /proc/$!/comm)" != tunnels ]; do sleep 0.05; done
}
stop() {
	kill "$(cat "$W/$name.pid")"
	while kill -0 "$(cat "$W/$name.pid")" 2>/dev/null; do sleep 0.05; done
}
case "$*" in
daemon-reload) test -s "$unit" ;; # the unit must exist by now
'enable --now tunnels') start ;;
'restart tunnels') stop && start ;;
'disable --now tunnels') stop ;;
*) echo "systemctl $*: not supported here" >&2 && exit 1 ;;
esac
END
chmod +x "$W"/fake/*

# paste BLOCK HOME FOLDER runs a block of commands.
paste() {
	echo "== $1"
	(cd "$3" && HOME=$2 bash -eu "$W/blocks/$1")
}
# fetch retries until it gets the page.
fetch() {
	curl -sS --retry 60 --retry-all-errors --retry-delay 1 --max-time 20 -x socks5h://127.0.0.1:1080 http://198.51.100.7/ 2>>"$W/curl.log" || {
		tail -n 50 "$W"/*.log >&2
		return 1
	}
}

paste install "$W/laptop" "$W/src"
paste certs "$W/vps" "$W/vps"
paste server "$W/vps" "$W/vps/certs" & # it stays in the foreground
server=$!
paste client "$W/laptop" "$W/laptop" &
client=$!
fetch
pkill -x tunnels # Ctrl-C
wait $server $client
paste service-server "$W/vps" "$W/vps"
paste service-client "$W/laptop" "$W/laptop"
fetch
stat -c '%U %a %n' /etc/tunnels/ca.key
paste upgrade-client "$W/laptop" "$W/src"
paste upgrade-server "$W/vps" "$W/vps"
fetch

echo 'server.adr = :443' >>/etc/tunnels/tunnels.conf
status=0
tunnels -config /etc/tunnels/tunnels.conf || status=$?
echo "exit code $status for an invalid configuration"

paste uninstall "$W/vps" "$W/vps"
paste uninstall-client "$W/laptop" "$W/laptop"
ls /etc/tunnels /usr/local/bin/tunnels /etc/systemd/system/tunnels.service "$W"/laptop/.config/tunnels 2>/dev/null || echo 'nothing is left'
