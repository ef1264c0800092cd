/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Changing addresses, ports and the MSS in place, with their checksums. In tc the L4 checksum goes through the kernel's helper:
 * only that knows whether it is complete or still to be finished by a device (CHECKSUM_PARTIAL). XDP comes before that. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "config.h"
#include "geneve.h"
#include "hook.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"

#define TCP_OPTIONS_MAX 40 /* there is no room for more */
#define TCPOPT_END 0
#define TCPOPT_NOP 1
#define TCPOPT_MSS 2

/* One's complement sums (RFC 1071). A difference is the sum of the new words and of the complements of the old ones. */
static __always_inline __u32 fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

static __always_inline __u16 fold16(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u32 address_difference(const struct address *from, const struct address *to)
{
	__u64 sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (__u64)(__u32)~from->word[i] + to->word[i];
	return fold32(sum);
}

#define NO_PORT_DIFFERENCE 0x1fffe /* of two ports that stay: minus zero, twice */

static __always_inline __u32 port_difference(__be16 from, __be16 to)
{
	return (__u32)(__u16)~from + to;
}

/* RFC 1624, equation 3. */
static __always_inline __sum16 apply_difference(__sum16 check, __u32 difference)
{
	return ~fold16((__u16)~check + (__u32)fold16(difference));
}

static __always_inline __u32 l4_checksum_offset(const struct packet *p)
{
	bool tcp = p->tuple.protocol == IPPROTO_TCP;

	return l4_offset(p) + (tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
}

static __always_inline int fix_l4_checksum_xdp(struct hook h, const struct packet *p, __u32 difference)
{
	__sum16 *check = packet_at(h, l4_checksum_offset(p), sizeof(*check));

	if (!check)
		return -REASON_DROP_TRUNCATED;
	if (p->tuple.protocol == IPPROTO_UDP && !*check)
		return 0; /* there is none */
	*check = apply_difference(*check, difference);
	if (p->tuple.protocol == IPPROTO_UDP && !*check)
		*check = 0xffff; /* RFC 768 */
	return 0;
}

/* Only addresses are in the pseudo header, which is what a checksum that is still to be finished starts from. */
static __always_inline int fix_l4_checksum(struct hook h, const struct packet *p, __u32 addresses, __u32 ports)
{
	__u64 zero_means_none = p->tuple.protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 check = l4_checksum_offset(p);

	if (h.kind == HOOK_XDP)
		return fix_l4_checksum_xdp(h, p, fold32((__u64)addresses + ports));
	if (bpf_l4_csum_replace(skb_of(h), check, 0, addresses, BPF_F_PSEUDO_HDR | zero_means_none))
		return -REASON_DROP_TRUNCATED;
	if (ports != NO_PORT_DIFFERENCE && bpf_l4_csum_replace(skb_of(h), check, 0, ports, zero_means_none))
		return -REASON_DROP_TRUNCATED;
	return 0;
}

static __always_inline int rewrite4(struct hook h, const struct flow_key *from, const struct flow_key *to, bool hop)
{
	struct iphdr *ip = packet_at(h, L3, sizeof(*ip));
	__u32 difference;

	if (!ip)
		return -REASON_DROP_TRUNCATED;
	ip->saddr = to->source.word[3];
	ip->daddr = to->destination.word[3];
	difference = fold32((__u64)address_difference(&from->source, &to->source) +
			    address_difference(&from->destination, &to->destination));
	if (hop) { /* the TTL is the high byte of its word */
		ip->ttl--;
		difference = fold32((__u64)difference + (__u16)~bpf_htons(1 << 8));
	}
	ip->check = apply_difference(ip->check, difference);
	return 0;
}

static __always_inline int rewrite6(struct hook h, const struct flow_key *to, bool hop)
{
	struct ipv6hdr *ip = packet_at(h, L3, sizeof(*ip));

	if (!ip)
		return -REASON_DROP_TRUNCATED;
	__builtin_memcpy(&ip->saddr, &to->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &to->destination, sizeof(ip->daddr));
	if (hop)
		ip->hop_limit--;
	return 0;
}

/* Gives the packet another tuple, and takes one hop off its TTL where this node acts as a router (RFC 1812, 5.3.1). */
static __always_inline int rewrite_tuple(struct hook h, const struct packet *p, const struct flow_key *to, bool hop)
{
	const struct flow_key *from = &p->tuple;
	__be16 *ports;
	int err = p->ipv4 ? rewrite4(h, from, to, hop) : rewrite6(h, to, hop);

	if (err || p->fragment == FRAGMENT_LATER)
		return err;
	ports = packet_at(h, l4_offset(p), sizeof(struct udphdr));
	if (!ports)
		return -REASON_DROP_TRUNCATED;
	ports[0] = to->source_port;
	ports[1] = to->destination_port;
	return fix_l4_checksum(h, p,
			       fold32((__u64)address_difference(&from->source, &to->source) +
				      address_difference(&from->destination, &to->destination)),
			       port_difference(from->source_port, to->source_port) +
				       port_difference(from->destination_port, to->destination_port));
}

/* The largest segment that still fits the link once Geneve with the DSR option is around it. */
static __always_inline __u16 mss_limit(const struct packet *p)
{
	__u32 header = p->ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	return mtu - tunnel_room(tunnel_ipv4, option_words(p->ipv4)) - header - sizeof(struct tcphdr);
}

/* Writes the MSS at an offset. A value at an odd offset lies across two words of the checksum, with its bytes swapped. */
static __always_inline int write_mss(struct hook h, const struct packet *p, __u32 offset, __be16 from, __be16 to)
{
	__be16 from_word = offset & 1 ? __builtin_bswap16(from) : from;
	__be16 to_word = offset & 1 ? __builtin_bswap16(to) : to;

	if (bpf_skb_store_bytes(skb_of(h), offset, &to, sizeof(to), 0) ||
	    bpf_l4_csum_replace(skb_of(h), l4_checksum_offset(p), from_word, to_word, sizeof(to_word)))
		return -REASON_DROP_TRUNCATED;
	return 0;
}

/* A walk through TCP options (RFC 9293, 3.1). */
struct option_walk {
	struct __sk_buff *skb;
	__u32 offset;	/* of the option that comes next */
	__be16 offered; /* MSS; 0: not found yet */
};

/* One step of it: 1 ends the walk. */
static long next_option(__u32 step, struct option_walk *w)
{
	__u8 option[4]; /* kind, length, value */

	if (bpf_skb_load_bytes(w->skb, w->offset, option, sizeof(option)) || option[0] == TCPOPT_END)
		return 1;
	if (option[0] == TCPOPT_MSS) {
		__builtin_memcpy(&w->offered, option + 2, sizeof(w->offered));
		return 1;
	}
	if (option[0] != TCPOPT_NOP && option[1] < 2)
		return 1;
	w->offset += option[0] == TCPOPT_NOP ? 1 : option[1];
	return 0;
}

/* tc: lowers the MSS that a pod offers in its SYN-ACK, so that the client's segments fit the way to the pod node. */
__noinline int clamp_mss(struct __sk_buff *skb, const struct packet *p)
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	struct option_walk w = {.skb = skb};

	if (!p)
		return -REASON_DROP_TRUNCATED;
	w.offset = l4_offset(p) + sizeof(struct tcphdr);
	bpf_loop(TCP_OPTIONS_MAX, next_option, &w, 0);
	if (bpf_ntohs(w.offered) <= mss_limit(p))
		return 0;
	return write_mss(h, p, w.offset + 2, w.offered, bpf_htons(mss_limit(p)));
}
