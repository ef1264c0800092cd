/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Putting Geneve around a packet and taking it off. In tc super-packets (GSO) stay whole: the kernel is told which part is
 * tunnel, and a device that must cut them puts the outer headers before every segment. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "config.h"
#include "fragments.h"
#include "geneve.h"
#include "hook.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"
#include "verdict.h"

#define OUTER_TTL 64
#define ENTROPY_FIRST 49152 /* source ports of the dynamic range, as RFC 8926 section 3.3 asks */

static __always_inline void write_ip4(struct iphdr *ip, const struct verdict *v, __u16 length)
{
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(length),
		.frag_off = IP4_DF,
		.ttl = OUTER_TTL,
		.protocol = IPPROTO_UDP,
		.saddr = node_addr4.word[3],
		.daddr = v->node.word[3],
	};
	ip->check = header_checksum(ip);
}

static __always_inline void write_ip6(struct ipv6hdr *ip, const struct verdict *v, __u16 length)
{
	struct address own = node_address(false);

	*ip = (struct ipv6hdr){
		.version = 6,
		.payload_len = bpf_htons(length - sizeof(*ip)),
		.nexthdr = IPPROTO_UDP,
		.hop_limit = OUTER_TTL,
	};
	__builtin_memcpy(&ip->saddr, &own, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &v->node, sizeof(ip->daddr));
}

/* The checksum is zero: the inner one covers what matters (RFC 6935 for IPv6). */
static __always_inline void write_udp(struct udphdr *udp, const struct verdict *v, __u16 length)
{
	*udp = (struct udphdr){
		.source = bpf_htons(ENTROPY_FIRST | (v->hash & 0x3fff)),
		.dest = bpf_htons(GENEVE_PORT),
		.len = bpf_htons(length),
	};
}

static __always_inline void write_geneve(struct geneve *g, const struct verdict *v, __u32 words)
{
	*g = (struct geneve){
		.opt_len = words ? 1 + words : 0,
		.flags = words	      ? GENEVE_CRITICAL
			 : v->control ? GENEVE_CONTROL
				      : 0,
		.protocol = bpf_htons(GENEVE_TEB),
		.vni = bpf_htonl(vni << 8),
	};
}

static __always_inline void write_option(void *to, const struct verdict *v, __u32 words)
{
	struct geneve_option header = {.class = bpf_htons(DSR_OPT_CLASS), .type = DSR_OPT_TYPE, .words = words};

	if (words == DSR_OPT4_WORDS)
		*(struct dsr_option4 *)to = (struct dsr_option4){header, v->frontend.address.word[3], v->frontend.port, 0};
	else if (words == DSR_OPT6_WORDS)
		*(struct dsr_option6 *)to = (struct dsr_option6){header, v->frontend.address, v->frontend.port, 0};
}

/* tc puts the room between the Ethernet and the IP header: the inner frame's Ethernet header has to be copied. */
static __always_inline int make_room_tc(struct hook h, __u32 room, bool outer_ipv4)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	if (mark_tunnels)
		flags |= (outer_ipv4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
			 BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr));
	return bpf_skb_adjust_room(skb_of(h), room, BPF_ADJ_ROOM_MAC, flags) ? -REASON_DROP_ADJUST : 0;
}

/* One shape of tunnel; outer_ipv4 and words are constants, so that all offsets are. */
static __always_inline int put_tunnel(struct hook h, const struct verdict *v, bool outer_ipv4, __u32 words)
{
	__u32 room = tunnel_room(outer_ipv4, words), ip_size = outer_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	int err = h.kind == HOOK_XDP ? (bpf_xdp_adjust_head(xdp_of(h), -(int)room) ? -REASON_DROP_ADJUST : 0)
				     : make_room_tc(h, room, outer_ipv4);
	__u16 length = length_of(h) - L3;
	struct ethhdr *eth;
	void *outer;

	if (err)
		return err;
	eth = packet_at(h, 0, L3 + room);
	if (!eth)
		return -REASON_DROP_TRUNCATED;
	outer = eth + 1;
	if (h.kind == HOOK_TC)
		__builtin_memcpy(outer + room - sizeof(*eth), eth, sizeof(*eth));
	if (outer_ipv4)
		write_ip4(outer, v, length);
	else
		write_ip6(outer, v, length);
	outer += ip_size;
	write_udp(outer, v, length - ip_size);
	outer += sizeof(struct udphdr);
	write_geneve(outer, v, words);
	write_option(outer + sizeof(struct geneve), v, words);
	eth->h_proto = outer_ipv4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__builtin_memcpy(eth->h_dest, v->next_hop, sizeof(eth->h_dest));
	for (int i = 0; i < ETH_ALEN; i++) /* from volatile memory, byte by byte */
		eth->h_source[i] = outside_mac[i];
	return 0;
}

static __always_inline int encapsulate(struct hook h, const struct verdict *v)
{
	__u32 words = v->option ? option_words(is_ipv4(&v->frontend.address)) : 0;

	if (is_ipv4(&v->node)) {
		if (words == DSR_OPT4_WORDS)
			return put_tunnel(h, v, true, DSR_OPT4_WORDS);
		return words ? put_tunnel(h, v, true, DSR_OPT6_WORDS) : put_tunnel(h, v, true, 0);
	}
	if (words == DSR_OPT4_WORDS)
		return put_tunnel(h, v, false, DSR_OPT4_WORDS);
	return words ? put_tunnel(h, v, false, DSR_OPT6_WORDS) : put_tunnel(h, v, false, 0);
}

/* XDP: reports whether the IP packet at *offset* needs nothing that only tc can do: it is TCP or UDP, whole, and for a pod. */
static __always_inline bool is_simple(struct hook h, __u32 offset)
{
	struct {
		__be16 type;
		struct iphdr ip;
	} __attribute__((packed)) inner;
	struct address destination;
	struct ipv6hdr ip6;
	__u8 protocol;

	if (load_bytes(h, offset - sizeof(inner.type), &inner, sizeof(inner)))
		return false;
	if (inner.type == bpf_htons(ETH_P_IP)) {
		if (inner.ip.frag_off & (IP4_OFFSET | IP4_MORE))
			return false;
		protocol = inner.ip.protocol;
		destination = address4(inner.ip.daddr);
	} else {
		if (load_bytes(h, offset, &ip6, sizeof(ip6)))
			return false;
		protocol = ip6.nexthdr;
		__builtin_memcpy(&destination, &ip6.daddr, sizeof(destination));
	}
	return (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && !is_this_node(&destination);
}

/* Takes everything between the outer Ethernet header and the inner IP header away; tc keeps the outer Ethernet header, XDP the
 * inner one. Of another family's packet the Ethernet header has to say so. */
static __always_inline int decapsulate(struct hook h, __u32 room)
{
	struct ethhdr *eth;
	__be16 type;

	if (h.kind == HOOK_XDP)
		return bpf_xdp_adjust_head(xdp_of(h), room) ? -REASON_DROP_ADJUST : 0;
	if (load_bytes(h, L3 + room - sizeof(type), &type, sizeof(type)))
		return -REASON_DROP_TRUNCATED;
	if (bpf_skb_adjust_room(skb_of(h), -(__s32)room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return -REASON_DROP_ADJUST;
	eth = packet_at(h, 0, sizeof(*eth));
	if (!eth)
		return -REASON_DROP_TRUNCATED;
	eth->h_proto = type;
	return 0;
}
