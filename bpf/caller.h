/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Who calls connect(): the pod by its cgroup, with the network namespace as a witness that can only contradict. */
#ifndef PODGATE_CALLER_H
#define PODGATE_CALLER_H

#include "maps.h"

#define unlikely(condition) __builtin_expect(!!(condition), 0)
/* See decide.h on stale reads. */
#define after_copy() asm volatile("" ::: "memory")

/* Set before load. */
const volatile __u32 kubepods_level = 0;    /* depth of the cgroup that holds the pods' directories */
const volatile __u64 node_netns_cookie = 0; /* there, and only there, loopback reaches node ports; 0: unknown */

struct caller {
	__u64 cgroup; /* of the pod if there is one, else the caller's own */
	__u64 netns_cookie;
	struct pod_ref pod;
	__u32 subject; /* SUBJECT_POD plus the pod's number, or SUBJECT_UNRESOLVED; 0: the evidence contradicts itself */
};

/*
 * Stands for a caller without identity where events are counted: a directory that kubelet or a runtime made. Below
 * those a pod may make as many as it likes, and each would have a limit of its own.
 */
static __always_inline __u64 anonymous_cgroup(void)
{
	__u64 cgroup = bpf_get_current_ancestor_cgroup_id(kubepods_level + 2);

	if (!cgroup)
		cgroup = bpf_get_current_ancestor_cgroup_id(kubepods_level + 1);
	return cgroup ? cgroup : bpf_get_current_cgroup_id();
}

/* 0: the element has become another pod's while it was read. */
static __always_inline int copy_pod(const struct pod_ref *pod, struct caller *caller)
{
	caller->pod = *pod;
	after_copy();
	caller->subject = SUBJECT_POD | caller->pod.pod;
	return pod->cgroup == (__u32)caller->cgroup;
}

static __noinline void copy_pod_again(struct caller *caller)
{
	const struct pod_ref *pod = bpf_map_lookup_elem(&pods_by_cgroup, &caller->cgroup);

	if (!pod || !copy_pod(pod, caller))
		caller->subject = 0;
}

/*
 * Five reads, each of which waits for the one before: to be asked before the destination is looked up, so that both wait
 * together.
 */
static __always_inline __u64 cgroup_below_qos(void)
{
	return bpf_get_current_ancestor_cgroup_id(kubepods_level + 2);
}

/*
 * The pod is the directory directly under the kubepods root or under one of its QoS directories (`below_qos`, 0 if there is
 * none so deep); deeper names are the pod's to choose.
 */
static __always_inline void identify(struct bpf_sock_addr *ctx, __u64 below_qos, struct caller *caller)
{
	struct pod_ref *pod = 0;
	__u32 *owner;

	caller->cgroup = below_qos;
	if (below_qos)
		pod = bpf_map_lookup_elem(&pods_by_cgroup, &caller->cgroup);
	if (!pod) {
		caller->cgroup = bpf_get_current_ancestor_cgroup_id(kubepods_level + 1);
		pod = bpf_map_lookup_elem(&pods_by_cgroup, &caller->cgroup);
	}
	if (pod) {
		if (unlikely(!copy_pod(pod, caller)))
			copy_pod_again(caller);
	} else {
		caller->pod = (struct pod_ref){};
		caller->subject = SUBJECT_UNRESOLVED;
		caller->cgroup = anonymous_cgroup();
	}

	caller->netns_cookie = bpf_get_netns_cookie(ctx);
	if (caller->netns_cookie == caller->pod.netns_cookie) /* the usual case, without a lookup */
		return;
	owner = bpf_map_lookup_elem(&pods_by_netns, &caller->netns_cookie);
	if (owner && *owner != caller->pod.pod)
		caller->subject = 0;
}

#endif
