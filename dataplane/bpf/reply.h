/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Replies: their source becomes the frontend that the client called. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "config.h"
#include "flows.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"
#include "verdict.h"

/* Translates a reply of a known flow. */
static __always_inline void translate_reply(const struct packet *p, struct verdict *v, struct reply *r)
{
	note_closing(&r->flags, p, FLOW_POD_FIN);
	v->service = r->service;
	set_frontend(v, &r->frontend, r->port);
	set_backend(v, &p->tuple.source, p->tuple.source_port);
	v->to.source = r->frontend;
	v->to.source_port = r->port;
	v->rewrite = true;
}

/* The client is on this node, or the node itself. */
static __always_inline int reply_inside(const struct packet *p, struct verdict *v, struct reply *r)
{
	translate_reply(p, v, r);
	v->mode = MODE_SNAT;
	if (is_this_node(&p->tuple.destination)) {
		v->to_loopback = is_this_node(&r->frontend);
		v->to_kernel = !v->to_loopback;
		return REASON_REPLY_INSIDE;
	}
	return deliver_to(v, &p->tuple.destination) ?: REASON_REPLY_INSIDE;
}

/* Pod node, from a pod: the reply goes straight to the client. */
static __always_inline int reply_from_pod(struct hook h, const struct packet *p, struct verdict *v, struct reply *r)
{
	if (r->device != skb_of(h)->ifindex)
		return -REASON_DROP_SPOOFED;
	if (!r->port) /* the client talks to the pod itself */
		return REASON_NOT_OURS;
	if (p->ttl <= 1) {
		v->refuse = true;
		return -REASON_DROP_TTL;
	}
	if (r->flags & FLOW_INSIDE)
		return reply_inside(p, v, r);
	translate_reply(p, v, r);
	if (broken == FAULT_NO_REPLY_REWRITE) {
		v->to.source = p->tuple.source;
		v->to.source_port = p->tuple.source_port;
	}
	v->mode = MODE_DSR;
	v->clamp = p->tcp_flags & TCP_SYN;
	return REASON_REPLY_DIRECT;
}

/* Pod node, from a process of its own that is a backend. */
static __always_inline int reply_from_process(const struct packet *p, struct verdict *v, struct reply *r)
{
	bool inside = r->flags & FLOW_INSIDE, on_loopback = is_this_node(&r->frontend);

	if (inside && !on_loopback && !address_equal(&p->tuple.destination, &r->frontend))
		return REASON_NOT_OURS;
	translate_reply(p, v, r);
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

/* From the network: the reply of a backend on another node to this node itself. What is for a pod goes its way through the kernel,
 * as the pod's requests do, so that a firewall sees both; reply_to_pod translates it. */
static __always_inline int reply_to_node(const struct packet *p, struct verdict *v)
{
	bool unconfirmed;
	struct reply *r = find_reply(&p->tuple, &unconfirmed);

	return r && r->flags & FLOW_INSIDE ? reply_inside(p, v, r) : REASON_NOT_OURS;
}

static __always_inline bool is_loopback(const struct address *a)
{
	return is_ipv4(a) ? (a->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000)
			  : !(a->word[0] | a->word[1] | a->word[2]) && a->word[3] == bpf_htonl(1);
}

/* What a process of this node replies to. One that is not bound to an address may reply from any of the node's, as the kernel's
 * routes have it; requests came to the one that other nodes know. */
static __always_inline struct reply *find_reply_of_process(const struct packet *p)
{
	struct flow_key reply_tuple = p->tuple;
	bool unconfirmed;

	if (is_loopback(&p->tuple.source))
		return NULL;
	reply_tuple.source = node_address(p->ipv4);
	return find_reply(&reply_tuple, &unconfirmed);
}

/* The last step of a reply from a backend that is no pod of this node, to a pod that called a service. */
static __always_inline int reply_to_pod(const struct packet *p, struct verdict *v, struct reply *r)
{
	translate_reply(p, v, r);
	v->mode = MODE_SNAT;
	v->to_kernel = true;
	return REASON_REPLY_INSIDE;
}

/* What comes to a backend of this node without a frontend is noted, so that its reply is not taken for a leak. delivered: it is on
 * its last step to the pod, where what we have sent on its way passes, too, if the family of its tunnel is another. */
static __always_inline int note_direct(const struct packet *p, bool delivered)
{
	struct service_key to = {
		.address = p->tuple.destination,
		.port = p->tuple.destination_port,
		.protocol = p->tuple.protocol,
	};
	struct flow_key reply_tuple = reversed(&p->tuple);
	struct service_key none = {};
	struct reply *known;
	bool unconfirmed;
	struct pod *pod;

	pod = bpf_map_lookup_elem(&local_backends, &to);
	if (!pod || is_inside(&p->tuple.source))
		return REASON_NOT_OURS;
	known = delivered ? find_reply(&reply_tuple, &unconfirmed) : NULL;
	if (known && known->port)
		return REASON_NOT_OURS;
	return learn_reply(p, &p->tuple, &none, 0, 0, pod->ifindex) ?: REASON_NOT_OURS;
}

/* Reports whether a pod's packet is a backend's reply to a client outside the cluster, of a flow of ours that is forgotten. What a
 * pod begins itself is not: a SYN, and a datagram, of which nobody can tell. What comes to the pod past us is noted: note_direct.
 */
static __always_inline bool is_leak(const struct packet *p)
{
	struct service_key from = {
		.address = p->tuple.source,
		.port = p->tuple.source_port,
		.protocol = p->tuple.protocol,
	};

	if (p->tuple.protocol != IPPROTO_TCP || is_syn(p))
		return false;
	return bpf_map_lookup_elem(&local_backends, &from) && !is_inside(&p->tuple.destination);
}
