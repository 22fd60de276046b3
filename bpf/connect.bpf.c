// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The source side: connect() of a pod's process is allowed, refused with EPERM, or sent elsewhere. */
#include "decide.h"

#define CONNECT_REJECT 0
#define CONNECT_PROCEED 1

static __always_inline void set_peer6(struct bpf_sock_addr *ctx, const union address *address)
{
	ctx->user_ip6[0] = address->words[0];
	ctx->user_ip6[1] = address->words[1];
	ctx->user_ip6[2] = address->words[2];
	ctx->user_ip6[3] = address->words[3];
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct flow flow = flow_from_connect4(ctx);
	int action = decide(ctx, &flow);

	if (action == ACTION_ALLOW)
		return CONNECT_PROCEED;
	/* Zero and whatever a corrupt map says refuse too. */
	if (action != ACTION_FORWARD && action != ACTION_PROXY)
		return CONNECT_REJECT;
	ctx->user_ip4 = flow.address.words[3];
	ctx->user_port = flow.port;
	return CONNECT_PROCEED;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct flow flow = flow_from_connect6(ctx);
	int action = decide(ctx, &flow);

	if (action == ACTION_ALLOW)
		return CONNECT_PROCEED;
	if (action != ACTION_FORWARD && action != ACTION_PROXY)
		return CONNECT_REJECT;
	set_peer6(ctx, &flow.address);
	ctx->user_port = flow.port;
	return CONNECT_PROCEED;
}

/* What a socket was dialled with, as long as its peer is still where it was sent. */
static __always_inline struct redirect *dialled_with(struct bpf_sock_addr *ctx, const union address *peer)
{
	struct forwarded *entry;

	if (!ctx->sk)
		return 0;
	entry = bpf_sk_storage_get(&forwarded, ctx->sk, 0, 0);
	if (!entry || entry->peer_port != (__be16)ctx->user_port)
		return 0;
	return is_address(entry->peer, peer) ? &entry->redirect : 0;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	union address peer;
	struct redirect *entry;

	set_v4(&peer, ctx->user_ip4);
	entry = dialled_with(ctx, &peer);
	if (entry) {
		__builtin_memcpy(peer.bytes, entry->dialled, 16);
		ctx->user_ip4 = peer.words[3];
		ctx->user_port = entry->dialled_port;
	}
	return CONNECT_PROCEED;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	union address peer = peer6(ctx);
	struct redirect *entry;

	entry = dialled_with(ctx, &peer);
	if (entry) {
		__builtin_memcpy(peer.bytes, entry->dialled, 16);
		set_peer6(ctx, &peer);
		ctx->user_port = entry->dialled_port;
	}
	return CONNECT_PROCEED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
