/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* State of running flows: the backend that each one has, and the frontend that its replies come from. An entry is unconfirmed
 * until the client has sent a second packet. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"

#define SECOND 1000000000ULL
#define UDP_IDLE_NS (120 * SECOND)		       /* RFC 4787, REQ-5: not less than two minutes */
#define TCP_IDLE_NS (2 * 3600 * SECOND + 240 * SECOND) /* RFC 5382, REQ-5: two hours and four minutes */
#define RESET_IDLE_NS (240 * SECOND)		       /* RFC 7857, 2.2: a reset may be forged, so only silence ends the flow */

static __always_inline __u64 idle_limit(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? TCP_IDLE_NS : UDP_IDLE_NS;
}

/* For how long without a packet a flow with these flags still has what it has; 0: both sides have said that they are done. */
static __always_inline __u64 life_of(__u8 flags, __u8 protocol)
{
	if ((flags & (FLOW_CLIENT_FIN | FLOW_POD_FIN)) == (FLOW_CLIENT_FIN | FLOW_POD_FIN))
		return 0;
	return flags & FLOW_RESET ? RESET_IDLE_NS : idle_limit(protocol);
}

/* Looks an entry up in a pair of maps. Another CPU may confirm it meanwhile: that writes to the first map before it deletes from
 * the second, so what is found in neither is looked up in the first once more. */
static __always_inline void *find_in(void *confirmed_map, void *unconfirmed_map, const void *key, bool *unconfirmed)
{
	void *entry = bpf_map_lookup_elem(confirmed_map, key);

	*unconfirmed = false;
	if (entry)
		return entry;
	entry = bpf_map_lookup_elem(unconfirmed_map, key);
	*unconfirmed = entry;
	return entry ?: bpf_map_lookup_elem(confirmed_map, key);
}

static __always_inline struct flow *find_flow(const struct flow_key *t, bool *unconfirmed)
{
	return find_in(&flows, &flows_unconfirmed, t, unconfirmed);
}

static __always_inline int confirm_flow(const struct flow_key *t, const struct flow *f)
{
	if (bpf_map_update_elem(&flows, t, f, BPF_ANY))
		return -REASON_DROP_TABLE;
	bpf_map_delete_elem(&flows_unconfirmed, t);
	return 0;
}

static __always_inline struct reply *find_reply(const struct flow_key *reply_tuple, bool *unconfirmed)
{
	return find_in(&replies, &replies_unconfirmed, reply_tuple, unconfirmed);
}

/* Notes that the client has sent one more packet of a known flow. */
static __always_inline int confirm_reply(const struct packet *p, const struct flow_key *reply_tuple, struct reply *r,
					 bool unconfirmed, __u32 device)
{
	r->seen = bpf_ktime_get_coarse_ns();
	r->device = device; /* of a pod that was made anew with its address, it is another */
	if (is_syn(p)) {
		r->flags &= FLOW_INSIDE; /* the tuple is used again */
		return 0;
	}
	note_closing(&r->flags, p, FLOW_CLIENT_FIN);
	if (!unconfirmed)
		return 0;
	if (bpf_map_update_elem(&replies, reply_tuple, r, BPF_ANY))
		return -REASON_DROP_TABLE;
	bpf_map_delete_elem(&replies_unconfirmed, reply_tuple);
	return 0;
}

/* Stores which frontend is the source of the backend's replies to this client. as_seen is the packet's tuple as the backend sees
 * it; device is that of the pod, 0 where the backend is no pod of this node. The same tuple with another frontend is another flow
 * of the same client: their replies could not be told apart, so the second flow is dropped while the first one lives. One that is
 * not confirmed gives way: a single packet, which anybody can have sent in the client's name, must not keep the client out. */
static __always_inline int learn_reply(const struct packet *p, const struct flow_key *as_seen, const struct service_key *frontend,
				       __u32 service, __u8 flags, __u32 device)
{
	struct flow_key reply_tuple = reversed(as_seen);
	bool unconfirmed;
	struct reply *known = find_reply(&reply_tuple, &unconfirmed);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (known && address_equal(&known->frontend, &frontend->address) && known->port == frontend->port)
		return confirm_reply(p, &reply_tuple, known, unconfirmed, device);
	if (known && !unconfirmed && known->seen + life_of(known->flags, reply_tuple.protocol) > now)
		return -REASON_DROP_COLLISION;

	struct reply learned = {
		.seen = now,
		.frontend = frontend->address,
		.port = frontend->port,
		.service = service,
		.flags = flags,
		.device = device,
	};
	if (known && !unconfirmed)
		bpf_map_delete_elem(&replies, &reply_tuple);
	return bpf_map_update_elem(&replies_unconfirmed, &reply_tuple, &learned, BPF_ANY) ? -REASON_DROP_TABLE : 0;
}

/* Reports whether what comes to a NodePort's address and port belongs to what this node, or a pod behind its address, has begun
 * itself: the kernel may use a NodePort as the source of a connection. */
static __always_inline bool is_of_node(const struct packet *p)
{
	struct node_flow *n = bpf_map_lookup_elem(&node_flows, &p->tuple);

	if (n && is_syn(p)) { /* the peer is the one that begins now */
		bpf_map_delete_elem(&node_flows, &p->tuple);
		return false;
	}
	return n && n->seen + idle_limit(p->tuple.protocol) > bpf_ktime_get_coarse_ns();
}

/* Notes that a packet of this node's address, which is no reply of ours, leaves from a NodePort. forwarded: it is that of a pod,
 * masqueraded; or a reply of ours after all, so what may be the middle of a connection begins nothing. */
static __always_inline void note_node_flow(const struct packet *p, bool forwarded)
{
	struct flow_key back = reversed(&p->tuple);
	struct service_key from = {
		.address = p->tuple.source,
		.port = p->tuple.source_port,
		.protocol = p->tuple.protocol,
	};
	struct node_flow begun = {.seen = bpf_ktime_get_coarse_ns()};
	struct frontend *f = bpf_map_lookup_elem(&frontends, &from);
	struct node_flow *known;
	bool unconfirmed;

	if (!f || f->kind != FRONTEND_NODE_PORT)
		return;
	known = bpf_map_lookup_elem(&node_flows, &back);
	if (known)
		known->seen = begun.seen;
	else if (!(forwarded && p->tuple.protocol == IPPROTO_TCP && !is_syn(p)) && !find_flow(&back, &unconfirmed))
		bpf_map_update_elem(&node_flows, &back, &begun, BPF_ANY);
}
