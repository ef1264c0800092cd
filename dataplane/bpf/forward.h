/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* LB node, from the network: a client's packet to a frontend. */
#pragma once

#include "deliver.h"
#include "encap.h"
#include "hash.h"
#include "rewrite.h"
#include "select.h"
#include "snat.h"

static __always_inline struct frontend *find_frontend(const struct packet *p)
{
	struct service4_key key = {.addr = p->tuple.daddr, .port = p->tuple.dport, .protocol = p->tuple.protocol};

	return bpf_map_lookup_elem(&frontends4, &key);
}

/* A VIP is nobody's interface: what is for none of its services must not be routed back where it came from. */
static __always_inline bool is_guarded(const struct packet *p)
{
	struct service4_key key = {.addr = p->tuple.daddr};

	return bpf_map_lookup_elem(&frontends4, &key) != NULL;
}

/* The flow's backend. *flow is what is to be remembered of it, *changed whether that has to be written. */
static __always_inline struct backend4 *find_backend(const struct packet *p, const struct frontend *f, __u32 hash,
						     struct flow4 *flow, bool *begins)
{
	struct flow4 *known = bpf_map_lookup_elem(&flows4, &p->tuple);
	struct backend4 *b;

	if (known && !(is_syn(p) && known->flags & (FLOW_CLIENT_FIN | FLOW_RESET))) {
		b = bpf_map_lookup_elem(&backends4, &known->backend);
		if (b) {
			known->seen = bpf_ktime_get_coarse_ns();
			known->flags |= closing_flags(p, FLOW_CLIENT_FIN);
			*flow = *known;
			return b;
		}
	}
	*begins = true;
	return begin_flow(p, f, hash, flow);
}

static __always_inline int remember(const struct packet *p, const struct flow4 *flow)
{
	return bpf_map_update_elem(&flows4, &p->tuple, flow, BPF_ANY) ? -REASON_DROP_TABLE : 0;
}

/* The backend is a pod of this node: no tunnel, and the pod's answer is rewritten here. */
static __always_inline int forward_local(struct __sk_buff *skb, const struct packet *p, struct verdict *v, const struct backend4 *b)
{
	struct flow4_key as_pod_sees = p->tuple;
	int err;

	as_pod_sees.daddr = b->addr;
	as_pod_sees.dport = b->port;
	if ((err = learn_reply(&as_pod_sees, p->tuple.daddr, p->tuple.dport)) || (err = deliver(skb, v, b->addr)) ||
	    (err = decrement_ttl(skb, p)) || (err = rewrite(skb, p, END_DESTINATION, b->addr, b->port)))
		return err;
	return REASON_TO_ENDPOINT;
}

/* DSR: the client's address stays, and the option tells the pod node the frontend. */
static __always_inline int forward_dsr(struct __sk_buff *skb, const struct packet *p, struct verdict *v, const struct backend4 *b,
				       const struct flow4 *flow, __u32 hash)
{
	struct tunnel t = {
		.node = b->node,
		.frontend = p->tuple.daddr,
		.frontend_port = p->tuple.dport,
		.option = is_syn(p) || p->tuple.protocol == IPPROTO_UDP || !(flow->flags & FLOW_BEGUN_HERE),
		.hash = hash,
	};
	int err;

	v->option = t.option;
	if (!fits(skb, p, &t))
		return -REASON_DROP_TOO_BIG;
	if ((err = decrement_ttl(skb, p)) || (err = rewrite(skb, p, END_DESTINATION, b->addr, b->port)) ||
	    (err = encapsulate(skb, &t)))
		return err;
	v->addressed = address_to_node(skb, b->node);
	return REASON_TO_OVERLAY_DSR;
}

/* SNAT: the pod sees this node, and answers it. */
static __always_inline int forward_snat(struct __sk_buff *skb, struct packet *p, struct verdict *v, const struct backend4 *b,
					__be16 port, __u32 hash)
{
	struct tunnel t = {.node = b->node, .hash = hash};
	int err;

	if (!fits(skb, p, &t))
		return -REASON_DROP_TOO_BIG;
	if ((err = decrement_ttl(skb, p)) || (err = rewrite(skb, p, END_DESTINATION, b->addr, b->port)) ||
	    (err = rewrite(skb, p, END_SOURCE, node_addr4, port)) || (err = encapsulate(skb, &t)))
		return err;
	v->addressed = address_to_node(skb, b->node);
	return REASON_TO_OVERLAY_SNAT;
}

/* Makes sure that the flow has a source port of this node. */
static __always_inline int ensure_port(const struct packet *p, const struct backend4 *b, struct flow4 *flow, bool *changed)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (flow->snat_port && keep_port(p, b, flow->snat_port, now))
		return 0;
	*changed = true;
	return take_port(p, b, now, &flow->snat_port);
}

static __always_inline int forward(struct __sk_buff *skb, struct packet *p, struct verdict *v, const struct frontend *f)
{
	__u32 hash = hash_flow4(&p->tuple);
	struct backend4 *b;
	struct flow4 flow;
	bool snat;
	int err = 0;

	v->found = true;
	v->mode = f->mode;
	v->frontend = p->tuple.daddr;
	v->frontend_port = p->tuple.dport;
	if (p->ttl <= 1)
		return -REASON_DROP_TTL;
	b = f->backends ? find_backend(p, f, hash, &flow, &v->begins) : NULL;
	if (!b)
		return -REASON_DROP_NO_BACKEND;
	v->backend = b->addr;
	v->backend_port = b->port;
	v->node = b->node;

	bool changed = v->begins;

	snat = f->mode == MODE_SNAT && !(b->flags & BACKEND_LOCAL);
	if (snat)
		err = ensure_port(p, b, &flow, &changed);
	if (!err && changed)
		err = remember(p, &flow);
	if (err)
		return err;
	if (b->flags & BACKEND_LOCAL)
		return forward_local(skb, p, v, b);
	if (snat)
		return forward_snat(skb, p, v, b, flow.snat_port, hash);
	return forward_dsr(skb, p, v, b, &flow, hash);
}

/* LB node, from the network: a pod's answer to a flow that left with this node's address. */
static __always_inline int return_to_client(struct __sk_buff *skb, struct packet *p, struct verdict *v, struct snat4 *back)
{
	struct snat4 to = *back;
	int err = 0;

	back->seen = bpf_ktime_get_coarse_ns();
	back->flags |= closing_flags(p, FLOW_POD_FIN);
	v->frontend = to.frontend_addr;
	v->frontend_port = to.frontend_port;
	v->backend = p->tuple.saddr;
	v->backend_port = p->tuple.sport;
	v->node = to.client_addr;
	if (p->ttl <= 1)
		return -REASON_DROP_TTL;
	if (p->tcp_flags & TCP_SYN)
		err = clamp_mss(skb, p);
	if (err || (err = decrement_ttl(skb, p)) || (err = rewrite(skb, p, END_SOURCE, to.frontend_addr, to.frontend_port)) ||
	    (err = rewrite(skb, p, END_DESTINATION, to.client_addr, to.client_port)))
		return err;
	return REASON_REPLY_FROM_SNAT;
}
