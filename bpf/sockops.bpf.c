// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Follows the sockets that connect sent elsewhere. At connect() a socket has no port yet; here, before its first packet
 * leaves, it has one, and the proxy can find by it what was dialled.
 */
#include <bpf/bpf_endian.h>

#include "sockets.h"

#define DONE 1 /* the result of a kernel question stays as others left it */

static __always_inline struct forwarded *record_of(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&forwarded, sk, 0, 0) : 0;
}

static __always_inline struct redirect_key key_of(struct bpf_sock_ops *ctx, const struct redirect *redirect)
{
	struct redirect_key key = {
		.netns_cookie = redirect->netns_cookie,
		.port = ctx->local_port,
		.family = redirect->family,
	};

	__builtin_memcpy(key.source, redirect->source, 16);
	return key;
}

/* The compiler would choose between the context's fields first and read after, which the verifier refuses. */
#define READ_NOW(field)                   \
	({                                \
		__u32 value = (field);    \
		asm volatile("" : "+r"(value)); \
		value;                    \
	})

static __always_inline void note_source(struct bpf_sock_ops *ctx, struct redirect *redirect)
{
	__u32 *words = (__u32 *)redirect->source;

	if (redirect->family == 4) {
		words[0] = 0;
		words[1] = 0;
		words[2] = bpf_htonl(0xffff);
		words[3] = READ_NOW(ctx->local_ip4);
	} else {
		words[0] = READ_NOW(ctx->local_ip6[0]);
		words[1] = READ_NOW(ctx->local_ip6[1]);
		words[2] = READ_NOW(ctx->local_ip6[2]);
		words[3] = READ_NOW(ctx->local_ip6[3]);
	}
}

/* A namespace that may have no more gets none: counted first, so that there is not one too many at any moment. */
static __always_inline void note(struct bpf_sock_ops *ctx, const struct redirect *redirect)
{
	struct listener *listener = bpf_map_lookup_elem(&listeners, &redirect->netns_cookie);
	struct redirect_key key = key_of(ctx, redirect);
	__u32 *made = listener ? notes_made(listener) : 0;

	if (!made)
		return;
	__sync_fetch_and_add(made, 1);
	if (notes_left(listener, made) >= 0 && !bpf_map_update_elem(&redirects, &key, redirect, BPF_NOEXIST))
		return;
	__sync_fetch_and_add(made, -1);
	/* One that an earlier socket has left is counted already. */
	bpf_map_update_elem(&redirects, &key, redirect, BPF_EXIST);
}

static __always_inline void drop_note(struct bpf_sock_ops *ctx, const struct redirect *redirect)
{
	struct redirect_key key = key_of(ctx, redirect);
	struct redirect *entry = bpf_map_lookup_elem(&redirects, &key);
	struct listener *listener;
	__u32 *made;

	/* A later socket's has taken its place. */
	if (!entry || entry->socket != redirect->socket || bpf_map_delete_elem(&redirects, &key))
		return;
	listener = bpf_map_lookup_elem(&listeners, &redirect->netns_cookie);
	made = listener ? notes_made(listener) : 0;
	if (made)
		__sync_fetch_and_add(made, -1);
}

static __always_inline int opening(struct bpf_sock_ops *ctx)
{
	struct forwarded *record = record_of(ctx);

	/* A record of an earlier connect() of the same socket has been used up. */
	if (!record || !record->fresh || bpf_ntohl(ctx->remote_port) != bpf_ntohs(record->peer_port))
		return DONE;
	record->fresh = 0;
	note_source(ctx, &record->redirect);
	if (record->redirect.action == ACTION_PROXY)
		note(ctx, &record->redirect);
	else
		bpf_map_update_elem(&forwarded_sockets, &record->redirect.socket, &record->redirect, BPF_ANY);
	/* Others may have asked for callbacks of their own. */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return DONE;
}

static __always_inline int closing(struct bpf_sock_ops *ctx)
{
	struct forwarded *record = record_of(ctx);

	if (!record)
		return DONE;
	if (record->redirect.action == ACTION_PROXY)
		drop_note(ctx, &record->redirect);
	else
		bpf_map_delete_elem(&forwarded_sockets, &record->redirect.socket);
	return DONE;
}

SEC("sockops")
int sock_ops(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		return opening(ctx);
	if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE)
		return closing(ctx);
	return DONE;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
