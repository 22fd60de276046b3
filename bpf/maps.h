/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Every map of the decision path: who writes, who reads, and what a missing entry means.
 *
 * All are pinned, so that enforcement outlives the agent. Hash maps are unallocated
 * (BPF_F_NO_PREALLOC): the capacity is large and costs nothing until used. Nothing that holds policy or identity is
 * an LRU: a full LRU forgets silently, a full hash refuses the insert, and the agent says so.
 */
#ifndef PODGATE_MAPS_H
#define PODGATE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "sockets.h"

/* Which guard an address belongs to. Agent writes, connect reads. Missing: not guarded. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct destination_key);
	__type(value, __u32);
} destinations SEC(".maps");

/* The addresses of every node: on these, `node_ports` counts. Agent writes, connect reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__uint(key_size, 16);
	__uint(value_size, 4);
} node_addresses SEC(".maps");

/* Which guard a node port belongs to, in each family. Missing: not guarded. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, struct node_port_key);
	__type(value, __u32);
} node_ports SEC(".maps");

/*
 * The version in force, at the guard's number modulo GUARD_SLOTS: an array, because it costs a connect half of what a
 * hash does. Agent writes (one update switches every address of the guard). Another number there, or 0: deny, pending.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GUARD_SLOTS);
	__type(key, __u32);
	__type(value, struct guard);
} guards SEC(".maps");

/* The decisions. Agent writes all of a version before `guards` names it. Missing: deny, pending. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 21);
	__type(key, struct verdict_key);
	__type(value, struct verdict);
} verdicts SEC(".maps");

/* Pod number -> pod. Agent writes; connect reads a pod's own addresses; a restarted agent reads the numbers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct pod);
} pods SEC(".maps");

/* Id of a pod's cgroup directory -> pod. Missing: unresolved. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u64);
	__type(value, struct pod_ref);
} pods_by_cgroup SEC(".maps");

/* Network namespace cookie -> pod number. Missing: no evidence, the cgroup decides alone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 15);
	__type(key, __u64);
	__type(value, __u32);
} pods_by_netns SEC(".maps");

/* Where a forward goes. Missing: the target has no address in that family; deny, target-not-routable. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, struct forward_key);
	__type(value, struct forward);
} forwards SEC(".maps");

/* Verdict events for the agent. Full: counted as lost, the verdict stands. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* Events per caller and guard in the current window. Forgetting one means an extra log line, so it may be an LRU. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 14);
	__type(key, struct event_limit_key);
	__type(value, struct event_limit);
} event_limits SEC(".maps");

/*
 * What each CPU has to itself, in one place, because a connect touches most of it: exact counts of verdicts and of lost
 * events, which the agent reads, and who is over its limit.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/* One entry, always there. Agent writes, connect reads. All zeros: no agent has been here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct agent_state);
} agent_state SEC(".maps");

#endif
