/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Changing addresses, ports and the MSS in place, with their checksums. The L4 checksum goes through the kernel's helper:
 * only that knows whether the checksum is complete or still to be finished by a device (CHECKSUM_PARTIAL). */
#pragma once

#include "config.h"
#include "parse.h"

#define TCP_OPTIONS_MAX 10 /* looked through for the MSS; real SYNs carry at most 5 (the verifier wants a bound) */
#define TCPOPT_END 0
#define TCPOPT_NOP 1
#define TCPOPT_MSS 2

/* One end of a packet: its source or its destination. */
enum end { END_SOURCE, END_DESTINATION };

static __always_inline __u32 l4_checksum_offset(const struct packet *p)
{
	__u32 in_header = p->tuple.protocol == IPPROTO_TCP ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check);

	return L3 + sizeof(struct iphdr) + in_header;
}

/* RFC 1624, equation 3, for one 32-bit word. */
static __always_inline __sum16 checksum_replace4(__sum16 check, __be32 from, __be32 to)
{
	__u32 sum = (__u16)~check;

	sum += (__u16)~from + (__u16) ~(from >> 16) + (__u16)to + (__u16)(to >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int rewrite_l4_checksum(struct __sk_buff *skb, const struct packet *p, __be32 from_addr, __be32 to_addr,
					       __be16 from_port, __be16 to_port)
{
	__u32 check = l4_checksum_offset(p);
	__u64 zero_means_none = p->tuple.protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	if (bpf_l4_csum_replace(skb, check, from_addr, to_addr, BPF_F_PSEUDO_HDR | zero_means_none | sizeof(to_addr)))
		return -REASON_DROP_TRUNCATED;
	if (from_port != to_port && bpf_l4_csum_replace(skb, check, from_port, to_port, zero_means_none | sizeof(to_port)))
		return -REASON_DROP_TRUNCATED;
	return 0;
}

/* Gives one end of the packet another address and port. */
static __always_inline int rewrite(struct __sk_buff *skb, const struct packet *p, enum end end, __be32 addr, __be16 port)
{
	__be32 from_addr = end == END_SOURCE ? p->tuple.saddr : p->tuple.daddr;
	__be16 from_port = end == END_SOURCE ? p->tuple.sport : p->tuple.dport;
	struct iphdr *ip = at(skb, L3, sizeof(*ip) + sizeof(struct udphdr));
	__be16 *ports;

	if (!ip)
		return -REASON_DROP_TRUNCATED;
	ports = (void *)(ip + 1);
	if (end == END_SOURCE) {
		ip->saddr = addr;
		ports[0] = port;
	} else {
		ip->daddr = addr;
		ports[1] = port;
	}
	ip->check = checksum_replace4(ip->check, from_addr, addr);
	return rewrite_l4_checksum(skb, p, from_addr, addr, from_port, port);
}

/* Takes one hop off the TTL: every node that forwards is a router (RFC 1812, 5.3.1). The TTL is in the high byte of its word
 * on the wire, so the checksum changes by one there. */
static __always_inline int decrement_ttl(struct __sk_buff *skb, const struct packet *p)
{
	struct iphdr *ip = at(skb, L3, sizeof(*ip));

	if (!ip)
		return -REASON_DROP_TRUNCATED;
	ip->check = checksum_replace4(ip->check, bpf_htons(ip->ttl << 8), bpf_htons((ip->ttl - 1) << 8));
	ip->ttl--;
	return 0;
}

/* The largest segment that still fits the link once Geneve with the DSR option is around it. */
static __always_inline __u16 mss_limit(void)
{
	return mtu - OUTER4_ROOM_DSR - sizeof(struct iphdr) - sizeof(struct tcphdr);
}

/* Writes the MSS at an offset. A value at an odd offset lies across two words of the checksum, with its bytes swapped. */
static __always_inline int write_mss(struct __sk_buff *skb, const struct packet *p, __u32 offset, __be16 from, __be16 to)
{
	__be16 from_word = offset & 1 ? __builtin_bswap16(from) : from;
	__be16 to_word = offset & 1 ? __builtin_bswap16(to) : to;

	if (bpf_skb_store_bytes(skb, offset, &to, sizeof(to), 0) ||
	    bpf_l4_csum_replace(skb, l4_checksum_offset(p), from_word, to_word, sizeof(to_word)))
		return -REASON_DROP_TRUNCATED;
	return 0;
}

/* Lowers the MSS that a pod offers in its SYN-ACK, so that the client's segments fit the way to the pod node. */
static __always_inline int clamp_mss(struct __sk_buff *skb, const struct packet *p)
{
	__u32 offset = L3 + sizeof(struct iphdr) + sizeof(struct tcphdr);

	for (int i = 0; i < TCP_OPTIONS_MAX; i++) {
		__u8 option[4]; /* kind, length, value */
		__be16 offered;

		if (bpf_skb_load_bytes(skb, offset, option, sizeof(option)) || option[0] == TCPOPT_END)
			return 0;
		if (option[0] == TCPOPT_NOP) {
			offset++;
			continue;
		}
		if (option[0] != TCPOPT_MSS) {
			if (option[1] < 2)
				return 0;
			offset += option[1];
			continue;
		}
		__builtin_memcpy(&offered, option + 2, sizeof(offered));
		if (bpf_ntohs(offered) <= mss_limit())
			return 0;
		return write_mss(skb, p, offset + 2, offered, bpf_htons(mss_limit()));
	}
	return 0;
}
