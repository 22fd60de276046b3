/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where a connection goes that neither proceeds as dialled nor is refused: a forward's target, or the proxy. */
#ifndef PODGATE_REDIRECT_H
#define PODGATE_REDIRECT_H

#include "caller.h"
#include "flow.h"
#include "maps.h"

#define AGENT_DEPTH 6 /* how far below the kubepods root the agent's own cgroup may be */

/* A verdict that no policy has made. */
static __always_inline void settle(struct verdict *verdict, enum action action, enum reason reason)
{
	*verdict = (struct verdict){
		.action = action,
		.reason = reason,
		.rule = NO_RULE,
		.audited_rule = NO_RULE,
	};
}

/* Keeps which policy and rule it was: they say for whose sake the connection could not be decided. */
static __always_inline void refuse_for(struct verdict *verdict, enum reason reason)
{
	verdict->action = ACTION_DENY;
	verdict->reason = reason;
}

/* Whether the caller is the agent, by its cgroup and nothing that a pod could choose. */
static __always_inline int is_agent(void)
{
	__u32 zero = 0;
	struct agent_state *agent = bpf_map_lookup_elem(&agent_state, &zero);
	__u64 cgroup;

	if (!agent || !agent->cgroup)
		return 0;
	for (int depth = 1; depth <= AGENT_DEPTH; depth++) {
		cgroup = bpf_get_current_ancestor_cgroup_id(kubepods_level + depth);
		if (!cgroup)
			return 0;
		if (cgroup == agent->cgroup)
			return 1;
	}
	return 0;
}

/* A heartbeat from the future is none either: whoever wrote it has another clock. */
static __always_inline int is_agent_down(void)
{
	__u32 zero = 0;
	struct agent_state *agent = bpf_map_lookup_elem(&agent_state, &zero);

	return !agent || !agent->heartbeat || bpf_ktime_get_boot_ns() - agent->heartbeat > agent->timeout_ns;
}

/*
 * Points `peer` at the proxy's listener. Returns 0, or the enum reason why there is none for this connection. The node's
 * own namespace has no listener, and whoever says so is wrong. MPTCP comes as the TCP socket of its first subflow, which
 * sockops sees too (6.18); of an MPTCP socket as such it would see another.
 */
static __always_inline __u8 find_listener(struct bpf_sock_addr *ctx, const struct caller *caller, struct flow *peer)
{
	struct listener *listener = bpf_map_lookup_elem(&listeners, &caller->netns_cookie);
	__be16 port;

	if (!listener || !node_netns_cookie || caller->netns_cookie == node_netns_cookie ||
	    ctx->protocol != IPPROTO_TCP)
		return REASON_PENDING;
	/* Its packets to loopback would go out there, and the application wait for minutes. */
	if (ctx->sk && ctx->sk->bound_dev_if)
		return REASON_TARGET_NOT_ROUTABLE;
	if (notes_left(listener, notes_made(listener)) <= 0)
		return REASON_OVER_LIMIT;
	port = peer->family == 4 ? listener->port4 : listener->port6;
	if (!port)
		return REASON_PENDING;
	peer->port = port;
	if (peer->family == 4) {
		set_v4(&peer->address, bpf_htonl(0x7f000001));
	} else {
		peer->address.halves[0] = 0;
		peer->address.halves[1] = bpf_cpu_to_be64(1);
	}
	return 0;
}

/*
 * Notes on the socket who dialled what. 0 if there is no memory for that: the connect is refused then, because the proxy
 * would not know whose it is, and a client that checks its peer would see an address it never asked for.
 */
static __always_inline int remember(struct bpf_sock_addr *ctx, const struct caller *caller, const struct flow *dialled,
				    const struct flow *target, const struct verdict *verdict, const struct flow *peer)
{
	struct forwarded *entry;
	struct redirect *redirect;

	if (!ctx->sk)
		return 0;
	entry = bpf_sk_storage_get(&forwarded, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!entry)
		return 0;
	redirect = &entry->redirect;
	redirect->time = bpf_ktime_get_boot_ns();
	redirect->cgroup = caller->cgroup;
	redirect->netns_cookie = caller->netns_cookie;
	redirect->socket = bpf_get_socket_cookie(ctx);
	__builtin_memcpy(redirect->dialled, dialled->address.bytes, 16);
	__builtin_memcpy(redirect->target, target->address.bytes, 16);
	redirect->pod = caller->pod.pod;
	redirect->guard = verdict->guard;
	redirect->pid = bpf_get_current_pid_tgid() >> 32;
	redirect->dialled_port = dialled->port;
	redirect->target_port = target->port;
	redirect->action = verdict->action;
	redirect->layer = dialled->layer;
	redirect->family = dialled->family;
	bpf_get_current_comm(redirect->comm, sizeof(redirect->comm));
	__builtin_memcpy(entry->peer, peer->address.bytes, 16);
	entry->peer_port = peer->port;
	entry->fresh = 1;
	return 1;
}

static __always_inline int is_same(const struct flow *one, const struct flow *other)
{
	return is_address(one->address.bytes, &other->address) && one->port == other->port;
}

/*
 * Carries out ACTION_FORWARD and ACTION_PROXY: `flow`, which is what the verdict is about, becomes where the connection goes.
 * What cannot be carried out becomes a refusal in `verdict`; with no agent to ask, what the policy says for that case.
 */
static __noinline void redirect(struct bpf_sock_addr *ctx, const struct caller *caller, const struct flow *dialled,
				struct flow *flow, struct verdict *verdict)
{
	struct flow peer = *flow;
	__u8 obstacle;

	if (verdict->action == ACTION_PROXY && is_agent_down()) {
		refuse_for(verdict, REASON_AGENT_DOWN);
		if (verdict->forward == ON_AGENT_DOWN_ALLOW)
			verdict->action = is_same(dialled, flow) ? ACTION_ALLOW : ACTION_FORWARD;
	} else if (verdict->action == ACTION_PROXY) {
		obstacle = find_listener(ctx, caller, &peer);
		if (obstacle)
			refuse_for(verdict, obstacle);
	}
	if (verdict->action != ACTION_FORWARD && verdict->action != ACTION_PROXY)
		return;
	if (!remember(ctx, caller, dialled, flow, verdict, &peer))
		refuse_for(verdict, REASON_OVER_LIMIT);
	else if (verdict->action == ACTION_PROXY)
		*flow = peer;
}

#endif
