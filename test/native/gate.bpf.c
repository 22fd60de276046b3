// For the tests of the addon: refuses one port, counts, and reports.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u16 refused_port = 0;
const volatile __u32 records_per_connect = 1;

// A layout with a hole, an array and a nested struct, for structs().
struct inner {
	__u16 a;
	__u8 b;
};
struct record {
	__u64 sequence;
	__u32 port;
	__u8 address[16];
	struct inner nested;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} connects SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");

static __always_inline void report(__u32 port)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&connects, &zero);

	if (count)
		(*count)++;
	for (__u32 i = 0; i < records_per_connect && i < 4096; i++) {
		struct record *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);

		if (!record)
			return;
		__builtin_memset(record, 0, sizeof(*record));
		record->sequence = i;
		record->port = port;
		bpf_ringbuf_submit(record, 0);
	}
}

SEC("cgroup/connect4")
int refuse4(struct bpf_sock_addr *ctx)
{
	__u32 port = bpf_ntohs((__u16)ctx->user_port);

	report(port);
	return port != refused_port;
}

SEC("cgroup/connect6")
int refuse6(struct bpf_sock_addr *ctx)
{
	return bpf_ntohs((__u16)ctx->user_port) != refused_port;
}

SEC("cgroup/connect4")
int permit4(struct bpf_sock_addr *ctx)
{
	report(bpf_ntohs((__u16)ctx->user_port));
	return 1;
}

/* Not to be loaded. */
SEC("?cgroup/connect6")
int spare6(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("raw_tp/sys_enter")
int enter(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
