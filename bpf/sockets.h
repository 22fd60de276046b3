/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The maps of connections that went elsewhere than they were dialled: connect notes on the socket what it was about, and
 * once the socket has its port, sockops makes that known by what others see of it.
 */
#ifndef PODGATE_SOCKETS_H
#define PODGATE_SOCKETS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* What a socket was dialled with. Written by connect, read by getpeername and sockops; dies with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct forwarded);
} forwarded SEC(".maps");

/*
 * Network namespace cookie -> where the proxy listens in it. Agent writes, connect and sockops read. Missing: `proxy` is
 * refused. Written once: what changes is in `note_counts`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 15);
	__type(key, __u64);
	__type(value, struct listener);
} listeners SEC(".maps");

/*
 * Of the namespace with slot n. 2n: how many notes there have been since its listener is there, less those that sockops
 * deleted, which alone writes it then. 2n + 1: the most that may be; the agent writes it: what it has taken, and how many
 * may wait. Both wrap around.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << 16);
	__type(key, __u32);
	__type(value, __u32);
} note_counts SEC(".maps");

/*
 * The notes: connections to the proxy that it has not decided. sockops writes before the first packet leaves and deletes
 * when the socket closes; the agent deletes what it takes. Of one namespace no more than `note_counts` says. Missing, or
 * full: the proxy resets the connection.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17); /* 131 pods with 1000 each */
	__type(key, struct redirect_key);
	__type(value, struct redirect);
} redirects SEC(".maps");

/*
 * Socket cookie -> a connection that a policy forwarded, as long as it is open. sockops writes and deletes; the agent
 * reads, to judge it again. A map of its own, so that many of them leave the proxy its room. Missing: what was dialled is not known.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u64);
	__type(value, struct redirect);
} forwarded_sockets SEC(".maps");

static __always_inline __u32 *notes_made(const struct listener *listener)
{
	__u32 index = listener->slot * 2;

	return bpf_map_lookup_elem(&note_counts, &index);
}

/* How many more there may be. */
static __always_inline __s32 notes_left(const struct listener *listener, const volatile __u32 *made)
{
	__u32 index = listener->slot * 2 + 1;
	volatile __u32 *most = bpf_map_lookup_elem(&note_counts, &index);

	return made && most ? (__s32)(*most - *made) : 0;
}

#endif
