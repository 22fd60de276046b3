#!/bin/sh
# Becomes a pod's program: enters its cgroup and namespaces first, so that its first instruction is already inside.
# usage: launch.sh CGROUP NETNS MNTNS WORKDIR PROGRAM [ARGUMENT...]
# Without MNTNS ("") the program keeps the machine's mounts; without WORKDIR it starts in /. Of where we are it learns nothing.
set -eu
echo 0 >"$1/cgroup.procs"
netns=$2 mntns=$3
shift 3
# shellcheck disable=SC2016
exec nsenter --net="$netns" ${mntns:+--mount="$mntns"} -- sh -euc 'cd "${1:-/}" && shift && unset OLDPWD && exec "$@"' launch "$@"
