/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* LB node, mode snat: a source port of this node for each flow, and the translation of its replies. */
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

#define SNAT_TRIES 16			  /* ports tried per flow; also bounds the loop for the verifier */
#define SNAT_CLOSED_NS (2 * SECOND)	  /* after this a closed flow's port is free again */
#define SNAT_UNCONFIRMED_NS (30 * SECOND) /* likewise that of a flow whose client sent one packet */

static __always_inline bool is_free(const struct snat *s, __u8 protocol, bool unconfirmed, __u64 now)
{
	__u64 life = life_of(s->flags, protocol);

	if (!life)
		life = SNAT_CLOSED_NS;
	else if (unconfirmed && life > SNAT_UNCONFIRMED_NS)
		life = SNAT_UNCONFIRMED_NS;
	return s->seen + life < now;
}

static __always_inline struct snat *find_snat(const struct snat_key *key, bool *unconfirmed)
{
	return find_in(&snat_ports, &snat_ports_unconfirmed, key, unconfirmed);
}

static __always_inline bool is_same_flow(const struct snat *a, const struct snat *b)
{
	return address_equal(&a->client, &b->client) && a->client_port == b->client_port &&
	       address_equal(&a->frontend, &b->frontend) && a->frontend_port == b->frontend_port;
}

/* Takes the port in key for the flow if no other flow has it, or if the flow has it already. */
static __always_inline bool take_port(const struct snat_key *key, const struct snat *back)
{
	bool unconfirmed;
	struct snat *taken = find_snat(key, &unconfirmed);

	if (taken && is_same_flow(taken, back)) {
		taken->seen = back->seen;
		return true;
	}
	if (taken && !is_free(taken, key->protocol, unconfirmed, back->seen))
		return false;
	if (taken && !unconfirmed)
		bpf_map_delete_elem(&snat_ports, key);
	else if (taken)
		bpf_map_delete_elem(&snat_ports_unconfirmed, key);
	return !bpf_map_update_elem(&snat_ports_unconfirmed, key, back, BPF_NOEXIST);
}

/* Reports whether the port in key is the flow's. */
static __always_inline bool has_port(const struct snat_key *key, const struct snat *back)
{
	bool unconfirmed;
	struct snat *taken = find_snat(key, &unconfirmed);

	return taken && is_same_flow(taken, back);
}

/* The i-th port that a flow tries. It depends on the flow alone, so that one whose entry in flows was evicted finds the port that
 * it has. The first choice follows from the client's own port, another one for each of as many in a row as there are: when the
 * client uses it again its timestamps go on, where those of another client could look old to a pod that still has the last
 * connection in TIME-WAIT (RFC 7323, 5.3), and the SYN would be lost. */
static __always_inline __be16 port_to_try(const struct packet *p, __u32 hash, int i)
{
	__u32 ports = (__u32)snat_port_last - snat_port_first + 1;

	if (!i)
		return bpf_htons(snat_port_first + bpf_ntohs(p->tuple.source_port) % ports);
	return bpf_htons(snat_port_first + ((hash_mix(hash, i) >> 32) * ports >> 32));
}

/* Gives a flow a port of this node: 0 and flow->snat_port, or a drop reason. A flow that runs may have one of the ports that it
 * tries; that is looked for before a free one is taken. */
__noinline int new_port(const struct packet *p, struct flow *flow, const struct snat_key *of, __u32 hash)
{
	struct snat_key key; /* kernels before 6.2 take no key from where it may be anything, as an argument may */
	struct snat back;
	int i;

	if (!p || !flow || !of)
		return -REASON_DROP_TABLE;
	key = *of;
	back = (struct snat){
		.seen = bpf_ktime_get_coarse_ns(),
		.client = p->tuple.source,
		.frontend = p->tuple.destination,
		.client_port = p->tuple.source_port,
		.frontend_port = p->tuple.destination_port,
		.service = flow->service,
	};
	if (key.node_port && take_port(&key, &back)) /* the half that is missing is this one */
		return 0;
	for (i = 0; i < SNAT_TRIES && p->tuple.protocol == IPPROTO_TCP && !is_syn(p); i++) {
		key.node_port = port_to_try(p, hash, i);
		if (has_port(&key, &back)) {
			flow->snat_port = key.node_port;
			return 0;
		}
	}
	for (i = 0; i < SNAT_TRIES; i++) {
		key.node_port = port_to_try(p, hash, i);
		if (take_port(&key, &back)) {
			flow->snat_port = key.node_port;
			return 0;
		}
	}
	return -REASON_DROP_NO_PORT;
}

/* Notes in the port's entry that the client sent a packet, or that it is done. Returns false if another flow has the port. */
static __always_inline bool keep_port(const struct packet *p, const struct snat_key *key)
{
	bool unconfirmed;
	struct snat *s = find_snat(key, &unconfirmed);

	if (!s || !address_equal(&s->client, &p->tuple.source) || s->client_port != p->tuple.source_port)
		return false;
	if (is_syn(p))
		s->flags = 0;
	s->seen = bpf_ktime_get_coarse_ns();
	note_closing(&s->flags, p, FLOW_CLIENT_FIN);
	if (unconfirmed && !is_syn(p) && !bpf_map_update_elem(&snat_ports, key, s, BPF_ANY))
		bpf_map_delete_elem(&snat_ports_unconfirmed, key);
	return true;
}

/* Makes sure that the flow has a source port of this node, and stores a new one in *flow. */
static __always_inline int ensure_port(const struct packet *p, struct verdict *v, const struct backend *b, struct flow *flow)
{
	struct snat_key key = {
		.backend = b->address,
		.backend_port = b->port,
		.node_port = flow->snat_port,
		.protocol = p->tuple.protocol,
	};

	if (flow->snat_port && keep_port(p, &key))
		return 0;
	v->begins = true;
	return new_port(p, flow, &key, v->hash);
}

/* LB node, from the network: a pod's reply in a flow that left with this node's address. */
static __always_inline int reply_from_snat(const struct packet *p, struct verdict *v)
{
	struct snat_key key = {
		.backend = p->tuple.source,
		.backend_port = p->tuple.source_port,
		.node_port = p->tuple.destination_port,
		.protocol = p->tuple.protocol,
	};
	bool unconfirmed;
	struct snat *back = is_syn(p) ? NULL : find_snat(&key, &unconfirmed); /* what begins is no reply */

	if (!back)
		return REASON_NOT_OURS;
	back->seen = bpf_ktime_get_coarse_ns();
	note_closing(&back->flags, p, FLOW_POD_FIN);
	v->service = back->service;
	v->mode = MODE_SNAT;
	v->node = back->client;
	set_frontend(v, &back->frontend, back->frontend_port);
	set_backend(v, &p->tuple.source, p->tuple.source_port);
	if (p->ttl <= 1) {
		v->refuse = true;
		return -REASON_DROP_TTL;
	}
	v->to.source = back->frontend;
	v->to.source_port = back->frontend_port;
	v->to.destination = back->client;
	v->to.destination_port = back->client_port;
	v->rewrite = true;
	v->clamp = p->tcp_flags & TCP_SYN;
	if (is_inside(&v->to.destination) && !deliver_to(v, &v->to.destination))
		return REASON_REPLY_INSIDE; /* a pod of this node called itself */
	return REASON_REPLY_FROM_SNAT;
}
