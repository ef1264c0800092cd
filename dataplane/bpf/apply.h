/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Applying a verdict to a packet. */
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
#include "verdict.h"

static __always_inline bool is_known(const __u8 mac[6])
{
	return mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5];
}

/* Addresses the frame to the pod. */
static __always_inline int address_to_pod(struct hook h, const struct verdict *v)
{
	struct ethhdr *eth = packet_at(h, 0, sizeof(*eth));

	if (!eth)
		return -REASON_DROP_TRUNCATED;
	__builtin_memcpy(eth->h_dest, v->pod.mac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, v->pod.node_mac, sizeof(eth->h_source));
	return 0;
}

/* Addresses the frame to this node, to the device by which it comes in; that of lo is zero. */
static __always_inline int address_to_self(struct hook h, const struct verdict *v)
{
	struct ethhdr *eth = packet_at(h, 0, sizeof(*eth));

	if (!eth)
		return -REASON_DROP_TRUNCATED;
	for (int i = 0; i < ETH_ALEN; i++) /* from volatile memory, byte by byte */
		eth->h_dest[i] = v->to_loopback ? 0 : outside_mac[i];
	return 0;
}

/* Reports whether this node forwards the packet itself, instead of leaving that to the kernel. */
static __always_inline bool is_hop(const struct verdict *v)
{
	return !v->to_kernel && !v->to_self && !v->to_loopback && v->point != POINT_FROM_NODE;
}

/* Changes the packet according to its verdict. Returns 0 or a negative drop reason. */
static __always_inline int apply_verdict(struct hook h, const struct packet *p, const struct verdict *v)
{
	__u32 words = v->option ? option_words(is_ipv4(&v->frontend.address)) : 0;
	int err = 0;

	if (h.kind == HOOK_TC && v->split)
		err = split_first(h, mtu - tunnel_room(is_ipv4(&v->node), words));
	if (h.kind == HOOK_TC && v->clamp && !err)
		err = clamp_mss(h.ctx, p);
	if (v->rewrite && !err)
		err = rewrite_tuple(h, p, &v->to, is_hop(v));
	if (v->encapsulate && !err)
		return encapsulate(h, v);
	if ((v->to_self || v->to_loopback) && !err)
		return address_to_self(h, v);
	return v->pod.ifindex && !err ? address_to_pod(h, v) : err;
}

/* What comes in by the outside device with this mark has been seen, and is for the kernel's stack. */
#define SEEN_MARK 0x0d5b0000

#define LOOPBACK_IFINDEX 1 /* in every network namespace (include/net/flow.h) */

/* What the kernel does with the packet. redirect_peer takes it into the pod's namespace at once; it believes what the packet
 * was before a tunnel of another family was taken off, and is for ingress only. */
static __always_inline int leave_tc(struct hook h, const struct verdict *v)
{
	if (v->to_kernel)
		return TC_ACT_OK;
	if (v->consumed)
		return TC_ACT_SHOT;
	if (v->to_self) {
		skb_of(h)->mark = SEEN_MARK;
		return bpf_redirect(outside_ifindex, BPF_F_INGRESS);
	}
	if (v->to_loopback)
		return bpf_redirect(LOOPBACK_IFINDEX, BPF_F_INGRESS);
	if (v->pod.ifindex && (v->other_family || v->point == POINT_FROM_NODE))
		return bpf_redirect(v->pod.ifindex, 0);
	if (v->pod.ifindex)
		return bpf_redirect_peer(v->pod.ifindex, 0);
	if (v->encapsulate && is_known(v->next_hop))
		return bpf_redirect(outside_ifindex, 0);
	return bpf_redirect_neigh(outside_ifindex, NULL, 0, 0);
}
