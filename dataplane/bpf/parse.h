/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* From a packet to its 5-tuple. Nothing here writes to the packet. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>
#include <stddef.h>

#include "types.h"

#define IP4_FRAGMENT bpf_htons(0x3fff) /* more-fragments bit or an offset (RFC 791, 3.1) */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_FLAGS_OFFSET 13

/* All headers that a program may read or write lie in the first HEADERS_MAX bytes of a packet: two Ethernet headers, two
 * IPv4 headers, UDP, Geneve with the DSR option, and TCP without options. */
#define HEADERS_MAX (14 + 20 + 8 + 20 + 14 + 20 + 20)

#define L3 ((__u32)sizeof(struct ethhdr)) /* offset of the IPv4 header, when no tunnel is around it */

/* What a packet is. */
enum parsed {
	PARSED_OTHER = 0,  /* neither TCP nor UDP over IPv4 */
	PARSED_L4,	   /* tuple is whole */
	PARSED_FRAGMENT,   /* tuple has addresses and protocol only */
	PARSED_IP_OPTIONS, /* likewise */
	PARSED_TRUNCATED,
};

/* A packet on its way through a program. */
struct packet {
	struct flow4_key tuple; /* as the packet came */
	__u8 tcp_flags;
	__u8 ttl;
};

static __always_inline void *at(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	return data + offset + length <= end ? data + offset : NULL;
}

/* Makes sure that the headers can be read and written in place. */
static __always_inline void linearize(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + HEADERS_MAX > end)
		bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX);
}

static __always_inline enum parsed parse_ports(struct __sk_buff *skb, struct packet *p)
{
	__be16 *ports = at(skb, L3 + sizeof(struct iphdr), sizeof(struct udphdr));
	__u8 *flags;

	if (!ports)
		return PARSED_TRUNCATED;
	p->tuple.sport = ports[0];
	p->tuple.dport = ports[1];
	if (p->tuple.protocol == IPPROTO_UDP)
		return PARSED_L4;
	flags = at(skb, L3 + sizeof(struct iphdr), sizeof(struct tcphdr));
	if (!flags)
		return PARSED_TRUNCATED;
	p->tcp_flags = flags[TCP_FLAGS_OFFSET];
	return PARSED_L4;
}

static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *p)
{
	struct ethhdr *eth = at(skb, 0, sizeof(*eth));
	struct iphdr *ip;

	if (!eth || eth->h_proto != bpf_htons(ETH_P_IP))
		return PARSED_OTHER;
	ip = at(skb, L3, sizeof(*ip));
	if (!ip || ip->version != 4)
		return PARSED_OTHER;
	p->tuple.saddr = ip->saddr;
	p->tuple.daddr = ip->daddr;
	p->tuple.protocol = ip->protocol;
	p->ttl = ip->ttl;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return PARSED_OTHER;
	if (ip->ihl != 5)
		return PARSED_IP_OPTIONS;
	if (ip->frag_off & IP4_FRAGMENT)
		return PARSED_FRAGMENT;
	return parse_ports(skb, p);
}

static __always_inline bool is_syn(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}
