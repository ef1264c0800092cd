/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* From a packet to its 5-tuple. Nothing here writes to the packet. */
#pragma once

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "hook.h"
#include "reasons.h"
#include "types.h"

#define IP4_OFFSET bpf_htons(0x1fff) /* in units of 8 bytes (RFC 791, 3.1) */
#define IP4_MORE bpf_htons(0x2000)
#define IP4_DF bpf_htons(0x4000)
#define IP6_OFFSET bpf_htons(0xfff8) /* RFC 8200, 4.5 */
#define IP6_FRAGMENT_HEADER 8
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_FLAGS_OFFSET 13
#define ICMP4_ECHO 8   /* RFC 792 */
#define ICMP6_ECHO 128 /* RFC 4443, 4.1 */

/* What a packet is. */
enum parsed {
	PARSED_OTHER = 0,  /* no IP, or neither TCP nor UDP nor an ICMP error; addresses and protocol are set if it is IP */
	PARSED_L4,	   /* tuple is whole */
	PARSED_FRAGMENT,   /* tuple is whole if it is the first one, else without ports */
	PARSED_ICMP_ERROR, /* tuple has no ports */
	PARSED_ECHO,	   /* an ICMP echo request; likewise */
	PARSED_IP_OPTIONS, /* likewise */
	PARSED_TRUNCATED,  /* likewise */
};

enum fragment_place { FRAGMENT_NONE = 0, FRAGMENT_FIRST, FRAGMENT_LATER };

/* A packet on its way through a program. */
struct packet {
	struct flow_key tuple; /* as the packet came */
	__u32 fragment_id;
	__u32 l4_length; /* bytes behind the IP header, by what that says */
	__u8 tcp_flags;
	__u8 ttl;
	__u8 fragment; /* enum fragment_place */
	bool ipv4;
	bool may_split; /* IPv4 without DF: a router has to cut what does not fit */
};

/* IPv6: the fragment header comes before TCP and UDP. */
static __always_inline __u32 l4_offset(const struct packet *p)
{
	if (p->ipv4)
		return L3 + sizeof(struct iphdr);
	return L3 + sizeof(struct ipv6hdr) + (p->fragment ? IP6_FRAGMENT_HEADER : 0);
}

static __always_inline bool is_icmp_error(bool ipv4, __u8 type)
{
	return ipv4 ? type == 3 || type == 11 || type == 12 /* RFC 792 */ : type >= 1 && type <= 4 /* RFC 4443 */;
}

static __always_inline enum parsed parse_icmp(struct hook h, struct packet *p, __u32 offset)
{
	__u8 *type = packet_at(h, offset, 8);

	if (!type || p->fragment)
		return PARSED_OTHER;
	if (is_icmp_error(p->ipv4, *type))
		return PARSED_ICMP_ERROR;
	return *type == (p->ipv4 ? ICMP4_ECHO : ICMP6_ECHO) ? PARSED_ECHO : PARSED_OTHER;
}

/* Reads what is behind the IP header, at *offset*; *length* bytes of it, by what that header says. */
static __always_inline enum parsed parse_l4(struct hook h, struct packet *p, __u32 offset, __u32 length)
{
	__be16 *ports;
	__u8 *l4;

	p->l4_length = length;
	if (p->tuple.protocol == (p->ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return parse_icmp(h, p, offset);
	if (p->tuple.protocol != IPPROTO_TCP && p->tuple.protocol != IPPROTO_UDP)
		return PARSED_OTHER;
	if (p->fragment == FRAGMENT_LATER)
		return PARSED_FRAGMENT;
	ports = packet_at(h, offset, sizeof(struct udphdr));
	if (!ports || length < (p->tuple.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr)))
		return PARSED_TRUNCATED;
	p->tuple.source_port = ports[0];
	p->tuple.destination_port = ports[1];
	if (p->tuple.protocol == IPPROTO_TCP) {
		l4 = packet_at(h, offset, sizeof(struct tcphdr));
		if (!l4)
			return PARSED_TRUNCATED;
		p->tcp_flags = l4[TCP_FLAGS_OFFSET];
	}
	return p->fragment ? PARSED_FRAGMENT : PARSED_L4;
}

/* The bytes behind the IP header, by what that says, or 0 unless the packet ends there or has padding behind (RFC 1812, 5.2.2).
 * Super-packets are made by the kernel, and their length may not fit the field. */
static __always_inline __u32 length_behind(struct hook h, __u32 length, __u32 header)
{
	if (is_super_packet(h))
		return skb_of(h)->len - L3 - header;
	return length > header && L3 + length <= length_of(h) ? length - header : 0;
}

static __always_inline enum parsed parse4(struct hook h, struct packet *p)
{
	struct iphdr *ip = packet_at(h, L3, sizeof(*ip));
	__u32 length;

	if (!ip || ip->version != 4)
		return PARSED_OTHER;
	p->ipv4 = true;
	p->tuple.source = address4(ip->saddr);
	p->tuple.destination = address4(ip->daddr);
	p->tuple.protocol = ip->protocol;
	p->ttl = ip->ttl;
	if (ip->ihl != 5)
		return PARSED_IP_OPTIONS;
	length = length_behind(h, bpf_ntohs(ip->tot_len), sizeof(*ip));
	if (!length)
		return PARSED_TRUNCATED;
	if (ip->frag_off & (IP4_OFFSET | IP4_MORE)) {
		p->fragment = ip->frag_off & IP4_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
		p->fragment_id = ip->id;
		p->may_split = !(ip->frag_off & IP4_DF);
	}
	return parse_l4(h, p, L3 + sizeof(*ip), length);
}

static __always_inline enum parsed parse6(struct hook h, struct packet *p)
{
	struct ipv6hdr *ip = packet_at(h, L3, sizeof(*ip));
	struct {
		__u8 next, reserved;
		__be16 offset;
		__be32 id;
	} *fragment;
	__u32 length;

	if (!ip || ip->version != 6)
		return PARSED_OTHER;
	__builtin_memcpy(&p->tuple.source, &ip->saddr, sizeof(p->tuple.source));
	__builtin_memcpy(&p->tuple.destination, &ip->daddr, sizeof(p->tuple.destination));
	p->tuple.protocol = ip->nexthdr;
	p->ttl = ip->hop_limit;
	length = length_behind(h, sizeof(*ip) + bpf_ntohs(ip->payload_len), sizeof(*ip));
	if (!length)
		return PARSED_TRUNCATED;
	switch (ip->nexthdr) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		return PARSED_IP_OPTIONS;
	case IPPROTO_FRAGMENT:
		fragment = packet_at(h, L3 + sizeof(*ip), sizeof(*fragment));
		if (!fragment || length < IP6_FRAGMENT_HEADER)
			return PARSED_TRUNCATED;
		p->tuple.protocol = fragment->next;
		p->fragment = fragment->offset & IP6_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
		p->fragment_id = fragment->id;
		return parse_l4(h, p, L3 + sizeof(*ip) + IP6_FRAGMENT_HEADER, length - IP6_FRAGMENT_HEADER);
	}
	return parse_l4(h, p, L3 + sizeof(*ip), length);
}

static __always_inline enum parsed parse_packet(struct hook h, struct packet *p)
{
	struct ethhdr *eth = packet_at(h, 0, sizeof(*eth));

	if (eth && eth->h_proto == bpf_htons(ETH_P_IP))
		return parse4(h, p);
	if (eth && eth->h_proto == bpf_htons(ETH_P_IPV6))
		return parse6(h, p);
	return PARSED_OTHER;
}

static __always_inline bool is_syn(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Notes in a flow's flags what the packet says about its end; fin is the flag of the side that sends it. What a pod says is true. A
 * client's reset may be forged, and is taken back by whatever follows it: its sequence number did not fit, and TCP has ignored it
 * (RFC 5961, 3.2). */
static __always_inline void note_closing(__u8 *flags, const struct packet *p, __u8 fin)
{
	__u8 now = *flags;

	if (p->tcp_flags & TCP_RST)
		now |= fin == FLOW_POD_FIN ? FLOW_CLIENT_FIN | FLOW_POD_FIN : FLOW_RESET;
	else
		now &= ~FLOW_RESET;
	if (p->tcp_flags & TCP_FIN)
		now |= fin;
	*flags = now;
}
