#!/bin/sh
# Becomes a pod's program: enters its cgroup and namespaces first, so that its first instruction is already inside.
# usage: launch.sh CGROUP NETNS HOSTS HIDE WORKDIR PROGRAM [ARGUMENT...]
# HOSTS: a file to see as /etc/hosts; HIDE: directories of mounts to let go of, separated by ":". Both may be empty:
# then the program keeps the machine's mounts. An empty WORKDIR is /.
set -eu
cgroup=$1 netns=$2
shift 2
echo 0 >"$cgroup/cgroup.procs"
if [ -z "$1" ]; then
	workdir=${3:-/}
	shift 3
	# shellcheck disable=SC2016
	exec nsenter --net="$netns" -- sh -c 'cd "$1" && shift && exec "$@"' launch "$workdir" "$@"
fi
# shellcheck disable=SC2016
exec nsenter --net="$netns" -- unshare --mount --propagation private -- sh -euc '
mount --bind "$1" /etc/hosts
IFS=:
for directory in $2; do umount --lazy --recursive "$directory"; done
unset IFS
cd "${3:-/}"
shift 3
exec "$@"' launch "$@"
