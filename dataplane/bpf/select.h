/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Selects the backend of a flow: the one it has, the one its client had last, or the one its hash selects. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "flows.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"
#include "verdict.h"

static __always_inline struct backend *find_backend(__u32 number, __u32 serial)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &number);

	return b && b->serial == serial ? b : NULL;
}

/* A multiply and shift spreads the hash over the slots without a division. */
static __always_inline struct backend *select_slot(const struct backend_set *set, __u32 hash, __u32 *number)
{
	__u32 slot = (__u64)hash * set->size >> 32, row = set->first + slot / ROW_SLOTS;
	struct row *r = bpf_map_lookup_elem(&slots, &row);
	struct backend *b;

	if (!r)
		return NULL;
	*number = r->backend[slot % ROW_SLOTS];
	b = bpf_map_lookup_elem(&backends, number);
	return b && b->serial ? b : NULL;
}

/* Session affinity: the client's last backend if that is recent and takes new flows, else one selected by its address alone, so
 * that all LB nodes agree. */
static __always_inline struct backend *select_by_client(const struct packet *p, const struct frontend *f,
							const struct backend_set *set, __u32 *number)
{
	struct affinity_key key = {.client = p->tuple.source, .service = f->service};
	struct affinity *last = bpf_map_lookup_elem(&affinities, &key);
	struct affinity next = {.seen = bpf_ktime_get_coarse_ns()};
	struct backend *b = NULL;

	if (last && last->seen + f->affinity * SECOND > next.seen) {
		*number = last->backend;
		b = find_backend(last->backend, last->serial);
	}
	if (!b || b->flags & BACKEND_DRAINING)
		b = select_slot(set, hash_mix_address(f->service, &p->tuple.source) >> 16, number);
	if (!b)
		return NULL;
	next.backend = *number;
	next.serial = b->serial;
	bpf_map_update_elem(&affinities, &key, &next, BPF_ANY);
	return b;
}

static __always_inline struct backend *select_backend(const struct packet *p, const struct verdict *v, const struct frontend *f,
						      const struct backend_set *set, __u32 *number)
{
	if (f->affinity)
		return select_by_client(p, f, set, number);
	if (f->flags & FRONTEND_RANDOM)
		return select_slot(set, bpf_get_prandom_u32(), number);
	return select_slot(set, v->hash, number);
}

/* Reports whether the packet begins a connection anew from an address and port that had one. */
static __always_inline bool is_next(const struct packet *p, const struct flow *known)
{
	return is_syn(p) && known->flags & (FLOW_CLIENT_FIN | FLOW_RESET);
}

/* The backend that a known flow keeps, or NULL. A flow that begins anew keeps it, too, unless the backend drains: who forges a FIN
 * and a SYN must not lead a connection that lives to another backend. */
static __always_inline struct backend *keep_backend(const struct packet *p, const struct frontend *f, const struct flow *known)
{
	struct backend *b;

	if (known->service != f->service)
		return NULL;
	b = find_backend(known->backend, known->serial);
	return b && !(is_next(p, known) && b->flags & BACKEND_DRAINING) ? b : NULL;
}

/* The flow's backend, or NULL if there is none to select. Fills in *flow. */
static __always_inline struct backend *choose_backend(const struct packet *p, struct verdict *v, const struct frontend *f,
						      const struct backend_set *set, struct flow *flow)
{
	bool unconfirmed;
	struct flow *known = find_flow(&p->tuple, &unconfirmed);
	struct backend *b = known ? keep_backend(p, f, known) : NULL;

	if (b && !is_next(p, known)) {
		note_closing(&known->flags, p, FLOW_CLIENT_FIN);
		*flow = *known;
		if (unconfirmed && !is_syn(p))
			confirm_flow(&p->tuple, flow); /* else it stays where it is */
		return b;
	}
	v->begins = true;
	if (b) {
		*flow = *known;
		flow->flags = FLOW_BEGUN_HERE;
	} else {
		*flow = (struct flow){.service = f->service, .flags = is_syn(p) ? FLOW_BEGUN_HERE : 0};
		b = select_backend(p, v, f, set, &flow->backend);
		if (b)
			flow->serial = b->serial;
	}
	if (known && !unconfirmed)
		bpf_map_delete_elem(&flows, &p->tuple);
	return b;
}

static __always_inline int remember_flow(const struct packet *p, const struct verdict *v, const struct flow *flow)
{
	if (v->begins)
		return bpf_map_update_elem(&flows_unconfirmed, &p->tuple, flow, BPF_ANY) ? -REASON_DROP_TABLE : 0;
	return 0;
}
