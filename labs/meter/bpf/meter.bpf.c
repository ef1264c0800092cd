/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Counts the frames of answers that cross a port. It is a filter on a packet socket that lets nothing through, so it costs
 * the traffic nothing but the count. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stddef.h>

/* An address and port that answers come from: a frontend's or a backend's. */
struct source {
	__be32 addr;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
_Static_assert(sizeof(struct source) == 8, "source has no hidden padding");

struct crossed {
	__u64 frames, bytes;
};

/* Indexes of counts, as seen from the machine whose port it is. */
enum way { WAY_TO_NODE = 0, WAY_FROM_NODE, WAY_COUNT };

/* What counts as an answer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct source);
	__type(value, __u8);
	__uint(max_entries, 4096);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, enum way);
	__type(value, struct crossed);
	__uint(max_entries, WAY_COUNT);
} counts SEC(".maps");

SEC("socket")
int count_answers(struct __sk_buff *skb)
{
	struct source from = {};
	enum way way = skb->pkt_type == PACKET_OUTGOING ? WAY_TO_NODE : WAY_FROM_NODE;
	struct crossed *c;
	struct iphdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, &from.port, sizeof(from.port)))
		return 0;
	from.addr = ip.saddr;
	from.protocol = ip.protocol;
	if (!bpf_map_lookup_elem(&sources, &from))
		return 0;
	c = bpf_map_lookup_elem(&counts, &way);
	if (!c)
		return 0;
	c->frames++;
	c->bytes += skb->len;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
