/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Which backend a flow goes to: the one it has, or the one that its hash selects in the frontend's Maglev table. */
#pragma once

#include "maps.h"
#include "parse.h"

/* A multiply and shift spreads the hash over the slots without a division. */
static __always_inline struct backend4 *select_backend(const struct frontend *f, __u32 hash, __u32 *id)
{
	__u32 table = f->table, slot = (__u64)hash * f->slots >> 32;
	void *slots = bpf_map_lookup_elem(&maglev, &table);
	__u32 *selected;

	if (!slots)
		return NULL;
	selected = bpf_map_lookup_elem(slots, &slot);
	if (!selected)
		return NULL;
	*id = *selected;
	return bpf_map_lookup_elem(&backends4, id);
}

static __always_inline __u8 closing_flags(const struct packet *p, __u8 fin)
{
	return (p->tcp_flags & TCP_FIN ? fin : 0) | (p->tcp_flags & TCP_RST ? FLOW_RESET : 0);
}

/* Starts a flow anew: selects its backend and writes it into *flow. */
static __always_inline struct backend4 *begin_flow(const struct packet *p, const struct frontend *f, __u32 hash, struct flow4 *flow)
{
	*flow = (struct flow4){.seen = bpf_ktime_get_coarse_ns()};
	if (is_syn(p))
		flow->flags = FLOW_BEGUN_HERE;
	return select_backend(f, hash, &flow->backend);
}
