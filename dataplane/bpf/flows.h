/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What is remembered of running flows: which backend they have, and which frontend their answers come from. An entry is
 * unproven until the client has sent a second packet. */
#pragma once

#include "verdict.h"

#define SECOND 1000000000ULL
#define UDP_IDLE_NS (120 * SECOND)		       /* RFC 4787, REQ-5: not less than two minutes */
#define TCP_IDLE_NS (2 * 3600 * SECOND + 240 * SECOND) /* RFC 5382, REQ-5: two hours and four minutes */

static __always_inline __u64 idle_limit(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? TCP_IDLE_NS : UDP_IDLE_NS;
}

/* Looks in a pair of maps. Another CPU may prove the entry meanwhile: it writes to the one map before it deletes from the other, so
 * what is in neither is looked for in the first once more. */
static __always_inline void *find_in(void *proven, void *waiting, const void *key, bool *unproven)
{
	void *entry = bpf_map_lookup_elem(proven, key);

	*unproven = false;
	if (entry)
		return entry;
	entry = bpf_map_lookup_elem(waiting, key);
	*unproven = entry;
	return entry ?: bpf_map_lookup_elem(proven, key);
}

static __always_inline struct flow *find_flow(const struct flow_key *t, bool *unproven)
{
	return find_in(&flows, &flows_unproven, t, unproven);
}

static __always_inline int prove_flow(const struct flow_key *t, const struct flow *f)
{
	if (bpf_map_update_elem(&flows, t, f, BPF_ANY))
		return -REASON_DROP_TABLE;
	bpf_map_delete_elem(&flows_unproven, t);
	return 0;
}

static __always_inline struct reply *find_reply(const struct flow_key *answer, bool *unproven)
{
	return find_in(&replies, &replies_unproven, answer, unproven);
}

/* Notes that the client has sent one more packet of a flow that is known. */
static __always_inline int confirm_reply(const struct packet *p, const struct flow_key *answer, struct reply *r, bool unproven)
{
	r->seen = bpf_ktime_get_coarse_ns();
	if (is_syn(p)) {
		r->flags &= FLOW_INSIDE; /* the tuple is used again */
		return 0;
	}
	r->flags |= closing_flags(p, FLOW_CLIENT_FIN);
	if (!unproven)
		return 0;
	if (bpf_map_update_elem(&replies, answer, r, BPF_ANY))
		return -REASON_DROP_TABLE;
	bpf_map_delete_elem(&replies_unproven, answer);
	return 0;
}

/* Remembers that what the backend answers to this client bears the frontend as its source. as_seen is the packet's tuple as
 * the backend sees it. The same tuple with another frontend is another flow of the same client: answers could not be told
 * apart, so the second is refused while the first one lives. */
static __always_inline int learn_reply(const struct packet *p, const struct flow_key *as_seen, const struct service_key *frontend,
				       __u32 service, __u8 flags)
{
	struct flow_key answer = reversed(as_seen);
	bool unproven;
	struct reply *known = find_reply(&answer, &unproven);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (known && equal(&known->frontend, &frontend->address) && known->port == frontend->port)
		return confirm_reply(p, &answer, known, unproven);
	if (known && !is_closed(known->flags) && known->seen + idle_limit(answer.protocol) > now)
		return -REASON_DROP_COLLISION;

	struct reply learned = {
		.seen = now,
		.frontend = frontend->address,
		.port = frontend->port,
		.service = service,
		.flags = flags,
	};
	if (known && !unproven)
		bpf_map_delete_elem(&replies, &answer);
	return bpf_map_update_elem(&replies_unproven, &answer, &learned, BPF_ANY) ? -REASON_DROP_TABLE : 0;
}
