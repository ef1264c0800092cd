/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* How many frames a packet is on the wire. Ports that police get them one by one, as super-packets can't be cut here; one that
 * comes all the same counts as all its frames, each with headers of its own. */
#ifndef FRAMES_H
#define FRAMES_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "bucket.h"

#define GENEVE_PORT 6081
#define GENEVE_HEADER 8
#define GENEVE_OPTIONS_MASK 0x3f /* length in words of 4 bytes */
#define MAX_LAYERS 2		 /* a frame, and the one in its tunnel */

/* A place in a packet; what is loaded from it is copied, as headers of super-packets may lie anywhere. */
struct cursor {
	struct __sk_buff *skb;
	__u32 at;
};

static __always_inline int load(const struct cursor *c, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes(c->skb, c->at, to, bytes);
}

/* skip_ip goes behind the Ethernet and IP headers, and returns the protocol; IPPROTO_NONE where there is none to follow. */
static __always_inline __u8 skip_ip(struct cursor *c)
{
	struct ethhdr eth;
	struct iphdr ip4;
	struct ipv6hdr ip6;

	if (load(c, &eth, sizeof(eth)))
		return IPPROTO_NONE;
	c->at += sizeof(eth);
	if (eth.h_proto == bpf_htons(ETH_P_IP) && !load(c, &ip4, sizeof(ip4))) {
		c->at += ip4.ihl * 4;
		return ip4.protocol;
	}
	if (eth.h_proto == bpf_htons(ETH_P_IPV6) && !load(c, &ip6, sizeof(ip6))) {
		c->at += sizeof(ip6);
		return ip6.nexthdr;
	}
	return IPPROTO_NONE;
}

/* skip_udp goes behind the UDP header, and behind that of Geneve. It returns whether another frame follows. */
static __always_inline int skip_udp(struct cursor *c)
{
	struct udphdr udp;
	__u8 flags;

	if (load(c, &udp, sizeof(udp)))
		return 0;
	c->at += sizeof(udp);
	if (udp.dest != bpf_htons(GENEVE_PORT) || load(c, &flags, sizeof(flags)))
		return 0;
	c->at += GENEVE_HEADER + (flags & GENEVE_OPTIONS_MASK) * 4;
	return 1;
}

/* headers are the bytes before the payload that a super-packet is cut in. */
static __always_inline __u32 headers(struct __sk_buff *skb)
{
	struct cursor c = {.skb = skb};
	struct tcphdr tcp;

	for (int layer = 0; layer < MAX_LAYERS; layer++) {
		switch (skip_ip(&c)) {
		case IPPROTO_TCP:
			if (!load(&c, &tcp, sizeof(tcp)))
				c.at += tcp.doff * 4;
			return c.at;
		case IPPROTO_UDP:
			if (!skip_udp(&c))
				return c.at;
			break;
		default:
			return c.at;
		}
	}
	return c.at;
}

static __always_inline struct frames frames_of(struct __sk_buff *skb)
{
	struct frames f = {.count = 1, .bytes = skb->len};

	if (skb->gso_segs > 1) {
		f.count = skb->gso_segs;
		f.bytes += (f.count - 1) * headers(skb);
	}
	return f;
}

#endif
