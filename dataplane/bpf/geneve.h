/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Geneve (RFC 8926, section 3.4) and the DSR option, which carries the frontend to the pod node. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

#include "config.h"
#include "parse.h"
#include "types.h"

#define GENEVE_PORT 6081
#define GENEVE_CONTROL 0x80  /* O bit: for the other end of the tunnel, not to be forwarded; ours asks for the option */
#define GENEVE_CRITICAL 0x40 /* C bit: an option with bit 0x80 in its type is present */
#define GENEVE_VERSION 0xc0
#define GENEVE_OPT_LEN 0x3f /* in words of 4 bytes */
#define GENEVE_TEB 0x6558   /* the payload is an Ethernet frame */

#define DSR_OPT_CLASS 0x014b
#define DSR_OPT_TYPE 0x81 /* critical */
#define DSR_OPT4_WORDS 2  /* data after the option's own header: address, port, zero */
#define DSR_OPT6_WORDS 5

struct geneve {
	__u8 opt_len; /* version in the upper two bits */
	__u8 flags;
	__be16 protocol;
	__be32 vni; /* upper 24 bits */
};

struct geneve_option {
	__be16 class;
	__u8 type;
	__u8 words; /* of data, lower 5 bits */
};

struct dsr_option4 {
	struct geneve_option header;
	__be32 addr;
	__be16 port;
	__u16 zero;
};
_Static_assert(sizeof(struct dsr_option4) == 4 * (1 + DSR_OPT4_WORDS), "wire format");

struct dsr_option6 {
	struct geneve_option header;
	struct address addr;
	__be16 port;
	__u16 zero;
};
_Static_assert(sizeof(struct dsr_option6) == 4 * (1 + DSR_OPT6_WORDS), "wire format");

/* What stands before the inner frame's IP header, without option: 50 bytes with an IPv4 outer header, 70 with IPv6. */
#define OUTER4_ROOM (sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(struct geneve) + sizeof(struct ethhdr))
#define OUTER6_ROOM (sizeof(struct ipv6hdr) + sizeof(struct udphdr) + sizeof(struct geneve) + sizeof(struct ethhdr))
_Static_assert(OUTER4_ROOM == 50 && OUTER6_ROOM == 70, "wire format");

/* Room for the tunnel and an option with this many words of data; 0: without option. */
static __always_inline __u32 tunnel_room(bool outer_ipv4, __u32 words)
{
	return (outer_ipv4 ? OUTER4_ROOM : OUTER6_ROOM) + (words ? 4 * (1 + words) : 0);
}

static __always_inline __u32 option_words(bool frontend_ipv4)
{
	return frontend_ipv4 ? DSR_OPT4_WORDS : DSR_OPT6_WORDS;
}

static __always_inline bool is_geneve(const struct packet *p)
{
	return p->tuple.protocol == IPPROTO_UDP && p->tuple.destination_port == bpf_htons(GENEVE_PORT);
}
