/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* LB node, mode snat: a source port of this node for each flow, and the way back. */
#pragma once

#include "config.h"
#include "maps.h"
#include "parse.h"
#include "select.h"

#define SNAT_TRIES 16 /* ports tried per flow; also bounds the loop for the verifier */
#define SECOND 1000000000ULL
#define SNAT_CLOSED_NS (2 * SECOND)			    /* after this a closed flow's port is free again */
#define SNAT_UDP_IDLE_NS (120 * SECOND)			    /* RFC 4787, REQ-5: not less than two minutes */
#define SNAT_TCP_IDLE_NS (2 * 3600 * SECOND + 240 * SECOND) /* RFC 5382, REQ-5: two hours and four minutes */

static __always_inline bool is_closed(__u8 flags)
{
	return flags & FLOW_RESET || (flags & (FLOW_CLIENT_FIN | FLOW_POD_FIN)) == (FLOW_CLIENT_FIN | FLOW_POD_FIN);
}

static __always_inline bool is_free(const struct snat4 *s, __u8 protocol, __u64 now)
{
	__u64 idle = protocol == IPPROTO_TCP ? SNAT_TCP_IDLE_NS : SNAT_UDP_IDLE_NS;

	if (is_closed(s->flags))
		idle = SNAT_CLOSED_NS;
	return s->seen + idle < now;
}

/* Takes a port of this node for the flow: 0 and *port, or a drop reason. */
static __always_inline int take_port(const struct packet *p, const struct backend4 *b, __u64 now, __be16 *port)
{
	struct snat4_key key = {.backend_addr = b->addr, .backend_port = b->port, .protocol = p->tuple.protocol};
	struct snat4 back = {
		.seen = now,
		.client_addr = p->tuple.saddr,
		.client_port = p->tuple.sport,
		.frontend_addr = p->tuple.daddr,
		.frontend_port = p->tuple.dport,
	};
	__u32 ports = (__u32)snat_port_last - snat_port_first + 1;

	for (int i = 0; i < SNAT_TRIES; i++) {
		struct snat4 *taken;

		key.node_port = bpf_htons(snat_port_first + bpf_get_prandom_u32() % ports);
		taken = bpf_map_lookup_elem(&snat_ports4, &key);
		if (taken && is_free(taken, key.protocol, now)) {
			bpf_map_delete_elem(&snat_ports4, &key);
			taken = NULL;
		}
		if (!taken && !bpf_map_update_elem(&snat_ports4, &key, &back, BPF_NOEXIST)) {
			*port = key.node_port;
			return 0;
		}
	}
	return -REASON_DROP_NO_PORT;
}

/* The way back of a packet that a pod sent to this node, or NULL if it answers no SNAT flow. */
static __always_inline struct snat4 *find_snat(const struct packet *p)
{
	struct snat4_key key = {
		.backend_addr = p->tuple.saddr,
		.backend_port = p->tuple.sport,
		.node_port = p->tuple.dport,
		.protocol = p->tuple.protocol,
	};

	return bpf_map_lookup_elem(&snat_ports4, &key);
}

/* Marks on the way back that the client sent something, or that it is done. False if the port has gone to another flow. */
static __always_inline bool keep_port(const struct packet *p, const struct backend4 *b, __be16 port, __u64 now)
{
	struct snat4_key key = {
		.backend_addr = b->addr,
		.backend_port = b->port,
		.node_port = port,
		.protocol = p->tuple.protocol,
	};
	struct snat4 *s = bpf_map_lookup_elem(&snat_ports4, &key);

	if (!s || s->client_addr != p->tuple.saddr || s->client_port != p->tuple.sport)
		return false;
	if (is_syn(p))
		s->flags = 0;
	s->seen = now;
	s->flags |= closing_flags(p, FLOW_CLIENT_FIN);
	return true;
}
