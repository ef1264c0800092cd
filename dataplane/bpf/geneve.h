/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Geneve (RFC 8926, section 3.4) and the DSR option, which carries the frontend to the pod node. */
#pragma once

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <linux/udp.h>

#define GENEVE_PORT 6081
#define GENEVE_CRITICAL 0x40 /* C bit: an option with bit 0x80 in its type is present */
#define GENEVE_VERSION 0xc0
#define GENEVE_OPT_LEN 0x3f /* in words of 4 bytes */
#define GENEVE_TEB 0x6558   /* the payload is an Ethernet frame */

#define DSR_OPT_CLASS 0x014b
#define DSR_OPT_TYPE 0x81 /* critical */
#define DSR_OPT4_WORDS 2  /* data after the option's own header */

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

/* What stands before the inner frame. */
struct outer4 {
	struct iphdr ip;
	struct udphdr udp;
	struct geneve geneve;
};

#define OUTER4_ROOM (sizeof(struct outer4) + sizeof(struct ethhdr)) /* 50 bytes without option */
#define OUTER4_ROOM_DSR (OUTER4_ROOM + sizeof(struct dsr_option4))  /* 62 bytes with it */
_Static_assert(OUTER4_ROOM == 50 && OUTER4_ROOM_DSR == 62, "wire format");
