/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the kernel programs and the agent share: map keys, map values and events. agent/dataplane/abi.ts
 * holds the same offsets; a test compares them through this object's BTF.
 *
 * Fixed width, padding named. A hole that the compiler chose would be part of a map key without a defined
 * value, and a lookup that misses for that reason opens instead of refusing; so -Wpadded is an error here.
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Zero is never a valid action or number.
 */
#ifndef PODGATE_ABI_H
#define PODGATE_ABI_H

#include <linux/types.h>

#pragma clang diagnostic push
#pragma clang diagnostic error "-Wpadded"

enum action {
	ACTION_ALLOW = 1,
	ACTION_DENY = 2,
	ACTION_FORWARD = 3,
	ACTION_PROXY = 4,
};

enum reason {
	REASON_RULE = 1,
	REASON_FELL_THROUGH = 2,
	REASON_EXPRESSION_ERROR = 3,
	REASON_POLICY_INVALID = 4,
	REASON_TARGET_NOT_FOUND = 5,
	REASON_TARGET_NOT_ROUTABLE = 6,
	REASON_CONFLICT = 7,
	REASON_LOOP = 8,
	REASON_IDENTITY_MISMATCH = 9,
	REASON_PENDING = 10,
	REASON_AGENT_DOWN = 11,
	REASON_OVER_LIMIT = 12,
	REASON_SPOOFED_SOURCE = 13,
	REASON_REVOKED = 14,
	REASON_SELF = 15, /* a pod to its own address, or the agent: allowed, counted, not logged */
};

enum layer {
	LAYER_CONNECT4 = 1,
	LAYER_CONNECT6 = 2,
};

/* Whom a verdict is about: one of these, plus the number of the namespace or pod. */
#define SUBJECT_UNRESOLVED 0x40000000u /* every caller without an identity */
#define SUBJECT_NAMESPACE 0x80000000u
#define SUBJECT_POD 0xc0000000u

#define GUARD_PER_POD 1u /* guard.flags: verdicts are kept per pod, not per namespace */
#define POD_OVERSIZED 1u /* pod_ref.flags: ERR_NGROK_28000, so the pod has verdicts of its own everywhere */
#define NO_RULE 0xffff	 /* verdict.rule: no rule decided */
#define ON_AGENT_DOWN_ALLOW 1u /* verdict.forward of ACTION_PROXY: without an agent it is allowed, not refused */

#define GUARD_SLOTS (1u << 17)
#define EVENT_RECENTS 64

#define COUNTER_REASONS 16
#define COUNTER_SLOTS 128 /* action * COUNTER_REASONS + reason; slot 0: destination not guarded */

struct destination_key {
	__u8 address[16];
	__be16 port;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad[5];   /* keys are compared by eight bytes, a rest one by one */
};

struct node_port_key {
	__be16 port;
	__u8 protocol;
	__u8 is_ipv6;
};

/* The current version of a guard. Replaced as a whole; `number` says whose slot it is (see decide.h on stale reads). */
struct guard {
	__u32 number;
	__u32 version;
	__u32 flags;
};

struct verdict_key {
	__u32 version;
	__u32 subject;
};

/* `version` and `subject` repeat the key, `guard` says whose version that is. */
struct verdict {
	__u32 guard;
	__u32 version;
	__u32 subject;
	__u32 policy;  /* number of the deciding policy object; 0: none */
	__u32 forward; /* key of `forwards` when action is ACTION_FORWARD, ON_AGENT_DOWN_ALLOW or 0 when ACTION_PROXY */
	__u32 audited_policy;
	__u16 rule; /* NO_RULE: none */
	__u16 audited_rule;
	__u8 action;
	__u8 reason;
	__u8 audited_action; /* 0: audited policies agree with what is enforced */
	__u8 audited_reason;
} __attribute__((aligned(8)));

/* What the connect hook needs of the caller, found by its cgroup. */
struct pod_ref {
	__u32 pod;
	__u32 namespace_number;
	__u32 flags;
	__u32 cgroup;	    /* the lower half of the key */
	__u64 netns_cookie; /* of a namespace that `pods_by_netns` has as this pod's; 0: there is none */
};

#define POD_ADDRESSES 4

/* A local pod. The programs read its addresses; a restarted agent reads who has which number. */
struct pod {
	__u8 uid[40]; /* text, NUL-padded */
	__u32 namespace_number;
	__u32 flags;
	__u8 addresses[POD_ADDRESSES][16]; /* :: where there are fewer */
};

struct forward_key {
	__u32 forward;
	__u32 family; /* 4 or 6 */
};

struct forward {
	__u8 address[16];
	__be16 port;
	__u16 pad;
};

/* Which (caller, guard) had how many events in the current window. */
struct event_limit_key {
	__u64 caller; /* cgroup id */
	__u32 guard;
	__u32 pad;
};

struct event_limit {
	__u64 window_start; /* CLOCK_BOOTTIME, ns */
	__u32 sent;
	__u32 suppressed;
};

/* Whose limit was used up in which tick of the kernel (jiffies), and how many events were left out since unasked. */
struct event_recent {
	__u64 caller;
	__u64 tick;
	__u32 guard;
	__u32 suppressed;
	__u64 pad; /* none lies in two cache lines */
};

struct counters {
	__u64 verdicts[COUNTER_SLOTS];
	struct event_recent recents[EVENT_RECENTS];
	__u64 lost; /* events that found the ring buffer full */
};

struct event {
	__u64 time; /* CLOCK_BOOTTIME, ns */
	__u64 cgroup;
	__u64 netns_cookie;
	__u32 pod; /* 0: unresolved */
	__u32 guard;
	__u32 pid; /* in the initial PID namespace */
	__u32 policy;
	__u32 audited_policy;
	__u32 suppressed; /* events of this caller and guard left out since the last one */
	__u8 dialled[16]; /* what the caller asked for */
	__u8 target[16];  /* what the verdict is about: differs after a forward */
	__be16 dialled_port;
	__be16 target_port;
	__u16 rule;
	__u16 audited_rule;
	__u8 action;
	__u8 reason;
	__u8 audited_action;
	__u8 audited_reason;
	__u8 layer;
	__u8 pad[3];
	__u8 comm[16];
};

/* One line of the namespace scan: a process of a pod and the namespace it is in. */
struct task_netns {
	__u64 netns_cookie;
	__u64 child;	  /* id of the ancestor directly under the kubepods root, 0: none */
	__u64 grandchild; /* and of the one below it, 0: none */
	__u32 root_level; /* the kubepods root's depth in the whole hierarchy, which a cgroup namespace hides */
	__u32 pad;
};

/* The proxy's listening sockets on 127.0.0.1 and ::1 of a network namespace; port 0: none in that family. */
struct listener {
	__be16 port4;
	__be16 port6;
	__u32 slot; /* its namespace's, in `note_counts` */
};

/* The agent's sign of life, and whose connects are not judged. */
struct agent_state {
	__u64 heartbeat;  /* CLOCK_BOOTTIME, ns; 0: no agent */
	__u64 cgroup;	  /* the agent's own or one above it, below the kubepods root; 0: it is elsewhere */
	__u64 timeout_ns; /* an older heartbeat means that there is no agent */
};

/* What the proxy sees of an accepted connection: no two that are open have it in common. */
struct redirect_key {
	__u64 netns_cookie;
	__u8 source[16]; /* the client's own address, and its port in host order */
	__u16 port;
	__u8 family; /* 4 or 6, as the listener sees the client */
	__u8 pad[5]; /* keys are compared by eight bytes */
};

/* A connection that went elsewhere than it was dialled: who asked for what. */
struct redirect {
	__u64 time; /* CLOCK_BOOTTIME, ns */
	__u64 cgroup;
	__u64 netns_cookie;
	__u64 socket; /* cookie, as sock_diag shows it */
	__u8 dialled[16];
	__u8 target[16]; /* of a forward: where it went; of ACTION_PROXY: what the verdict `proxy` was about */
	__u8 source[16]; /* the client's own address */
	__u32 pod;	 /* 0: unresolved */
	__u32 guard;
	__u32 pid; /* in the initial PID namespace */
	__be16 dialled_port;
	__be16 target_port;
	__u8 action; /* ACTION_PROXY or ACTION_FORWARD */
	__u8 layer;
	__u8 family; /* 4 or 6, as in the packets */
	__u8 pad[5];
	__u8 comm[16];
};

/* A socket's own record of it. */
struct forwarded {
	struct redirect redirect;
	__u8 peer[16]; /* where the socket was sent; another peer means that it has been used again */
	__be16 peer_port;
	__u8 fresh; /* set by connect, taken by sockops: one entry for each connect() */
	__u8 pad[5];
};

#pragma clang diagnostic pop

_Static_assert(sizeof(struct destination_key) == 24, "destination_key is part of the map ABI");
_Static_assert(sizeof(struct node_port_key) == 4, "node_port_key is part of the map ABI");
_Static_assert(sizeof(struct guard) == 12, "guard is part of the map ABI");
_Static_assert(sizeof(struct verdict_key) == 8, "verdict_key is part of the map ABI");
_Static_assert(sizeof(struct verdict) == 32, "verdict is part of the map ABI");
_Static_assert(sizeof(struct pod_ref) == 24, "pod_ref is part of the map ABI");
_Static_assert(sizeof(struct pod) == 112, "pod is part of the map ABI");
_Static_assert(sizeof(struct event) == 112, "event is part of the ring buffer ABI");
_Static_assert(sizeof(struct listener) == 8, "listener is part of the map ABI");
_Static_assert(sizeof(struct agent_state) == 24, "agent_state is part of the map ABI");
_Static_assert(sizeof(struct redirect_key) == 32, "redirect_key is part of the map ABI");
_Static_assert(sizeof(struct redirect) == 120, "redirect is part of the map ABI");

#endif
