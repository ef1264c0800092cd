/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The single exit: counts the packet, reports its flow, and says what the kernel does with it. */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "config.h"
#include "maps.h"
#include "parse.h"

/* What is known of a packet besides itself; filled in as the program finds out. */
struct verdict {
	enum point point;
	__u32 pod_ifindex; /* deliver here; 0: out to the network */
	bool addressed;	   /* the frame has its Ethernet addresses already */
	bool found;	   /* frontend is set */
	bool option;
	bool begins; /* first packet of a flow */
	__u8 mode;
	__be32 frontend, backend, node;
	__be16 frontend_port, backend_port;
};

static __always_inline void map_address(__u8 to[16], __be32 addr)
{
	if (!addr)
		return;
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &addr, sizeof(addr));
}

/* First and last packets of a flow and drops are always reported, of the others one in event_sample. */
static __always_inline bool is_reported(const struct packet *p, const struct verdict *v, enum reason reason)
{
	if (reason == REASON_NOT_OURS)
		return false;
	if (reason >= REASON_DROP_FIRST || v->begins || p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
		return true;
	return event_sample && bpf_get_prandom_u32() % event_sample == 0;
}

static __always_inline void report(const struct packet *p, const struct verdict *v, enum reason reason, __u32 bytes)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->time = bpf_ktime_get_ns();
	map_address(e->source, p->tuple.saddr);
	map_address(e->destination, p->tuple.daddr);
	map_address(e->frontend, v->frontend);
	map_address(e->backend, v->backend);
	map_address(e->node, v->node);
	e->source_port = p->tuple.sport;
	e->destination_port = p->tuple.dport;
	e->frontend_port = v->frontend_port;
	e->backend_port = v->backend_port;
	e->bytes = bytes;
	e->reason = reason;
	e->point = v->point;
	e->protocol = p->tuple.protocol;
	e->tcp_flags = p->tcp_flags;
	e->flags = v->option ? EVENT_OPTION : 0;
	e->mode = v->mode;
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void count(enum reason reason, __u32 bytes)
{
	__u32 key = reason;
	struct counter *c = bpf_map_lookup_elem(&counters, &key);

	if (!c)
		return;
	c->packets++;
	c->bytes += bytes;
}

/* Turns the core's answer, a reason or a negated drop reason, into an action. */
static __always_inline int finish(struct __sk_buff *skb, const struct packet *p, const struct verdict *v, int answer, __u32 bytes)
{
	enum reason reason = answer < 0 ? -answer : answer;

	count(reason, bytes);
	if (is_reported(p, v, reason))
		report(p, v, reason, bytes);
	if (reason == REASON_NOT_OURS)
		return TC_ACT_OK;
	if (reason >= REASON_DROP_FIRST)
		return TC_ACT_SHOT;
	if (v->pod_ifindex)
		return bpf_redirect_peer(v->pod_ifindex, 0);
	if (v->addressed)
		return bpf_redirect(outside_ifindex, 0);
	return bpf_redirect_neigh(outside_ifindex, NULL, 0, 0);
}
