/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* ICMP errors about packets of translated flows: they quote the packet as their sender saw it, and reach the one who sent it as
 * that one knows it. Path-MTU discovery packet_states through DSR and SNAT because of this. tc only. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "apply.h"
#include "flows.h"
#include "hook.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "rewrite.h"
#include "select.h"
#include "snat.h"
#include "types.h"
#include "verdict.h"

#define ICMP_HEADER 8

/* An error: who sends it to whom, and the packet that it quotes. */
struct icmp {
	struct address source, destination;
	struct flow_key quoted;
};

static __always_inline bool parse_quoted4(struct hook h, struct icmp *e)
{
	struct iphdr *ip = packet_at(h, L3 + sizeof(*ip) + ICMP_HEADER, sizeof(*ip) + 8);
	__be16 *ports;

	if (!ip || ip->ihl != 5 || ip->frag_off & IP4_OFFSET)
		return false;
	ports = (void *)(ip + 1);
	e->quoted.source = address4(ip->saddr);
	e->quoted.destination = address4(ip->daddr);
	e->quoted.source_port = ports[0];
	e->quoted.destination_port = ports[1];
	e->quoted.protocol = ip->protocol;
	return true;
}

static __always_inline bool parse_quoted6(struct hook h, struct icmp *e)
{
	struct ipv6hdr *ip = packet_at(h, L3 + sizeof(*ip) + ICMP_HEADER, sizeof(*ip) + 8);
	__be16 *ports;

	if (!ip)
		return false;
	ports = (void *)(ip + 1);
	__builtin_memcpy(&e->quoted.source, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(&e->quoted.destination, &ip->daddr, sizeof(ip->daddr));
	e->quoted.source_port = ports[0];
	e->quoted.destination_port = ports[1];
	e->quoted.protocol = ip->nexthdr;
	return true;
}

static __always_inline bool parse_quoted(struct hook h, const struct packet *p, struct icmp *e)
{
	e->source = p->tuple.source;
	e->destination = p->tuple.destination;
	if (!(p->ipv4 ? parse_quoted4(h, e) : parse_quoted6(h, e)))
		return false;
	return e->quoted.protocol == IPPROTO_TCP || e->quoted.protocol == IPPROTO_UDP;
}

/* Writes the error anew. The quoted L4 checksum stays as it was: of TCP it is not even there. */
static __always_inline int write_icmp4(struct hook h, const struct packet *p, const struct icmp *from, const struct icmp *to,
				       bool hop)
{
	struct flow_key outer = {.source = to->source, .destination = to->destination};
	struct {
		__u8 type, code;
		__sum16 check;
		__be32 rest;
		struct iphdr ip;
		__be16 ports[2];
	} *m = packet_at(h, L3 + sizeof(struct iphdr), sizeof(*m));

	if (!m)
		return -REASON_DROP_TRUNCATED;
	m->ip.saddr = to->quoted.source.word[3];
	m->ip.daddr = to->quoted.destination.word[3];
	/* The quoted header's own checksum takes up what its addresses change in the sum of the message. */
	m->ip.check = apply_difference(m->ip.check, fold32((__u64)address_difference(&from->quoted.source, &to->quoted.source) +
							   address_difference(&from->quoted.destination, &to->quoted.destination)));
	m->ports[0] = to->quoted.source_port;
	m->ports[1] = to->quoted.destination_port;
	m->check = apply_difference(m->check, port_difference(from->quoted.source_port, to->quoted.source_port) +
						      port_difference(from->quoted.destination_port, to->quoted.destination_port));
	return rewrite4(h, &p->tuple, &outer, hop);
}

static __always_inline int write_icmp6(struct hook h, const struct icmp *from, const struct icmp *to, bool hop)
{
	struct flow_key outer = {.source = to->source, .destination = to->destination};
	struct {
		__u8 type, code;
		__sum16 check;
		__be32 rest;
		struct ipv6hdr ip;
		__be16 ports[2];
	} *m = packet_at(h, L3 + sizeof(struct ipv6hdr), sizeof(*m));
	__u64 sum;

	if (!m)
		return -REASON_DROP_TRUNCATED;
	__builtin_memcpy(&m->ip.saddr, &to->quoted.source, sizeof(m->ip.saddr));
	__builtin_memcpy(&m->ip.daddr, &to->quoted.destination, sizeof(m->ip.daddr));
	m->ports[0] = to->quoted.source_port;
	m->ports[1] = to->quoted.destination_port;
	sum = (__u64)address_difference(&from->quoted.source, &to->quoted.source) +
	      address_difference(&from->quoted.destination, &to->quoted.destination) +
	      address_difference(&from->source, &to->source) + address_difference(&from->destination, &to->destination) +
	      port_difference(from->quoted.source_port, to->quoted.source_port) +
	      port_difference(from->quoted.destination_port, to->quoted.destination_port);
	m->check = apply_difference(m->check, fold32(sum));
	return rewrite6(h, &outer, hop);
}

/* Reports whether the error quotes a reply of a flow that this node knows, as its backend sent it: anybody can send an error about
 * a flow that there is not, and it would lower the path MTU of one that may come (RFC 5927, 7). */
static __always_inline bool is_about_flow(const struct icmp *e)
{
	bool unconfirmed;

	return find_reply(&e->quoted, &unconfirmed);
}

/* LB node: about a reply that had the frontend as its source. Goes to the backend of its flow. */
static __always_inline int error_to_frontend(struct verdict *v, struct icmp *e, const struct frontend *f)
{
	struct flow_key request = reversed(&e->quoted);
	bool unconfirmed;
	struct flow *flow = find_flow(&request, &unconfirmed);
	struct backend *b = flow ? find_backend(flow->backend, flow->serial) : NULL;
	__u32 number;

	v->hash = hash_flow(&request);
	v->service = f->service;
	if (!b && f->mode == MODE_DSR)
		b = select_as_elsewhere(f, &request, v->hash, &number); /* of a flow that another LB node had */
	if (!b)
		return -REASON_DROP_ICMP_NO_FLOW;
	set_frontend(v, &e->quoted.source, e->quoted.source_port);
	set_backend(v, &b->address, b->port);
	e->destination = e->quoted.source = b->address;
	e->quoted.source_port = b->port;
	if (flow && flow->snat_port) {
		e->quoted.destination = node_address(is_ipv4(&b->address));
		e->quoted.destination_port = flow->snat_port;
	}
	if (b->flags & BACKEND_LOCAL)
		return is_about_flow(e) ? deliver_to(v, &b->address) ?: REASON_ICMP_RELAYED : -REASON_DROP_ICMP_NO_FLOW;
	if (is_this_node(&b->address)) {
		v->to_kernel = true;
		return is_about_flow(e) ? REASON_ICMP_RELAYED : -REASON_DROP_ICMP_NO_FLOW;
	}
	if (b->flags & BACKEND_OUTSIDE)
		return flow ? REASON_ICMP_RELAYED : -REASON_DROP_ICMP_NO_FLOW;
	v->node = b->node;
	v->encapsulate = true;
	__builtin_memcpy(v->next_hop, b->next_hop, sizeof(v->next_hop));
	return REASON_ICMP_RELAYED;
}

/* The quoted request had the backend as its destination; its sender knows the frontend. */
static __always_inline void as_client_sees(struct verdict *v, struct icmp *e, const struct address *frontend, __be16 port)
{
	set_frontend(v, frontend, port);
	set_backend(v, &e->quoted.destination, e->quoted.destination_port);
	if (address_equal(&e->source, &e->quoted.destination))
		e->source = *frontend;
	e->quoted.destination = *frontend;
	e->quoted.destination_port = port;
}

/* LB node: about a request that had this node's address as its source. Goes to the client. */
static __always_inline int error_to_snat(struct verdict *v, struct icmp *e)
{
	struct snat_key key = {
		.backend = e->quoted.destination,
		.backend_port = e->quoted.destination_port,
		.node_port = e->quoted.source_port,
		.protocol = e->quoted.protocol,
	};
	bool unconfirmed;
	struct snat *back = find_snat(&key, &unconfirmed);

	if (!back)
		return REASON_NOT_OURS;
	v->service = back->service;
	as_client_sees(v, e, &back->frontend, back->frontend_port);
	e->destination = e->quoted.source = back->client;
	e->quoted.source_port = back->client_port;
	return REASON_ICMP_RELAYED;
}

/* About a request of a flow whose replies are translated on this node. */
static __always_inline int error_about_request(struct verdict *v, struct icmp *e)
{
	struct flow_key reply_tuple = reversed(&e->quoted);
	bool unconfirmed;
	struct reply *r = find_reply(&reply_tuple, &unconfirmed);

	if (!r || !r->port)
		return REASON_NOT_OURS;
	v->service = r->service;
	as_client_sees(v, e, &r->frontend, r->port);
	if (!(r->flags & FLOW_INSIDE))
		return REASON_ICMP_RELAYED;
	if (is_this_node(&e->destination)) {
		v->to_loopback = is_this_node(&e->source);
		v->to_kernel = !v->to_loopback;
		return REASON_ICMP_RELAYED;
	}
	return deliver_to(v, &e->destination) ?: REASON_ICMP_RELAYED;
}

static __always_inline int error_from_network(struct verdict *v, struct icmp *e)
{
	struct service_key to = {.address = e->quoted.source, .port = e->quoted.source_port, .protocol = e->quoted.protocol};
	struct frontend *f = bpf_map_lookup_elem(&frontends, &to);

	if (f && address_equal(&e->destination, &e->quoted.source))
		return error_to_frontend(v, e, f);
	if (is_this_node(&e->quoted.source) && is_this_node(&e->destination)) {
		int rc = error_to_snat(v, e);

		if (rc != REASON_NOT_OURS)
			return rc;
	}
	return error_about_request(v, e);
}

/* Pod node, out of a tunnel: only about what a backend of this node sent. */
static __always_inline int receive_error(struct verdict *v, const struct icmp *e)
{
	struct service_key from = {.address = e->quoted.source, .port = e->quoted.source_port, .protocol = e->quoted.protocol};
	struct pod *pod = bpf_map_lookup_elem(&local_backends, &from);

	v->backend = from;
	if (!pod || !address_equal(&e->destination, &e->quoted.source))
		return -REASON_DROP_NOT_BACKEND;
	if (!is_about_flow(e) && !bpf_map_lookup_elem(&nodes, &e->quoted.destination)) /* the LB node knows those of SNAT */
		return -REASON_DROP_ICMP_NO_FLOW;
	v->pod = *pod;
	v->to_self = !pod->ifindex;
	return REASON_ICMP_RELAYED;
}

static __always_inline int error_from_pod(struct verdict *v, struct icmp *e)
{
	struct service_key about = {
		.address = e->quoted.destination,
		.port = e->quoted.destination_port,
		.protocol = e->quoted.protocol,
	};
	struct flow_key reply_tuple = reversed(&e->quoted);
	bool unconfirmed;
	struct reply *r = find_reply(&reply_tuple, &unconfirmed);

	if (r) /* without a port the peer called the pod itself */
		return r->port ? error_about_request(v, e) : REASON_NOT_OURS;
	return bpf_map_lookup_elem(&local_backends, &about) && !is_inside(&e->destination) ? -REASON_DROP_LEAK : REASON_NOT_OURS;
}

/* From this node itself, about a request to a process of it that is a backend: mostly that nothing listens there. */
static __always_inline int error_from_process(struct verdict *v, struct icmp *e)
{
	struct flow_key reply_tuple = reversed(&e->quoted);
	struct address node = e->quoted.destination;
	bool unconfirmed;
	struct reply *r = find_reply(&reply_tuple, &unconfirmed);

	if (!r || !r->port)
		return REASON_NOT_OURS;
	v->service = r->service;
	as_client_sees(v, e, &r->frontend, r->port);
	if (r->flags & FLOW_INSIDE && v->point == POINT_FROM_NODE && address_equal(&e->destination, &r->frontend) &&
	    !is_this_node(&r->frontend)) { /* the node itself is the client: to_own_process */
		e->destination = e->quoted.source = node;
		v->to_self = true;
		return REASON_ICMP_RELAYED;
	}
	v->to_kernel = true;
	return REASON_ICMP_RELAYED;
}

/* By where the error was met. */
static __always_inline int translate_error(struct verdict *v, struct icmp *e)
{
	if (v->point == POINT_FROM_POD)
		return error_from_pod(v, e);
	return v->point == POINT_FROM_NETWORK ? error_from_network(v, e) : error_from_process(v, e);
}

/* The error before and after translation: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct icmp[2]);
	__uint(max_entries, 1);
} icmp_errors SEC(".maps");

/* Decides on an ICMP error and translates it. */
__noinline int relay_icmp_error(struct __sk_buff *skb, const struct packet *p, struct verdict *v, bool from_tunnel)
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	__u32 zero = 0;
	struct icmp *from = bpf_map_lookup_elem(&icmp_errors, &zero), *to = from + 1;
	int rc, err;

	if (!p || !v || !from || !parse_quoted(h, p, from))
		return from_tunnel ? -REASON_DROP_TRUNCATED : REASON_NOT_OURS;
	*to = *from;
	if (from_tunnel)
		return receive_error(v, to);
	rc = translate_error(v, to);
	if (rc != REASON_ICMP_RELAYED)
		return rc;
	if (p->ttl <= 1)
		return -REASON_DROP_TTL;
	err = p->ipv4 ? write_icmp4(h, p, from, to, is_hop(v)) : write_icmp6(h, from, to, is_hop(v));
	return err ?: rc;
}
