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

/* Rendezvous hashing. Each backend of a set has a score for each slot, and the slot belongs to the greatest. The package rendezvous
 * computes the same scores where it fills tables, and says what this is good for. Nodes that computed others would select other
 * backends, so the function never changes. */
#define SLOT_OF(hash) ((hash) >> 17)
#define SCORE_FACTOR 0xd6e8feb86659fd93ULL
#define SCORE_MASK 0x7ffffffffffffff0LL
#define PLACES (LIST_BACKENDS - 1)

/* The greatest score of best and of a row's first count backends. The lowest bits, which no score has, tell its place in the list,
 * counted down from first_place: of equal scores the first in the list is the greatest. It takes no jump, as which backend wins
 * can't be predicted. */
static __always_inline __s64 greatest_score(const struct row *r, __u64 count, __u32 first_place, __u64 slot_hash, __s64 best)
{
#pragma unroll
	for (__u64 i = 0; i < ROW_BACKENDS; i++) {
		if (i == count)
			break;
		__s64 score = (hash_mix(slot_hash, r->word[2 * i + 1]) * SCORE_FACTOR & SCORE_MASK) | (first_place - i);
		__s64 lead = best - score, lost = lead >> 63;

		barrier_var(lost); /* or the compiler makes a jump of it */
		best -= lead & lost;
	}
	return best;
}

static __always_inline __u32 select_listed(__u32 first, __u64 size, __u64 slot_hash)
{
	__u32 second = first + 1, row = first, place;
	struct row *r = bpf_map_lookup_elem(&slots, &first);
	__s64 best;

	if (!r)
		return 0;
	best = greatest_score(r, size, PLACES, slot_hash, -1);
	if (size > ROW_BACKENDS) {
		r = bpf_map_lookup_elem(&slots, &second);
		if (!r)
			return 0;
		best = greatest_score(r, size - ROW_BACKENDS, PLACES - ROW_BACKENDS, slot_hash, best);
	}
	place = PLACES - (best & PLACES);
	row += place / ROW_BACKENDS;
	r = bpf_map_lookup_elem(&slots, &row);
	return r ? r->word[place % ROW_BACKENDS * 2] : 0;
}

/* The number of the backend that a set has for a hash, or 0, which is no backend's. The set must not be empty. It is a function of
 * numbers alone, so that the verifier goes through it once and not on each of the ways that lead to it. */
__noinline __u32 select_number(__u32 first, __u64 size, __u32 hash)
{
	__u32 slot = SLOT_OF(hash), row = first + slot / ROW_SLOTS;
	struct row *r;

	if (size <= LIST_BACKENDS)
		return select_listed(first, size, hash_mix(0, slot));
	if (size != TABLE_SLOTS)
		return 0;
	r = bpf_map_lookup_elem(&slots, &row);
	return r ? r->word[slot % ROW_SLOTS] : 0;
}

static __always_inline struct backend *select_by_hash(const struct backend_set *set, __u32 hash, __u32 *number)
{
	struct backend *b;

	*number = select_number(set->first, set->size, hash);
	b = bpf_map_lookup_elem(&backends, number);
	return b && b->serial ? b : NULL;
}

static __always_inline __u32 hash_client(const struct address *client)
{
	return hash_mix_address(0, client) * SCORE_FACTOR >> 32;
}

/* Session affinity: the client's last backend if its last flow began less than the timeout ago and the backend takes new flows.
 * Each node remembers its own clients.
 *
 * Without such a backend the client's address alone selects one, so that all LB nodes agree: a client gets the same one by each of
 * them, and after the timeout, unless the set has changed. Where the frontend selects at random, as a ClusterIP with affinity does,
 * at which only the client's own node selects, a client may get another backend after the timeout, as from kube-proxy. */
static __always_inline struct backend *select_by_client(const struct packet *p, const struct frontend *f,
							const struct backend_set *set, __u32 *number)
{
	struct affinity_key key = {.client = p->tuple.source, .service = f->service};
	struct affinity *last = bpf_map_lookup_elem(&affinities, &key);
	struct affinity next = {.seen = bpf_ktime_get_coarse_ns()};
	struct backend *b = NULL;
	__u32 hash;

	if (last && last->seen + f->affinity * SECOND > next.seen) {
		*number = last->backend;
		b = find_backend(last->backend, last->serial);
	}
	if (!b || b->flags & BACKEND_DRAINING) {
		hash = f->flags & FRONTEND_RANDOM ? bpf_get_prandom_u32() : hash_client(&key.client);
		b = select_by_hash(set, hash, number);
	}
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
	return select_by_hash(set, f->flags & FRONTEND_RANDOM ? bpf_get_prandom_u32() : v->hash, number);
}

/* The backend that another LB node has selected for a flow, or NULL if that can't be known here. */
static __always_inline struct backend *select_as_elsewhere(const struct frontend *f, const struct flow_key *t, __u32 hash,
							   __u32 *number)
{
	if (!f->outside.size || f->flags & FRONTEND_RANDOM)
		return NULL;
	return select_by_hash(&f->outside, f->affinity ? hash_client(&t->source) : hash, number);
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
