/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* From a hook's context to a `struct flow`: the only place that knows how a context spells an address. */
#ifndef PODGATE_FLOW_H
#define PODGATE_FLOW_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Written in halves, not in words: a half that is read after two writes makes the processor wait for both. */
union address {
	__u8 bytes[16];
	__be32 words[4];
	__u64 halves[2];
};

struct flow {
	union address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP, or 0 for what is not judged */
	__u8 family;   /* 4 or 6, as the packet will be: a v4-mapped address is 4 */
	__u8 layer;    /* enum layer */
};

static __always_inline int is_v4_mapped(const union address *address)
{
	return address->halves[0] == 0 && address->words[2] == bpf_htonl(0xffff);
}

/* `bytes`: 16, at a multiple of eight. */
static __always_inline int is_address(const __u8 *bytes, const union address *address)
{
	const __u64 *halves = (const __u64 *)bytes;

	return halves[0] == address->halves[0] && halves[1] == address->halves[1];
}

/* TCP in every form that reaches the hook: connect, Fast Open, io_uring; MPTCP shows itself as TCP or by its own number. */
static __always_inline __u8 judged_protocol(__u32 type, __u32 protocol)
{
	return type == 1 /* SOCK_STREAM */ && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP) ? IPPROTO_TCP : 0;
}

static __always_inline void set_v4(union address *address, __be32 v4)
{
	address->halves[0] = 0;
	address->halves[1] = bpf_htonl(0xffff) | (__u64)v4 << 32;
}

static __always_inline struct flow flow_from_connect4(struct bpf_sock_addr *ctx)
{
	struct flow flow = {
		.port = (__be16)ctx->user_port,
		.protocol = judged_protocol(ctx->type, ctx->protocol),
		.family = 4,
		.layer = LAYER_CONNECT4,
	};

	set_v4(&flow.address, ctx->user_ip4);
	return flow;
}

static __always_inline union address peer6(const struct bpf_sock_addr *ctx)
{
	const volatile __u64 *halves = (const volatile __u64 *)ctx->user_ip6;

	return (union address){ .halves = { halves[0], halves[1] } };
}

static __always_inline struct flow flow_from_connect6(struct bpf_sock_addr *ctx)
{
	struct flow flow = {
		.port = (__be16)ctx->user_port,
		.protocol = judged_protocol(ctx->type, ctx->protocol),
		.layer = LAYER_CONNECT6,
	};

	flow.address = peer6(ctx);
	flow.family = is_v4_mapped(&flow.address) ? 4 : 6;
	return flow;
}

/* 127.0.0.0/8, ::1, and the unspecified addresses, which connect() takes for loopback. */
static __always_inline int is_loopback(const struct flow *flow)
{
	if (flow->family == 4)
		return flow->address.bytes[12] == 127 || flow->address.words[3] == 0;
	return flow->address.halves[0] == 0 && flow->address.words[2] == 0 &&
	       (flow->address.words[3] == bpf_htonl(1) || flow->address.words[3] == 0);
}

/* fe80::/10: on a shared link it reaches pods and the node, and nobody announces who has which. */
static __always_inline int is_link_local(const struct flow *flow)
{
	return flow->address.bytes[0] == 0xfe && (flow->address.bytes[1] & 0xc0) == 0x80;
}

#endif
