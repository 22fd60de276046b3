/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The verdict. Every hook makes a flow of what it sees and calls `decide`; nothing else decides.
 *
 * Stale reads. An element of an unallocated hash may be reused for another key while a program still holds its
 * pointer, and an array's is overwritten in place, not in one piece. So `guard`, `verdict` and `pod_ref` repeat whose they
 * are; that is read after the copy is made (on a weakly ordered processor, very nearly), and one that does not match is
 * looked up again once and then refused. A version's verdicts are all
 * there before a guard names it and stay for seconds after it no longer does, so a program that read the old version
 * still finds them.
 *
 * Speed. Between two connects of a busy pod the kernel has done 20 us of other work, and every map looked up is out
 * of the nearest cache again, most of what a verdict costs. So there are three hashes, at 20 ns each, on the way to an
 * ordinary one (destination, cgroup, verdict) and two arrays (guard, counters), and what is rare is a function of its own.
 * Keys are written by eights: a map reads them so, and a read that spans two writes makes the processor wait for both.
 */
#ifndef PODGATE_DECIDE_H
#define PODGATE_DECIDE_H

#include "caller.h"
#include "flow.h"
#include "maps.h"
#include "redirect.h"

/* Set before load. */
const volatile __u32 events_per_second = 10; /* per caller and guard; ten times that per caller */

#define SECOND 1000000000ull
#define FORWARD_HOPS 4
#define EVENTS_OF_ALL 10 /* times as many for one caller at all guards together */

/* No other CPU writes there, but a connect that preempts this one may. */
static __always_inline struct counters *own_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

/* Reads memory that is needed later, so that it is on its way while the maps are searched. */
static __always_inline void fetch_early(const volatile __u64 *memory)
{
	asm volatile("" ::"r"(*memory));
}

static __always_inline void count(struct counters *own, __u32 slot)
{
	__sync_fetch_and_add(&own->verdicts[slot % COUNTER_SLOTS], 1);
}

/*
 * Guard number of a destination, 0 if it has none. Addresses of which many mean the same are looked up as one:
 * all of loopback as 127.0.0.1 or ::1, all of fe80::/10 as fe80::.
 */
static __always_inline __u32 find_guard(struct bpf_sock_addr *ctx, const struct flow *flow)
{
	union {
		struct destination_key key;
		__u64 parts[3];
	} destination;
	union {
		struct node_port_key key;
		__u32 whole;
	} node_port;
	union address address = flow->address;
	int on_node = 0;
	__u32 *guard;

	if (is_loopback(flow)) {
		/* In a pod's namespace that is the pod itself; in the node's it leads to hostNetwork pods and node ports. */
		if (bpf_get_netns_cookie(ctx) != node_netns_cookie)
			return 0;
		address.words[3] = flow->family == 4 ? bpf_htonl(0x7f000001) : bpf_htonl(1);
		on_node = 1;
	} else if (is_link_local(flow)) {
		address.halves[0] = bpf_cpu_to_be64(0xfe80000000000000ull);
		address.halves[1] = 0;
		on_node = 1;
	}
	destination.parts[0] = address.halves[0];
	destination.parts[1] = address.halves[1];
	destination.parts[2] = flow->port | (__u64)flow->protocol << 16;
	guard = bpf_map_lookup_elem(&destinations, &destination.key);
	if (guard)
		return *guard;
	/* The port is looked up first: few ports are guarded node ports, many destinations are node addresses. */
	node_port.whole = flow->port | flow->protocol << 16 | (flow->family == 6) << 24;
	guard = bpf_map_lookup_elem(&node_ports, &node_port.key);
	if (!guard)
		return 0;
	return on_node || bpf_map_lookup_elem(&node_addresses, &address) ? *guard : 0;
}

/* Copies the verdict of a guard about a caller. 0 if there is none, or the entries read were not those looked for. */
static __always_inline int read_verdict(__u32 number, const struct caller *caller, struct verdict *verdict)
{
	__u32 slot = number % GUARD_SLOTS;
	struct guard *current = bpf_map_lookup_elem(&guards, &slot);
	__u32 subject = caller->subject;
	struct verdict *found;
	__u64 key;
	struct guard guard;

	if (!current)
		return 0;
	guard = *current;
	if (guard.number != number)
		return 0;
	if (subject >= SUBJECT_POD && !(guard.flags & GUARD_PER_POD || caller->pod.flags & POD_OVERSIZED))
		subject = SUBJECT_NAMESPACE | caller->pod.namespace_number;
	key = guard.version | (__u64)subject << 32;
	found = bpf_map_lookup_elem(&verdicts, &key);
	if (!found)
		return 0;
	*verdict = *found;
	after_copy();
	return found->guard == number && found->version == guard.version && found->subject == subject;
}

/* Once more, for an entry that was replaced while it was read. A known caller without a verdict is pending. */
static __noinline void find_again(__u32 number, const struct caller *caller, struct verdict *verdict)
{
	if (!read_verdict(number, caller, verdict))
		settle(verdict, ACTION_DENY, REASON_PENDING);
}

/* The verdict of a guard about a caller. */
static __always_inline void find_verdict(__u32 number, const struct caller *caller, struct verdict *verdict)
{
	if (unlikely(caller->subject == 0))
		settle(verdict, ACTION_DENY, REASON_IDENTITY_MISMATCH);
	else if (unlikely(!read_verdict(number, caller, verdict)))
		find_again(number, caller, verdict);
}

/* Whether a pod dials itself. The unspecified address marks an unused slot and is nobody's own. */
static __always_inline int is_own_address(__u32 number, const union address *address)
{
	struct pod *pod = number ? bpf_map_lookup_elem(&pods, &number) : 0;

	if (!pod || (address->halves[0] == 0 && address->halves[1] == 0))
		return 0;
#pragma unroll
	for (int i = 0; i < POD_ADDRESSES; i++)
		if (is_address(pod->addresses[i], address))
			return 1;
	return 0;
}

static __always_inline struct event_recent *recent_of(struct counters *own, const struct caller *caller, __u32 guard)
{
	return &own->recents[((__u32)caller->cgroup + guard) % EVENT_RECENTS];
}

/* Whether the pair was found over its limit in this very tick: then neither clock nor `event_limits` need be asked. */
static __always_inline int is_over_limit(struct counters *own, const struct caller *caller, __u32 guard)
{
	struct event_recent *recent = recent_of(own, caller, guard);

	if (recent->guard != guard || recent->caller != caller->cgroup || recent->tick != bpf_jiffies64())
		return 0;
	recent->suppressed += 1;
	return 1;
}

static __always_inline void remember_over_limit(struct counters *own, const struct caller *caller, __u32 guard)
{
	struct event_recent *recent = recent_of(own, caller, guard);

	recent->caller = caller->cgroup;
	recent->guard = guard;
	recent->tick = bpf_jiffies64();
}

/*
 * Adds what was left out without asking to the pair it belongs to. What another CPU left out in its last tick waits until
 * that CPU comes here, and a connect that preempts another may lose one: `suppressed` is about right, `verdicts` exact.
 */
static __always_inline void settle_recent(struct event_recent *recent)
{
	struct event_limit_key key = {};
	struct event_limit *limit;
	__u32 suppressed;

	if (!recent->suppressed)
		return;
	key.caller = recent->caller;
	key.guard = recent->guard;
	suppressed = recent->suppressed;
	limit = bpf_map_lookup_elem(&event_limits, &key);
	if (limit)
		__sync_fetch_and_add(&limit->suppressed, suppressed);
	recent->suppressed = 0;
}

/* Takes one of `most` events that this second has for the pair. 0 if there is none left. */
static __always_inline int take_event(const struct event_limit_key *key, struct event_limit *limit, __u64 now, __u32 most)
{
	struct event_limit first = { .window_start = now, .sent = 1 };

	if (!limit) {
		bpf_map_update_elem(&event_limits, key, &first, BPF_ANY);
		return 1;
	}
	/* Two CPUs may both open a window: a line more, never one less. */
	if (now - limit->window_start >= SECOND) {
		limit->window_start = now;
		limit->sent = 0;
	}
	if (limit->sent >= most)
		return 0;
	__sync_fetch_and_add(&limit->sent, 1);
	return 1;
}

/* Whether this verdict may have an event now; `suppressed` is how many had none since the last one. */
static __always_inline int within_limit(struct counters *own, const struct caller *caller, __u32 guard, __u64 now,
					__u32 *suppressed)
{
	struct event_limit_key key = { .caller = caller->cgroup, .guard = guard };
	struct event_limit_key all = { .caller = caller->cgroup };
	struct event_limit *limit;

	*suppressed = 0;
	settle_recent(recent_of(own, caller, guard));
	limit = bpf_map_lookup_elem(&event_limits, &key);
	/* Guard 0 is all of them: who has a thousand guards to dial must not fill everybody's log. */
	if (!take_event(&key, limit, now, events_per_second) ||
	    !take_event(&all, bpf_map_lookup_elem(&event_limits, &all), now, events_per_second * EVENTS_OF_ALL)) {
		if (!limit) /* made just now */
			limit = bpf_map_lookup_elem(&event_limits, &key);
		if (limit)
			__sync_fetch_and_add(&limit->suppressed, 1);
		remember_over_limit(own, caller, guard);
		return 0;
	}
	if (limit) {
		*suppressed = limit->suppressed;
		__sync_fetch_and_add(&limit->suppressed, -*suppressed);
	}
	return 1;
}

static __noinline void report(const struct caller *caller, __u32 guard, const struct flow *dialled,
			      const struct flow *target, const struct verdict *verdict)
{
	struct counters *own = own_counters();
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 suppressed;
	struct event *event;

	if (!own || !within_limit(own, caller, guard, now, &suppressed))
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&own->lost, 1);
		return;
	}
	event->time = now;
	event->cgroup = caller->cgroup;
	event->netns_cookie = caller->netns_cookie;
	event->pod = caller->pod.pod;
	event->guard = guard;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->policy = verdict->policy;
	event->audited_policy = verdict->audited_policy;
	event->suppressed = suppressed;
	__builtin_memcpy(event->dialled, dialled->address.bytes, 16);
	__builtin_memcpy(event->target, target->address.bytes, 16);
	event->dialled_port = dialled->port;
	event->target_port = target->port;
	event->rule = verdict->rule;
	event->audited_rule = verdict->audited_rule;
	event->action = verdict->action;
	event->reason = verdict->reason;
	event->audited_action = verdict->audited_action;
	event->audited_reason = verdict->audited_reason;
	event->layer = dialled->layer;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
}

/* A guard's verdict, unless the pod dials itself: then it may. */
static __always_inline void judge(__u32 guard, const struct caller *caller, const struct flow *flow,
				  struct verdict *verdict)
{
	find_verdict(guard, caller, verdict);
	if (verdict->action != ACTION_ALLOW && verdict->reason != REASON_IDENTITY_MISMATCH &&
	    is_own_address(caller->pod.pod, &flow->address))
		settle(verdict, ACTION_ALLOW, REASON_SELF);
}

/* Points the flow at the forward's target. 0 if there is none in the flow's family. */
static __always_inline int follow(struct flow *flow, __u32 number)
{
	struct forward_key key = { .forward = number, .family = flow->family };
	struct forward *forward = bpf_map_lookup_elem(&forwards, &key);

	if (!forward)
		return 0;
	__builtin_memcpy(flow->address.bytes, forward->address, 16);
	flow->port = forward->port;
	return 1;
}

/*
 * Follows forwards until a verdict that is none. Returns the guard that decided, and `verdict` is what the caller met:
 * the first forward if the way ends well.
 */
static __always_inline __u32 follow_all(struct bpf_sock_addr *ctx, __u32 guard, const struct caller *caller,
					struct flow *flow, struct verdict *verdict)
{
	struct verdict first = *verdict;
	__u32 next;

	for (int hop = 0; hop < FORWARD_HOPS; hop++) {
		if (!follow(flow, verdict->forward)) {
			refuse_for(verdict, REASON_TARGET_NOT_ROUTABLE);
			return guard;
		}
		next = find_guard(ctx, flow);
		if (!next)
			return guard;
		guard = next;
		judge(guard, caller, flow, verdict);
		if (verdict->action == ACTION_ALLOW)
			*verdict = first;
		else if (verdict->action == ACTION_FORWARD)
			continue;
		return guard;
	}
	settle(verdict, ACTION_DENY, REASON_LOOP);
	return guard;
}

/*
 * Where a verdict leads that does not simply allow. The agent's own connects are the proxy's, made after it has decided, and
 * are judged no second time. Returns the guard that decided, which `verdict` then names too.
 */
static __noinline __u32 lead(struct bpf_sock_addr *ctx, __u32 guard, const struct caller *caller, struct flow *flow,
			     struct verdict *verdict)
{
	if (is_agent()) {
		settle(verdict, ACTION_ALLOW, REASON_SELF);
		return guard;
	}
	if (verdict->action == ACTION_FORWARD)
		guard = follow_all(ctx, guard, caller, flow, verdict);
	verdict->guard = guard;
	return guard;
}

/*
 * Decides about `flow`. Returns an enum action; the caller proceeds on ACTION_ALLOW, and on ACTION_FORWARD and
 * ACTION_PROXY after it has rewritten the destination to what `flow` then holds. Anything else refuses.
 */
static __always_inline int decide(struct bpf_sock_addr *ctx, struct flow *flow)
{
	const struct flow *asked = flow;
	struct flow dialled;
	struct verdict verdict;
	struct counters *own;
	struct caller caller;
	__u64 below_qos;
	__u32 guard;

	if (flow->protocol != IPPROTO_TCP)
		return ACTION_ALLOW;
	own = own_counters();
	if (!own) /* an array's element is always there */
		return ACTION_DENY;
	fetch_early(&own->verdicts[ACTION_ALLOW * COUNTER_REASONS + REASON_RULE]);
	below_qos = cgroup_below_qos();
	guard = find_guard(ctx, flow);
	if (!guard) {
		count(own, 0);
		return ACTION_ALLOW;
	}
	identify(ctx, below_qos, &caller);
	judge(guard, &caller, flow, &verdict);
	if (unlikely(verdict.action != ACTION_ALLOW)) {
		dialled = *flow;
		asked = &dialled;
		guard = lead(ctx, guard, &caller, flow, &verdict);
		if (verdict.action == ACTION_FORWARD || verdict.action == ACTION_PROXY)
			redirect(ctx, &caller, &dialled, flow, &verdict);
		if (verdict.action == ACTION_PROXY) {
			/* What the proxy decides, it says itself. */
			count(own, verdict.action * COUNTER_REASONS + verdict.reason);
			return ACTION_PROXY;
		}
	}
	if (verdict.reason != REASON_SELF && unlikely(!is_over_limit(own, &caller, guard)))
		report(&caller, guard, asked, flow, &verdict);
	count(own, verdict.action * COUNTER_REASONS + verdict.reason);
	return verdict.action;
}

#endif
