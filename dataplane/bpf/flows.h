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

static __always_inline __u64 idle_limit(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? TCP_IDLE_NS : UDP_IDLE_NS;
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
					 bool unconfirmed)
{
	r->seen = bpf_ktime_get_coarse_ns();
	if (is_syn(p)) {
		r->flags &= FLOW_INSIDE; /* the tuple is used again */
		return 0;
	}
	r->flags |= closing_flags(p, FLOW_CLIENT_FIN);
	if (!unconfirmed)
		return 0;
	if (bpf_map_update_elem(&replies, reply_tuple, r, BPF_ANY))
		return -REASON_DROP_TABLE;
	bpf_map_delete_elem(&replies_unconfirmed, reply_tuple);
	return 0;
}

/* Stores which frontend is the source of the backend's replies to this client. as_seen is the packet's tuple as the backend sees
 * it. The same tuple with another frontend is another flow of the same client: their replies could not be told apart, so the
 * second flow is dropped while the first one lives. */
static __always_inline int learn_reply(const struct packet *p, const struct flow_key *as_seen, const struct service_key *frontend,
				       __u32 service, __u8 flags)
{
	struct flow_key reply_tuple = reversed(as_seen);
	bool unconfirmed;
	struct reply *known = find_reply(&reply_tuple, &unconfirmed);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (known && address_equal(&known->frontend, &frontend->address) && known->port == frontend->port)
		return confirm_reply(p, &reply_tuple, known, unconfirmed);
	if (known && !is_closed(known->flags) && known->seen + idle_limit(reply_tuple.protocol) > now)
		return -REASON_DROP_COLLISION;

	struct reply learned = {
		.seen = now,
		.frontend = frontend->address,
		.port = frontend->port,
		.service = service,
		.flags = flags,
	};
	if (known && !unconfirmed)
		bpf_map_delete_elem(&replies, &reply_tuple);
	return bpf_map_update_elem(&replies_unconfirmed, &reply_tuple, &learned, BPF_ANY) ? -REASON_DROP_TABLE : 0;
}
