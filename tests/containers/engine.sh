#!/bin/sh
# A Docker engine for a machine without one: Debian's dockerd in namespaces of its own, with its own disk and network. Only Debian's packages
# are asked for, and nothing of the machine is changed but WORK, where images are kept for the next time (12 GB).
#   engine.sh WORK CHECKOUT       as root; returns when the engine answers
# Its process is in WORK/engine.pid, and the end of it ends all containers; that of its network in WORK/network.pid. Its socket is WORK/run/docker.sock, and the ports that containers
# publish are on the loopback of its network.
set -eu
WORK=$1 CHECKOUT=$2

for program in mmdebstrap slirp4netns; do
	command -v $program >/dev/null || {
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends mmdebstrap slirp4netns >/dev/null
	}
done

ENGINE=$WORK/engine
mkdir -p "$WORK/data" "$WORK/run" "$WORK/home"
if ! [ -x "$ENGINE/usr/sbin/dockerd" ]; then
	rm -rf "$ENGINE"
	mmdebstrap --variant=minbase --quiet \
		--include=ca-certificates,docker.io,docker-buildx,docker-cli,docker-compose,iproute2,iptables trixie "$ENGINE.made"
	mv "$ENGINE.made" "$ENGINE"
fi

cat >"$WORK/init.sh" <<INIT
set -eu
mount --make-rprivate /
mount --bind "$ENGINE" "$ENGINE"
mount --rbind /sys "$ENGINE/sys"
mount --rbind /dev "$ENGINE/dev"
mount -t proc proc "$ENGINE/proc"
mount -t tmpfs tmpfs "$ENGINE/run"
mkdir -p "$ENGINE$WORK" "$ENGINE$CHECKOUT" "$ENGINE/old"
mount --bind "$CHECKOUT" "$ENGINE$CHECKOUT"
mount --bind "$WORK" "$ENGINE$WORK"
cp /etc/resolv.conf "$ENGINE/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$ENGINE/etc/ssl/certs/" # with those that this machine trusts besides
ip link set lo up
cd "$ENGINE"
pivot_root . old
umount -l /old
until ip link show tap0 >/dev/null 2>&1; do sleep 0.1; done
exec dockerd --host "unix://$WORK/run/docker.sock" --data-root "$WORK/data" --exec-root /run/docker --pidfile /run/docker.pid --mtu 1400
INIT
rm -f "$WORK/run/docker.sock"
setsid unshare --mount --pid --net --uts --ipc --fork sh "$WORK/init.sh" >"$WORK/dockerd.log" 2>&1 </dev/null &
outer=$!
until pgrep -P $outer >"$WORK/engine.pid"; do sleep 0.1; done
setsid slirp4netns --configure --mtu=1400 --disable-host-loopback "$(cat "$WORK/engine.pid")" tap0 >"$WORK/network.log" 2>&1 </dev/null &
echo $! >"$WORK/network.pid"
for _ in $(seq 3000); do # with containers that a killed run has left, it answers when they have started again
	[ -S "$WORK/run/docker.sock" ] && grep -q "API listen" "$WORK/dockerd.log" && exit
	kill -0 $outer || break
	sleep 0.1
done
tail -20 "$WORK/dockerd.log" >&2
exit 1
