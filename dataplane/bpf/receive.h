/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Pod node, from the network: Geneve of an LB node. */
#pragma once

#include "deliver.h"
#include "encap.h"
#include "geneve.h"
#include "parse.h"

#define GENEVE_OPTIONS_MAX 4 /* looked through; an LB node of ours sends at most one (the verifier wants a bound) */

static __always_inline bool is_geneve(const struct packet *p)
{
	return p->tuple.protocol == IPPROTO_UDP && p->tuple.dport == bpf_htons(GENEVE_PORT);
}

/* Looks for the DSR option among *words* words of options. Unknown critical options are refused (RFC 8926, 3.5). */
static __always_inline int find_option(struct __sk_buff *skb, __u32 offset, __u32 words, struct dsr_option4 *found)
{
	for (int i = 0; i < GENEVE_OPTIONS_MAX && words; i++) {
		struct geneve_option o;
		__u32 size;

		if (bpf_skb_load_bytes(skb, offset, &o, sizeof(o)))
			return -REASON_DROP_GENEVE;
		size = 1 + (o.words & 0x1f);
		if (size > words)
			return -REASON_DROP_GENEVE;
		if (o.class == bpf_htons(DSR_OPT_CLASS) && o.type == DSR_OPT_TYPE) {
			if (o.words != DSR_OPT4_WORDS || found->addr || bpf_skb_load_bytes(skb, offset, found, sizeof(*found)) ||
			    !found->addr || !found->port || found->zero)
				return -REASON_DROP_GENEVE;
		} else if (o.type & 0x80) {
			return -REASON_DROP_GENEVE;
		}
		offset += size * 4;
		words -= size;
	}
	return words ? -REASON_DROP_GENEVE : 0;
}

/* Checks the outer headers: 0 and *room, what stands before the inner IP header, and *option; or a drop reason. */
static __always_inline int check_outer(struct __sk_buff *skb, const struct packet *p, __u32 *room, struct dsr_option4 *option)
{
	__u32 offset = L3 + sizeof(struct iphdr) + sizeof(struct udphdr), words;
	__be32 sender = p->tuple.saddr;
	struct geneve *g = at(skb, offset, sizeof(*g));

	if (!bpf_map_lookup_elem(&nodes4, &sender) || sender == node_addr4)
		return -REASON_DROP_UNKNOWN_NODE;
	if (!g || g->opt_len & GENEVE_VERSION || g->protocol != bpf_htons(GENEVE_TEB))
		return -REASON_DROP_GENEVE;
	if (g->vni != bpf_htonl(vni << 8))
		return -REASON_DROP_VNI;
	words = g->opt_len & GENEVE_OPT_LEN;
	*room = OUTER4_ROOM + words * 4;
	return find_option(skb, offset + sizeof(*g), words, option);
}

/* Whether the pod's answer to this packet will find its way: the frontend is learned, or the peer is a node (SNAT). */
static __always_inline int check_answer(const struct flow4_key *inner, const struct dsr_option4 *option)
{
	struct flow4_key answer = {
		.saddr = inner->daddr,
		.daddr = inner->saddr,
		.sport = inner->dport,
		.dport = inner->sport,
		.protocol = inner->protocol,
	};
	__be32 client = inner->saddr;

	if (option->addr)
		return learn_reply(inner, option->addr, option->port);
	if (bpf_map_lookup_elem(&replies4, &answer) || bpf_map_lookup_elem(&nodes4, &client))
		return 0;
	return -REASON_DROP_NO_FLOW;
}

/* p becomes the inner packet. */
static __always_inline int receive(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	struct service4_key to = {};
	struct dsr_option4 option = {};
	__be32 sender = p->tuple.saddr;
	__u32 room = 0;
	int err = check_outer(skb, p, &room, &option);

	if (err)
		return err;
	if ((err = decapsulate(skb, room)))
		return err;
	*p = (struct packet){};
	if (parse(skb, p) != PARSED_L4)
		return -REASON_DROP_TRUNCATED;
	to.addr = v->backend = p->tuple.daddr;
	to.port = v->backend_port = p->tuple.dport;
	to.protocol = p->tuple.protocol;
	v->node = sender;
	v->option = option.addr != 0;
	v->mode = option.addr ? MODE_DSR : MODE_SNAT;
	v->frontend = option.addr;
	v->frontend_port = option.port;
	if (!bpf_map_lookup_elem(&local_backends4, &to))
		return -REASON_DROP_NOT_BACKEND;
	if ((err = check_answer(&p->tuple, &option)) || (err = deliver(skb, v, p->tuple.daddr)))
		return err;
	return REASON_FROM_OVERLAY;
}
