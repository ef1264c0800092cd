/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Answers: their source becomes the frontend that the client talks to. */
#pragma once

#include "forward.h"

/* Translates an answer of a known flow. */
static __always_inline void translate_answer(const struct packet *p, struct verdict *v, struct reply *r)
{
	r->flags |= closing_flags(p, FLOW_POD_FIN);
	v->service = r->service;
	set_frontend(v, &r->frontend, r->port);
	set_backend(v, &p->tuple.source, p->tuple.source_port);
	v->to.source = r->frontend;
	v->to.source_port = r->port;
	v->rewrite = true;
}

/* To a client on this node, or to the node itself. */
static __always_inline int reply_inside(const struct packet *p, struct verdict *v, struct reply *r)
{
	translate_answer(p, v, r);
	v->mode = MODE_SNAT;
	if (is_this_node(&p->tuple.destination)) {
		v->to_loopback = is_this_node(&r->frontend);
		v->to_kernel = !v->to_loopback;
		return REASON_REPLY_INSIDE;
	}
	return deliver_to(v, &p->tuple.destination) ?: REASON_REPLY_INSIDE;
}

/* Pod node, from a pod: the answer goes straight to the client. */
static __always_inline int reply(const struct packet *p, struct verdict *v, struct reply *r)
{
	if (!r->port) /* the client talks to the pod itself */
		return REASON_NOT_OURS;
	if (p->ttl <= 1)
		return -REASON_DROP_TTL;
	if (r->flags & FLOW_INSIDE)
		return reply_inside(p, v, r);
	translate_answer(p, v, r);
	if (broken == FAULT_NO_REPLY_REWRITE) {
		v->to.source = p->tuple.source;
		v->to.source_port = p->tuple.source_port;
	}
	v->mode = MODE_DSR;
	v->clamp = p->tcp_flags & TCP_SYN;
	return REASON_REPLY_DIRECT;
}

/* Pod node, from a process of its own that is a backend. */
static __always_inline int reply_of_process(const struct packet *p, struct verdict *v, struct reply *r)
{
	bool inside = r->flags & FLOW_INSIDE, on_loopback = is_this_node(&r->frontend);

	if (inside && !on_loopback && !equal(&p->tuple.destination, &r->frontend))
		return REASON_NOT_OURS;
	translate_answer(p, v, r);
	if (inside) { /* the node itself is the client: to_own_process */
		v->mode = MODE_SNAT;
		if (!on_loopback)
			v->to.destination = p->tuple.source;
		v->to_self = !on_loopback;
		v->to_kernel = on_loopback;
		return REASON_REPLY_INSIDE;
	}
	v->mode = MODE_DSR;
	v->clamp = p->tcp_flags & TCP_SYN;
	v->to_kernel = true;
	return REASON_REPLY_DIRECT;
}

/* From the network: the answer of a backend elsewhere to a pod of this node, or to the node. */
static __always_inline int answer_inside(const struct packet *p, struct verdict *v)
{
	bool unproven;
	struct reply *r = find_reply(&p->tuple, &unproven);

	return r && r->flags & FLOW_INSIDE ? reply_inside(p, v, r) : REASON_NOT_OURS;
}

/* From the network, to a backend of this node and past every frontend: noted, so that its answer is known to be right. */
static __always_inline int note_direct(const struct packet *p)
{
	struct service_key to = {
		.address = p->tuple.destination,
		.port = p->tuple.destination_port,
		.protocol = p->tuple.protocol,
	};
	struct service_key none = {};

	if (!bpf_map_lookup_elem(&local_backends, &to) || is_inside(&p->tuple.source))
		return REASON_NOT_OURS;
	return learn_reply(p, &p->tuple, &none, 0, 0) ?: REASON_NOT_OURS;
}

/* Whether a packet of a pod is an answer of a backend to a client outside, of a flow that no one knows. */
static __always_inline bool leaks(const struct packet *p)
{
	struct service_key from = {
		.address = p->tuple.source,
		.port = p->tuple.source_port,
		.protocol = p->tuple.protocol,
	};

	return bpf_map_lookup_elem(&local_backends, &from) && !is_inside(&p->tuple.destination);
}
