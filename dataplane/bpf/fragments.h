/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Datagrams in fragments: all of them follow the first one, which alone has the ports. tc only: XDP leaves them to it. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "hook.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"

/* Stores the ports of a first fragment, and looks up those of a later one, so that p's tuple is complete. Returns false if the
 * first fragment has not come yet. */
static __always_inline bool find_ports(struct packet *p)
{
	struct fragment_key key = {
		.source = p->tuple.source,
		.destination = p->tuple.destination,
		.id = p->fragment_id,
		.protocol = p->tuple.protocol,
	};
	struct fragment ports = {.source_port = p->tuple.source_port, .destination_port = p->tuple.destination_port};
	struct fragment *known;

	if (p->fragment == FRAGMENT_FIRST)
		return !bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
	known = bpf_map_lookup_elem(&fragments, &key);
	if (!known)
		return false;
	p->tuple.source_port = known->source_port;
	p->tuple.destination_port = known->destination_port;
	return true;
}

static __always_inline __sum16 header_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* How a fragment that does not fit is cut in two (RFC 791, 3.2): a copy of it comes back to this program with the mark, and
 * becomes the second part; the packet itself becomes the first. */
#define SPLIT_MARK 0x0d5a0000 /* the lower half is the payload of the first part, in bytes */
#define SPLIT_MARK_MASK 0xffff0000

/* Makes the header of one part. The checksum field is set as for a new header. */
static __always_inline int write_part(struct hook h, __u32 length, __u32 skipped, bool more)
{
	struct iphdr *ip = packet_at(h, L3, sizeof(*ip));

	if (!ip)
		return -REASON_DROP_TRUNCATED;
	ip->tot_len = bpf_htons(length);
	ip->frag_off = bpf_htons(bpf_ntohs(ip->frag_off) + skipped / 8) | (more ? IP4_MORE : 0);
	ip->check = 0;
	ip->check = header_checksum(ip);
	return 0;
}

/* Cuts the packet to its first part, whose IP packet may have *room* bytes, and sends the copy on its way. */
static __always_inline int split_first(struct hook h, __u32 room)
{
	struct __sk_buff *skb = skb_of(h);
	__u32 payload = (room - sizeof(struct iphdr)) & ~7U;

	skb->mark = SPLIT_MARK | payload;
	if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS))
		return -REASON_DROP_ADJUST;
	skb->mark = 0;
	if (bpf_skb_change_tail(skb, L3 + sizeof(struct iphdr) + payload, 0))
		return -REASON_DROP_ADJUST;
	return write_part(h, sizeof(struct iphdr) + payload, 0, true);
}

/* Makes the copy the second part. */
static __always_inline int split_second(struct hook h)
{
	struct __sk_buff *skb = skb_of(h);
	__u32 payload = skb->mark & ~SPLIT_MARK_MASK;

	skb->mark = 0;
	if (bpf_skb_adjust_room(skb, -(__s32)payload, BPF_ADJ_ROOM_NET, 0))
		return -REASON_DROP_ADJUST;
	return write_part(h, skb->len - L3, payload, false);
}
