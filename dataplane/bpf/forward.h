/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* LB node: a client's packet to a frontend. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "config.h"
#include "flows.h"
#include "geneve.h"
#include "hook.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "reply.h"
#include "select.h"
#include "snat.h"
#include "types.h"
#include "verdict.h"

static __always_inline struct frontend *find_frontend(const struct packet *p)
{
	struct service_key key = {
		.address = p->tuple.destination,
		.port = p->tuple.destination_port,
		.protocol = p->tuple.protocol,
	};

	return bpf_map_lookup_elem(&frontends, &key);
}

/* Reports whether the destination is a VIP. No interface has it, so what is for none of its services must not be routed back
 * where it came from. */
static __always_inline bool is_guarded(const struct packet *p)
{
	struct service_key key = {.address = p->tuple.destination};

	return bpf_map_lookup_elem(&frontends, &key) != NULL;
}

/* loadBalancerSourceRanges hold for every client, inside the cluster and out, in every mode, at the service's VIPs, external IPs
 * and NodePorts; not at its ClusterIPs. */
static __always_inline bool is_allowed(const struct packet *p, const struct frontend *f)
{
	struct range_key key = {.prefix = 32 + 128, .service = f->service, .address = p->tuple.source};

	return !(f->flags & FRONTEND_RANGES) || bpf_map_lookup_elem(&ranges, &key);
}

/* No backend to go to. As in kube-proxy: where no node has a backend the client gets an ICMP error; where only this node has none
 * (externalTrafficPolicy: Local) the packet is dropped silently, so that clients try again elsewhere. */
static __always_inline int no_backend(struct verdict *v, const struct frontend *f)
{
	if (!(f->flags & FRONTEND_EMPTY))
		return -REASON_DROP_NO_LOCAL_BACKEND;
	v->refuse = true;
	return -REASON_DROP_NO_BACKEND;
}

/* Reports whether no host has the address (RFC 1122, 3.2.1.3; RFC 4291, 2.4). */
static __always_inline bool is_martian(const struct address *a)
{
	__u8 first = bpf_ntohl(a->word[3]) >> 24;

	if (is_ipv4(a))
		return !first || first >= 224 || is_loopback(a);
	return is_zero(a) || is_loopback(a) || (a->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

/* Checks the source of a new flow: 0 or a drop reason. */
static __always_inline int check_source(struct hook h, const struct packet *p, const struct verdict *v)
{
	struct service_key from = {
		.address = p->tuple.source,
		.port = p->tuple.source_port,
		.protocol = p->tuple.protocol,
	};
	struct pod *pod;

	if (v->point == POINT_FROM_NODE)
		return 0;
	if (h.kind == HOOK_TC && v->point == POINT_FROM_POD) {
		pod = bpf_map_lookup_elem(&pods, &p->tuple.source);
		return pod && pod->ifindex != skb_of(h)->ifindex ? -REASON_DROP_SPOOFED : 0;
	}
	if (is_martian(&p->tuple.source))
		return -REASON_DROP_MARTIAN;
	return bpf_map_lookup_elem(&frontends, &from) ? -REASON_DROP_FROM_FRONTEND : 0;
}

/* Finds the backend of a packet to a frontend, and sets what the packet has to become so that it gets there. */
static __always_inline int balance(struct hook h, const struct packet *p, struct verdict *v, const struct frontend *f,
				   const struct backend_set *set, struct flow *flow, struct backend **chosen)
{
	struct backend *b;
	int err;

	v->service = f->service;
	v->mode = broken == FAULT_SNAT ? MODE_SNAT : f->mode;
	set_frontend(v, &p->tuple.destination, p->tuple.destination_port);
	if (!is_allowed(p, f))
		return -REASON_DROP_SOURCE_RANGE;
	if (p->ttl <= 1) {
		v->refuse = true;
		return -REASON_DROP_TTL;
	}
	v->hash = hash_flow(&p->tuple);
	b = set->size ? choose_backend(p, v, f, set, flow) : NULL;
	if (!b)
		return no_backend(v, f);
	err = v->begins ? check_source(h, p, v) : 0;
	if (err)
		return err;
	set_backend(v, &b->address, b->port);
	v->node = b->node;
	v->to.destination = b->address;
	v->to.destination_port = b->port;
	v->rewrite = true;
	*chosen = b;
	return 0;
}

/* The backend is a pod of this node: no tunnel, and the pod's reply is rewritten here. */
static __always_inline int to_endpoint(const struct packet *p, struct verdict *v, __u8 flags)
{
	int err = deliver_to(v, &v->backend.address);

	return err ?: learn_reply(p, &v->to, &v->frontend, v->service, flags, v->pod.ifindex) ?: REASON_TO_ENDPOINT;
}

/* The backend is a process of this node; its replies pass from_node. */
static __always_inline int to_process(const struct packet *p, struct verdict *v)
{
	v->to_kernel = true;
	return learn_reply(p, &v->to, &v->frontend, v->service, 0, 0) ?: REASON_TO_ENDPOINT;
}

/* Likewise, and the node itself is the client. With the node's own address as its source it would be a martian where it comes in
 * (fib_validate_source, net/ipv4/fib_frontend.c), so it has the frontend's. If the frontend has the node's address, too, as a
 * NodePort has, the packet is on lo already, and right there. */
static __always_inline int to_own_process(const struct packet *p, struct verdict *v)
{
	if (is_this_node(&v->frontend.address)) {
		v->to_kernel = true;
	} else {
		v->to.source = v->frontend.address;
		v->to_self = true;
	}
	return learn_reply(p, &v->to, &v->frontend, v->service, FLOW_INSIDE, 0) ?: REASON_TO_ENDPOINT;
}

/* Bytes of the packet, or of each segment of it, from the IP header on. */
static __always_inline __u32 size_of(struct hook h, const struct packet *p)
{
	__u32 length = length_of(h) - L3;

	if (is_super_packet(h))
		length = l4_offset(p) - L3 + skb_of(h)->gso_size +
			 (p->tuple.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr));
	return length;
}

/* Reports whether the packet fits the link with the tunnel around it. */
static __always_inline bool fits_mtu(struct hook h, const struct packet *p, const struct verdict *v)
{
	__u32 words = v->option ? option_words(is_ipv4(&v->frontend.address)) : 0;

	return size_of(h, p) + tunnel_room(is_ipv4(&v->node), words) <= mtu;
}

/* Reports whether a pod node has asked for the option of late: it has lost the frontends of flows that began here. */
static __always_inline bool is_option_requested(void)
{
	__u32 zero = 0;
	__u64 *until = bpf_map_lookup_elem(&option_requested, &zero);

	return until && *until && *until > bpf_ktime_get_coarse_ns(); /* mostly it is 0, and no clock is read */
}

/* DSR: the client's address stays, and the option carries the frontend to the pod node. It is on the first packet, on every UDP
 * packet, on all packets of a flow that began at another LB node, and on all packets for a while after a pod node has asked. */
static __always_inline int to_overlay_dsr(struct verdict *v, const struct packet *p, const struct flow *flow)
{
	v->option = broken != FAULT_NO_OPTION &&
		    (is_syn(p) || p->tuple.protocol == IPPROTO_UDP || !(flow->flags & FLOW_BEGUN_HERE) || is_option_requested());
	return REASON_TO_OVERLAY_DSR;
}

/* SNAT: the pod sees this node's address, and replies to it. */
static __always_inline int to_overlay_snat(struct verdict *v, const struct packet *p, const struct backend *b, struct flow *flow)
{
	int err = ensure_port(p, v, b, flow);

	if (err)
		return err;
	v->to.source = node_address(p->ipv4);
	v->to.source_port = flow->snat_port;
	return REASON_TO_OVERLAY_SNAT;
}

/* The backend is neither a pod nor a node: it sees this node's address, as in SNAT, and no tunnel leads to it. */
static __always_inline int to_outside(const struct packet *p, struct verdict *v, const struct backend *b, struct flow *flow)
{
	int rc = to_overlay_snat(v, p, b, flow);

	v->mode = MODE_SNAT;
	return rc < 0 ? rc : REASON_TO_NETWORK;
}

/* From the network: a client outside of the cluster. */
static __always_inline int forward_from_network(struct hook h, const struct packet *p, struct verdict *v, const struct frontend *f)
{
	struct backend *b;
	struct flow flow;
	int rc, err;

	if (f->kind == FRONTEND_CLUSTER_IP)
		return -REASON_DROP_CLUSTER_IP;
	err = balance(h, p, v, f, &f->outside, &flow, &b);
	if (err)
		return err;
	if (b->flags & BACKEND_LOCAL) {
		rc = to_endpoint(p, v, 0);
	} else if (is_this_node(&b->address)) {
		rc = h.kind == HOOK_XDP ? PASS_TO_TC : to_process(p, v);
	} else if (b->flags & BACKEND_OUTSIDE) {
		rc = h.kind == HOOK_XDP ? PASS_TO_TC : to_outside(p, v, b, &flow);
	} else {
		rc = v->mode == MODE_DSR ? to_overlay_dsr(v, p, &flow) : to_overlay_snat(v, p, b, &flow);
		__builtin_memcpy(v->next_hop, b->next_hop, sizeof(v->next_hop));
		v->encapsulate = true;
		v->split = rc > 0 && !fits_mtu(h, p, v);
	}
	if (rc < 0 || rc == PASS_TO_TC)
		return rc;
	if (v->split && !p->may_split) {
		v->refuse = true;
		return -REASON_DROP_TOO_BIG;
	}
	err = remember_flow(p, v, &flow);
	return err ?: rc;
}

/* A pod of this node, or the node itself, calls a service: translated here, so that no node in between takes part. */
static __always_inline int forward_inside(struct hook h, const struct packet *p, struct verdict *v, const struct frontend *f)
{
	struct backend *b;
	struct flow flow;
	int rc, err = balance(h, p, v, f, &f->inside, &flow, &b);

	if (err)
		return err;
	v->mode = MODE_SNAT;
	if (v->point == POINT_FROM_NODE && is_this_node(&b->address)) {
		rc = to_own_process(p, v);
	} else if (v->point == POINT_FROM_NODE && size_of(h, p) > mtu) { /* lo takes larger ones than what comes next */
		v->refuse = true;
		rc = -REASON_DROP_TOO_BIG;
	} else if (address_equal(&b->address, &p->tuple.source)) { /* a pod that calls itself must not see its own address */
		rc = to_overlay_snat(v, p, b, &flow);
		if (rc > 0)
			rc = deliver_to(v, &b->address) ?: REASON_TO_ENDPOINT;
	} else if (b->flags & BACKEND_LOCAL) {
		rc = to_endpoint(p, v, FLOW_INSIDE);
	} else {
		v->to_kernel = v->point == POINT_FROM_POD;
		rc = learn_reply(p, &v->to, &v->frontend, v->service, FLOW_INSIDE, 0) ?: REASON_TO_NETWORK;
	}
	if (rc < 0)
		return rc;
	err = remember_flow(p, v, &flow);
	return err ?: rc;
}
