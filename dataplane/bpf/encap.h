/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Putting Geneve around a packet and taking it off, for tc. Super-packets (GSO) stay whole: the kernel is told which part is
 * tunnel, and a device that must cut them puts the outer headers before every segment. */
#pragma once

#include "config.h"
#include "geneve.h"
#include "maps.h"
#include "parse.h"

#define OUTER_TTL 64
#define IP4_DF bpf_htons(0x4000)
#define ENTROPY_FIRST 49152 /* source ports of the dynamic range, as RFC 8926 section 3.3 asks */

/* What encapsulate needs to know beyond the packet. */
struct tunnel {
	__be32 node;	 /* the pod node */
	__be32 frontend; /* goes into the option */
	__be16 frontend_port;
	bool option;
	__u32 hash; /* of the flow */
};

static __always_inline __u32 tunnel_room(const struct tunnel *t)
{
	return t->option ? OUTER4_ROOM_DSR : OUTER4_ROOM;
}

/* Whether the packet, or each segment of it, fits the link with the tunnel's room. */
static __always_inline bool fits(const struct __sk_buff *skb, const struct packet *p, const struct tunnel *t)
{
	__u32 headers = sizeof(struct iphdr) + (p->tuple.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr));
	__u32 length = skb->gso_size ? headers + skb->gso_size : skb->len - L3;

	return length + tunnel_room(t) <= mtu;
}

static __always_inline __sum16 header_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void write_outer(struct outer4 *outer, const struct tunnel *t, __u16 length)
{
	__u8 option_words = t->option ? sizeof(struct dsr_option4) / 4 : 0;

	*outer = (struct outer4){
		.ip =
			{
				.version = 4,
				.ihl = 5,
				.tot_len = bpf_htons(length),
				.frag_off = IP4_DF,
				.ttl = OUTER_TTL,
				.protocol = IPPROTO_UDP,
				.saddr = node_addr4,
				.daddr = t->node,
			},
		.udp =
			{
				.source = bpf_htons(ENTROPY_FIRST | (t->hash & 0x3fff)),
				.dest = bpf_htons(GENEVE_PORT),
				.len = bpf_htons(length - sizeof(struct iphdr)),
			},
		.geneve =
			{
				.opt_len = option_words,
				.flags = t->option ? GENEVE_CRITICAL : 0,
				.protocol = bpf_htons(GENEVE_TEB),
				.vni = bpf_htonl(vni << 8),
			},
	};
	outer->ip.check = header_checksum(&outer->ip);
}

static __always_inline void write_option(struct dsr_option4 *option, const struct tunnel *t)
{
	*option = (struct dsr_option4){
		.header =
			{
				.class = bpf_htons(DSR_OPT_CLASS),
				.type = DSR_OPT_TYPE,
				.words = DSR_OPT4_WORDS,
			},
		.addr = t->frontend,
		.port = t->frontend_port,
	};
}

/* Puts outer headers, and a copy of the frame's own Ethernet header, before the IP header. */
static __always_inline int encapsulate(struct __sk_buff *skb, const struct tunnel *t)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
		      BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr));
	__u32 room = tunnel_room(t);
	struct outer4 *outer;
	struct ethhdr *eth;
	void *inner;

	if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags))
		return -REASON_DROP_ADJUST;
	eth = at(skb, 0, sizeof(*eth) + OUTER4_ROOM);
	if (!eth)
		return -REASON_DROP_TRUNCATED;
	outer = (void *)(eth + 1);
	write_outer(outer, t, skb->len - sizeof(*eth));
	inner = outer + 1;
	if (t->option) {
		if (!at(skb, 0, sizeof(*eth) + OUTER4_ROOM_DSR))
			return -REASON_DROP_TRUNCATED;
		write_option(inner, t);
		inner += sizeof(struct dsr_option4);
	}
	__builtin_memcpy(inner, eth, sizeof(*eth));
	return 0;
}

/* Addresses the encapsulated frame to the next hop, if that is known: it saves the kernel's routing and neighbour lookups. The
 * inner frame keeps the addresses that it came with. */
static __always_inline bool address_to_node(struct __sk_buff *skb, __be32 node)
{
	struct node4 *n = bpf_map_lookup_elem(&nodes4, &node);
	struct ethhdr *eth = at(skb, 0, sizeof(*eth));

	if (!n || !eth || !(n->next_hop[0] | n->next_hop[1] | n->next_hop[2] | n->next_hop[3] | n->next_hop[4] | n->next_hop[5]))
		return false;
	__builtin_memcpy(eth->h_dest, n->next_hop, sizeof(eth->h_dest));
	for (int i = 0; i < ETH_ALEN; i++) /* from volatile memory, byte by byte */
		eth->h_source[i] = outside_mac[i];
	return true;
}

/* Takes everything between the outer Ethernet header and the inner IP header away. */
static __always_inline int decapsulate(struct __sk_buff *skb, __u32 room)
{
	if (bpf_skb_adjust_room(skb, -(__s32)room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return -REASON_DROP_ADJUST;
	return 0;
}
