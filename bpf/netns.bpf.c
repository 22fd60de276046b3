// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Lists, for every process under the kubepods root, its pod's possible cgroups and its network namespace's cookie.
 * The agent reads it to learn which namespace belongs to which pod, without entering any. Needs kernel BTF;
 * where it does not load, namespaces are no evidence and the cgroup decides alone.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "kernel.h"

const volatile __u64 kubepods_cgroup = 0; /* id of the kubepods root; set before load */

#define MAX_DEPTH 24

static __always_inline __u64 ancestor_id(struct cgroup *cgroup, int level)
{
	struct cgroup *ancestor = 0;
	__u64 id = 0;

	if (bpf_core_field_exists(cgroup->ancestors)) {
		bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]);
		return ancestor ? BPF_CORE_READ(ancestor, kn, id) : 0;
	}
	bpf_core_read(&id, sizeof(id), &((struct cgroup___before_6_1 *)cgroup)->ancestor_ids[level]);
	return id;
}

SEC("iter/task")
int task_netns(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_netns line = {};
	struct cgroup *cgroup;
	struct net *net;
	int level, i;

	/* A process with a thousand threads is one line. A thread in a namespace of its own is no evidence. */
	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	net = BPF_CORE_READ(task, nsproxy, net_ns); /* NULL: the task is exiting */
	if (!cgroup || !net)
		return 0;
	level = BPF_CORE_READ(cgroup, level);
	for (i = 0; i < MAX_DEPTH && i <= level; i++) {
		if (ancestor_id(cgroup, i) != kubepods_cgroup)
			continue;
		line.netns_cookie = BPF_CORE_READ(net, net_cookie);
		line.child = i + 1 <= level ? ancestor_id(cgroup, i + 1) : 0;
		line.grandchild = i + 2 <= level ? ancestor_id(cgroup, i + 2) : 0;
		line.root_level = i;
		bpf_seq_write(ctx->meta->seq, &line, sizeof(line));
		return 0;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
