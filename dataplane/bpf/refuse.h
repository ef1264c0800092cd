/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* ICMP errors to the sender of a dropped packet: the packet itself becomes the error, from the address it was sent to. tc only: XDP
 * leaves such packets to it. */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "config.h"
#include "encap.h"
#include "fragments.h"
#include "geneve.h"
#include "hook.h"
#include "parse.h"
#include "reasons.h"
#include "rewrite.h"
#include "types.h"
#include "verdict.h"

#define ICMP4_UNREACHABLE 3 /* RFC 792 */
#define ICMP4_PORT 3
#define ICMP4_TOO_BIG 4	    /* RFC 1191 */
#define ICMP6_UNREACHABLE 1 /* RFC 4443 */
#define ICMP6_PORT 4
#define ICMP6_TOO_BIG 2
#define ICMP4_TIME_EXCEEDED 11
#define ICMP6_TIME_EXCEEDED 3

/* How much of the packet is quoted: much of it if it is large, else its IP header and L4 header. RFC 1812, 4.3.2.3 and RFC
 * 4443, 2.4 allow 576 and 1280 bytes in all; one call of bpf_csum_diff sums up to 512. */
#define QUOTED_LARGE 512

struct icmp_error {
	__u8 type, code;
	__sum16 check;
	__be32 mtu; /* IPv4: in the lower half (RFC 1191, section 4) */
};

static __always_inline __u32 sum_of(const void *data, __u32 size)
{
	return bpf_csum_diff(NULL, 0, (void *)data, size, 0);
}

/* The sum of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1). */
static __always_inline __u32 pseudo_sum(const struct address *a, const struct address *b, bool ipv4, __u32 length, __u8 protocol)
{
	__u64 sum = (__u64)a->word[3] + b->word[3] + bpf_htonl(length) + bpf_htonl(protocol);

	if (!ipv4)
		for (int i = 0; i < 3; i++)
			sum += (__u64)a->word[i] + b->word[i];
	return fold32(sum);
}

/* The sum of the quoted L4 part, as it will be on the wire. A checksum that a device has still to finish starts as the sum of
 * the pseudo header; the finished one makes the whole part, at whatever length, add up to the complement of that. */
static __always_inline __u32 quoted_l4_sum(struct hook h, const struct packet *p, __u32 header, __u32 quoted, __u32 room)
{
	bool tcp = p->tuple.protocol == IPPROTO_TCP;
	__u32 check = tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check);
	struct iphdr *ip = packet_at(h, L3 + room, quoted);
	void *l4 = (void *)ip + header;
	__u16 start, found;
	__u32 length;

	if (!ip || check + sizeof(found) > quoted - header)
		return 0;
	length = p->ipv4 ? bpf_ntohs(ip->tot_len) - header : bpf_ntohs(((struct ipv6hdr *)ip)->payload_len);
	start = fold16(pseudo_sum(&p->tuple.source, &p->tuple.destination, p->ipv4, length, p->tuple.protocol));
	__builtin_memcpy(&found, l4 + check, sizeof(found));
	return found == start ? (__u16)~start : sum_of(l4, quoted - header);
}

static __always_inline void write_error_ip(struct hook h, const struct packet *p, const struct address *from, void *at_ip,
					   __u32 length)
{
	if (p->ipv4) {
		struct iphdr *ip = at_ip;

		*ip = (struct iphdr){
			.version = 4,
			.ihl = 5,
			.tot_len = bpf_htons(length),
			.ttl = OUTER_TTL,
			.protocol = IPPROTO_ICMP,
			.saddr = from->word[3],
			.daddr = p->tuple.source.word[3],
		};
		ip->check = header_checksum(ip);
	} else {
		struct ipv6hdr *ip = at_ip;

		*ip = (struct ipv6hdr){
			.version = 6,
			.payload_len = bpf_htons(length - sizeof(*ip)),
			.nexthdr = IPPROTO_ICMPV6,
			.hop_limit = OUTER_TTL,
		};
		__builtin_memcpy(&ip->saddr, from, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &p->tuple.source, sizeof(ip->daddr));
	}
}

/* Turns the packet into an ICMP error that quotes its first *quoted* bytes; header, quoted and p->ipv4 are constants. */
static __always_inline int make_error(struct hook h, const struct packet *p, __u32 header, __u32 quoted, struct icmp_error *error,
				      const struct address *from)
{
	__u32 room = header + sizeof(*error), message = sizeof(*error) + quoted;
	__u8 mac[ETH_ALEN];
	struct ethhdr *eth;
	__u64 sum;

	if (bpf_skb_change_tail(skb_of(h), L3 + quoted, 0) || bpf_skb_adjust_room(skb_of(h), room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	sum = quoted_l4_sum(h, p, header, quoted, room);
	eth = packet_at(h, 0, L3 + room + header);
	if (!eth)
		return -1;
	write_error_ip(h, p, from, eth + 1, room + quoted);
	sum += (__u64)sum_of((void *)(eth + 1) + room, header) + sum_of(error, sizeof(*error));
	if (!p->ipv4)
		sum += pseudo_sum(from, &p->tuple.source, false, message, IPPROTO_ICMPV6);
	error->check = ~fold16(fold32(sum));
	__builtin_memcpy((void *)(eth + 1) + header, error, sizeof(*error));
	__builtin_memcpy(mac, eth->h_dest, sizeof(mac));
	__builtin_memcpy(eth->h_dest, eth->h_source, sizeof(mac));
	__builtin_memcpy(eth->h_source, mac, sizeof(mac));
	return 0;
}

static __always_inline int make_error_of_size(struct hook h, const struct packet *p, __u32 header, struct icmp_error *error,
					      const struct address *from)
{
	if (skb_of(h)->len >= L3 + QUOTED_LARGE)
		return make_error(h, p, header, QUOTED_LARGE, error, from);
	if (p->tuple.protocol == IPPROTO_TCP)
		return make_error(h, p, header, header + sizeof(struct tcphdr), error, from);
	return make_error(h, p, header, header + sizeof(struct udphdr), error, from);
}

/* The error that says why a packet was dropped. */
static __always_inline struct icmp_error error_of(const struct packet *p, const struct verdict *v, enum reason reason)
{
	__u32 limit = mtu - tunnel_room(is_ipv4(&v->node), option_words(p->ipv4));

	switch (reason) {
	case REASON_DROP_TTL:
		return (struct icmp_error){.type = p->ipv4 ? ICMP4_TIME_EXCEEDED : ICMP6_TIME_EXCEEDED};
	case REASON_DROP_TOO_BIG:
		if (p->ipv4)
			return (struct icmp_error){.type = ICMP4_UNREACHABLE, .code = ICMP4_TOO_BIG, .mtu = bpf_htonl(limit)};
		return (struct icmp_error){.type = ICMP6_TOO_BIG, .mtu = bpf_htonl(limit)};
	default:
		if (p->ipv4)
			return (struct icmp_error){.type = ICMP4_UNREACHABLE, .code = ICMP4_PORT};
		return (struct icmp_error){.type = ICMP6_UNREACHABLE, .code = ICMP6_PORT};
	}
}

/* Sends an ICMP error about a dropped packet back the way the packet came. Returns tc's action. It is from the address that the
 * packet was sent to; that the packet has gone too far, this node says by its own address, as a router does. Verified on its own,
 * as all functions that are not inline: that takes the verifier less time. */
__noinline int send_icmp_error(struct __sk_buff *skb, const struct packet *p, const struct verdict *v, enum reason reason)
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	struct icmp_error error;
	struct address from;
	int err;

	if (!p || !v || p->fragment)
		return TC_ACT_SHOT;
	error = error_of(p, v, reason);
	from = node_address(p->ipv4);
	if (reason != REASON_DROP_TTL || v->point == POINT_FROM_NODE || is_zero(&from))
		from = p->tuple.destination;
	if (p->ipv4)
		err = make_error_of_size(h, p, sizeof(struct iphdr), &error, &from);
	else
		err = make_error_of_size(h, p, sizeof(struct ipv6hdr), &error, &from);
	if (err)
		return TC_ACT_SHOT;
	return bpf_redirect(skb_of(h)->ifindex, v->point == POINT_FROM_NODE ? BPF_F_INGRESS : 0);
}
