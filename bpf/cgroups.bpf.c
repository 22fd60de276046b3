// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Tells the agent that a directory appeared or vanished under the kubepods root, so that it looks again. Runs
 * inside mkdir(), before the pod's first process can exist. It is a notification, not the boundary: a pod that
 * the agent has not seen is unresolved, whatever happens here.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PATH_SIZE 512

/* The kubepods root's path from the hierarchy's root, without a trailing slash. Set before load. */
const volatile char kubepods_path[PATH_SIZE] = "";

/* One byte a change; the agent needs to know that, not what. Full: the periodic scan finds it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} cgroup_changes SEC(".maps");

struct scratch {
	char path[PATH_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline int notify(const char *path)
{
	__u32 zero = 0;
	struct scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
	__u8 changed = 1;

	if (!buffer || bpf_probe_read_kernel_str(buffer->path, sizeof(buffer->path), path) < 0)
		return 0;
	for (int i = 0; i < PATH_SIZE; i++) {
		char expected = kubepods_path[i];

		if (expected == 0) {
			if (buffer->path[i] == '/')
				bpf_ringbuf_output(&cgroup_changes, &changed, sizeof(changed), 0);
			return 0;
		}
		if (buffer->path[i] != expected)
			return 0;
	}
	return 0;
}

/* TP_PROTO(struct cgroup *cgrp, const char *path): the path is absolute, whatever namespace the agent is in. */
SEC("raw_tp/cgroup_mkdir")
int cgroup_mkdir(struct bpf_raw_tracepoint_args *ctx)
{
	return notify((const char *)ctx->args[1]);
}

SEC("raw_tp/cgroup_rmdir")
int cgroup_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	return notify((const char *)ctx->args[1]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
