/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What BPF_PROG_TEST_RUN repeats to measure a program: the packet is put back as it was, given the next flow's address and port,
 * and handed to the program. The kernel itself does not restore it: an encapsulating program would run on its own output. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stddef.h>

#define FRAME_MAX 256

/* What is sent. */
struct job {
	__u8 frame[FRAME_MAX];
	__u32 size;	      /* of the frame, a multiple of 2 */
	__u32 flows;	      /* a power of two; tuple number n mod flows */
	__u32 address_offset; /* of the last 32 bits of the address that is varied, even */
	__u32 port_offset;    /* of the port that is varied, even */
	__u32 next;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct job);
	__uint(max_entries, 1);
} jobs SEC(".maps");

/* The program that is measured. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} target_tc SEC(".maps"), target_xdp SEC(".maps");

static __always_inline struct job *job(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&jobs, &zero);
}

/* Writes the frame: 8 bytes at a time, then the rest, then the tuple of this repetition. */
static __always_inline int restore(struct job *j, void *data, void *end)
{
	__u32 n = j->next++ & (j->flows - 1), address = j->address_offset, port = j->port_offset;

	__u32 i = 0;

	for (; i < FRAME_MAX && i + 8 <= j->size; i += 8) {
		if (data + i + 8 > end)
			return -1;
		*(__u64 *)(data + i) = *(__u64 *)(j->frame + i);
	}
	for (; i < FRAME_MAX && i < j->size; i += 2) {
		if (data + i + 2 > end)
			return -1;
		*(__u16 *)(data + i) = *(__u16 *)(j->frame + i);
	}
	if (address > FRAME_MAX - 4 || port > FRAME_MAX - 2 || data + address + 4 > end || data + port + 2 > end)
		return -1;
	*(__be32 *)(data + address) = bpf_htonl(bpf_ntohl(*(__be32 *)(data + address)) + (n >> 12));
	*(__be16 *)(data + port) = bpf_htons(bpf_ntohs(*(__be16 *)(data + port)) + (n & 0xfff));
	return 0;
}

SEC("tc")
int restore_tc(struct __sk_buff *skb)
{
	struct job *j = job();

	if (!j)
		return TC_ACT_SHOT;
	if (skb->len != j->size && bpf_skb_adjust_room(skb, (__s32)(j->size - skb->len), BPF_ADJ_ROOM_MAC,
						       BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO))
		return TC_ACT_SHOT;
	if (restore(j, (void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_SHOT;
	bpf_tail_call(skb, &target_tc, 0);
	return TC_ACT_SHOT;
}

SEC("xdp")
int restore_xdp(struct xdp_md *xdp)
{
	struct job *j = job();
	long length;

	if (!j)
		return XDP_ABORTED;
	length = (long)xdp->data_end - (long)xdp->data;
	barrier_var(length);
	if (length != j->size && bpf_xdp_adjust_head(xdp, (int)(length - j->size)))
		return XDP_ABORTED;
	if (restore(j, (void *)(long)xdp->data, (void *)(long)xdp->data_end))
		return XDP_ABORTED;
	bpf_tail_call(xdp, &target_xdp, 0);
	return XDP_ABORTED;
}

/* Baselines: nothing, and no more than room for a tunnel. */
SEC("tc")
int empty_tc(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("xdp")
int empty_xdp(struct xdp_md *xdp)
{
	return XDP_PASS;
}

/* The yardstick: YARDSTICK_LENGTH times a hash lookup with a key of 8 bytes and a copy of the 64 bytes found. It costs what lookups
 * and copies cost on the machine at hand. The keys count up, so that the entries do not all lie in the first-level cache. */
#define YARDSTICK_ENTRIES 4096
#define YARDSTICK_LENGTH 16

struct yardstick_value {
	__u64 words[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, struct yardstick_value);
	__uint(max_entries, YARDSTICK_ENTRIES);
} yardstick_entries SEC(".maps");

/* Where the copies go. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct yardstick_value);
	__uint(max_entries, 1);
} yardstick_copies SEC(".maps");

__u64 yardstick_key;

/* Returns 0, or -1 where an entry is missing. */
static __always_inline int yardstick(void)
{
	struct yardstick_value *copy, *entry;
	__u32 zero = 0;

	copy = bpf_map_lookup_elem(&yardstick_copies, &zero);
	if (!copy)
		return -1;
	for (int i = 0; i < YARDSTICK_LENGTH; i++) {
		__u64 key = yardstick_key++ & (YARDSTICK_ENTRIES - 1);

		entry = bpf_map_lookup_elem(&yardstick_entries, &key);
		if (!entry)
			return -1;
		*copy = *entry;
	}
	return 0;
}

SEC("tc")
int yardstick_tc(struct __sk_buff *skb)
{
	return yardstick() ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("xdp")
int yardstick_xdp(struct xdp_md *xdp)
{
	return yardstick() ? XDP_DROP : XDP_PASS;
}

const volatile __s32 room = 50; /* negative: takes it */

SEC("tc")
int adjust_tc(struct __sk_buff *skb)
{
	return bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO)
		       ? TC_ACT_SHOT
		       : TC_ACT_OK;
}

SEC("xdp")
int adjust_xdp(struct xdp_md *xdp)
{
	return bpf_xdp_adjust_head(xdp, -room) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
