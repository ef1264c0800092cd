/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The packet as tc and XDP hand it to a program. Decisions are the same for both; a struct hook says which one it is, and
 * the compiler makes a copy of the code for each. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>
#include <stddef.h>

#include "config.h"

enum hook_kind { HOOK_TC, HOOK_XDP };

#define VLAN_IDENTIFIER 0x0fff /* of a tag's control information */

struct hook {
	void *ctx;
	enum hook_kind kind;
};

#define L3 ((__u32)sizeof(struct ethhdr)) /* offset of the IP header, when no tunnel is around it */

/* All headers that a program may read or write in place lie in the first HEADERS_MAX bytes of a packet: two Ethernet and two
 * IPv6 headers, UDP, Geneve with the DSR option for IPv6, and TCP without options. */
#define HEADERS_MAX (14 + 40 + 8 + 8 + 24 + 14 + 40 + 20)

static __always_inline struct __sk_buff *skb_of(struct hook h)
{
	return h.ctx;
}

static __always_inline struct xdp_md *xdp_of(struct hook h)
{
	return h.ctx;
}

/* *length* bytes of the packet at *offset*, or NULL if it is shorter. Not valid any more once room was made or taken. */
static __always_inline void *packet_at(struct hook h, __u32 offset, __u32 length)
{
	void *data, *end;

	if (h.kind == HOOK_XDP) {
		data = (void *)(long)xdp_of(h)->data;
		end = (void *)(long)xdp_of(h)->data_end;
	} else {
		data = (void *)(long)skb_of(h)->data;
		end = (void *)(long)skb_of(h)->data_end;
	}
	return data + offset + length <= end ? data + offset : NULL;
}

/* Reports whether the frame is the device's own: addressed to it, and of no VLAN. A switch floods frames to others, too, and what
 * has a VLAN identifier belongs to a device of that VLAN (a tag with identifier 0 gives a priority only: IEEE 802.1Q, 9.6). The
 * kernel keeps the tag beside the packet; in XDP it is a part of the frame, which then has another EtherType. */
static __always_inline bool is_own_frame(struct hook h)
{
	const volatile __u16 *own = (const volatile __u16 *)outside_mac;
	struct ethhdr *eth = packet_at(h, 0, sizeof(*eth));
	__u16 *to;

	if (!eth)
		return false;
	to = (__u16 *)eth->h_dest;
	if (to[0] != own[0] || to[1] != own[1] || to[2] != own[2])
		return false;
	return h.kind == HOOK_XDP || !skb_of(h)->vlan_present || !(skb_of(h)->vlan_tci & VLAN_IDENTIFIER);
}

/* Reports whether the packet is many segments in one, which the kernel has put together or not cut yet. XDP has none. */
static __always_inline bool is_super_packet(struct hook h)
{
	return h.kind == HOOK_TC && skb_of(h)->gso_size;
}

/* Bytes from the Ethernet header on. */
static __always_inline __u64 length_of(struct hook h)
{
	__u64 length;

	if (h.kind == HOOK_TC)
		return skb_of(h)->len;
	length = (__u64)xdp_of(h)->data_end - xdp_of(h)->data;
	barrier_var(length); /* or the compiler calculates with data_end by itself, which the verifier refuses */
	return length;
}

static __always_inline int load_bytes(struct hook h, __u32 offset, void *to, __u32 length)
{
	return h.kind == HOOK_XDP ? bpf_xdp_load_bytes(xdp_of(h), offset, to, length)
				  : bpf_skb_load_bytes(skb_of(h), offset, to, length);
}

/* tc: makes sure that the headers can be read and written in place. */
static __always_inline void linearize(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + HEADERS_MAX > end)
		bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX);
}
