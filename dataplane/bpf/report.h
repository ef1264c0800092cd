/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Observability: counters, flow events, and the hops of a traced flow. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "atomic.h"
#include "config.h"
#include "events.h"
#include "hook.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"
#include "verdict.h"

static __always_inline void add_packet(struct counter *c, __u32 bytes)
{
	c->packets++;
	c->bytes += bytes;
}

static __always_inline void count_reason(enum reason reason, __u32 bytes)
{
	__u32 key = reason;
	struct counter *c = bpf_map_lookup_elem(&counters, &key);

	if (c)
		add_packet(c, bytes);
}

static __always_inline bool is_reply(enum reason reason)
{
	return reason == REASON_REPLY_DIRECT || reason == REASON_REPLY_FROM_SNAT || reason == REASON_REPLY_INSIDE;
}

static __always_inline void count_service(const struct verdict *v, enum reason reason, __u32 bytes)
{
	struct service_counter *c;

	if (!v->service)
		return;
	c = bpf_map_lookup_elem(&service_counters, &v->service);
	if (!c)
		return;
	c->flows += v->begins && reason < REASON_DROP_FIRST;
	add_packet(reason >= REASON_DROP_FIRST ? &c->drops : is_reply(reason) ? &c->replies : &c->requests, bytes);
}

/* First and last packets of a flow are reported, and drops. */
static __always_inline bool is_reported(const struct packet *p, const struct verdict *v, enum reason reason)
{
	if (reason == REASON_NOT_OURS)
		return false;
	return reason >= REASON_DROP_FIRST || v->begins || p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST);
}

/* Field by field: a value of this size would first be made on the stack. */
static __always_inline void fill_event(struct event *e, const struct packet *p, const struct verdict *v, enum reason reason,
				       __u32 bytes, __u64 time)
{
	e->time = time;
	e->tuple = p->tuple;
	e->frontend = v->frontend.address;
	e->backend = v->backend.address;
	e->node = v->node;
	e->frontend_port = v->frontend.port;
	e->backend_port = v->backend.port;
	e->bytes = bytes;
	e->reason = reason;
	e->service = v->service;
	e->point = v->point;
	e->tcp_flags = p->tcp_flags;
	e->flags = (v->option ? EVENT_OPTION : 0) | (v->begins ? EVENT_BEGINS : 0);
	e->mode = v->mode;
	e->pad = 0;
}

/* Verified on its own, as all functions here that are not inline: that takes the verifier less time. */
__noinline int report_event(const struct packet *p, const struct verdict *v, enum reason reason, __u32 bytes)
{
	__u32 slot_number = 0;
	struct event_slot *slot;
	__u64 *count, number, before;

	if (!p || !v)
		return 0;
	count = bpf_map_lookup_elem(&event_count, &slot_number);
	if (!count)
		return 0;
	number = atomic_add(count, 1);
	slot_number = number & event_mask;
	slot = bpf_map_lookup_elem(&events, &slot_number);
	if (!slot)
		return 0;
	/* Where another CPU is a whole round of slots late, or early, its event stays and this one is lost. */
	before = slot->sequence;
	if (before > number || atomic_compare_exchange(&slot->sequence, before, EVENT_WRITING) != before)
		return 0;
	fill_event(&slot->event, p, v, reason, bytes, precise_events ? bpf_ktime_get_ns() : bpf_ktime_get_coarse_ns());
	atomic_exchange(&slot->sequence, number + 1);
	return 0;
}

/* The filter while a flow is traced, else NULL. The first packet after its time clears it, unless the filter was extended, or
 * replaced by another, in between; so that packets read the clock only while something is traced. */
static __always_inline struct trace_filter *trace_filter(void)
{
	__u32 zero = 0;
	struct trace_filter *f = bpf_map_lookup_elem(&tracing, &zero);
	__u64 until;

	if (!f || !f->until)
		return NULL;
	until = f->until;
	if (until > bpf_ktime_get_coarse_ns())
		return f;
	atomic_compare_exchange(&f->until, until, 0);
	return NULL;
}

/* Copies the first bytes of the packet; a buffer's rest is left as it was. */
static __always_inline void copy_packet(struct hook h, void *to)
{
	__u64 length = length_of(h); /* 64 bits, and the barrier, for the verifier: else bounds and use are of different copies */

	if (length < sizeof(struct ethhdr))
		return;
	barrier_var(length);
	if (length > HOP_BYTES)
		length = HOP_BYTES;
	load_bytes(h, 0, to, length);
}

static __always_inline void trace_before(struct hook h)
{
	__u32 zero = 0;
	struct snapshot *s;

	if (!trace_filter())
		return;
	s = bpf_map_lookup_elem(&snapshots, &zero);
	if (s)
		copy_packet(h, s);
}

static __always_inline bool is_client(const struct trace_filter *f, const struct address *a, __be16 port)
{
	return address_equal(&f->client, a) && (!f->port || f->port == port);
}

/* Reports whether the packet, as it came or as it leaves, is from or to the traced client; ICMP is of any protocol, since it tells
 * of errors. */
static __always_inline bool is_traced(const struct trace_filter *f, const struct packet *p, const struct verdict *v)
{
	__u8 protocol = p->tuple.protocol;

	if (f->protocol && protocol != f->protocol && protocol != IPPROTO_ICMP && protocol != IPPROTO_ICMPV6)
		return false;
	return is_client(f, &p->tuple.source, p->tuple.source_port) ||
	       is_client(f, &p->tuple.destination, p->tuple.destination_port) ||
	       is_client(f, &v->to.destination, v->to.destination_port) || is_client(f, &v->to.source, v->to.source_port);
}

static __always_inline void trace_packet(struct hook h, const struct packet *p, const struct verdict *v, enum reason reason,
					 __u32 bytes)
{
	struct trace_filter *f = trace_filter();
	struct snapshot *before;
	__u32 zero = 0;
	struct hop *hop;

	if (!f || !is_traced(f, p, v))
		return;
	before = bpf_map_lookup_elem(&snapshots, &zero);
	hop = before ? bpf_ringbuf_reserve(&hops, sizeof(*hop), 0) : NULL;
	if (!hop)
		return;
	fill_event(&hop->event, p, v, reason, bytes, bpf_ktime_get_ns());
	hop->length_before = bytes;
	hop->length_after = length_of(h);
	__builtin_memcpy(hop->before, before->bytes, sizeof(hop->before));
	__builtin_memset(hop->after, 0, sizeof(hop->after));
	copy_packet(h, hop->after);
	bpf_ringbuf_submit(hop, 0);
}

__noinline int trace_tc(struct __sk_buff *skb, const struct packet *p, const struct verdict *v, enum reason reason, __u32 bytes)
{
	if (p && v)
		trace_packet((struct hook){.ctx = skb, .kind = HOOK_TC}, p, v, reason, bytes);
	return 0;
}

__noinline int trace_xdp(struct xdp_md *xdp, const struct packet *p, const struct verdict *v, enum reason reason, __u32 bytes)
{
	if (p && v)
		trace_packet((struct hook){.ctx = xdp, .kind = HOOK_XDP}, p, v, reason, bytes);
	return 0;
}

static __always_inline void record_packet(struct hook h, const struct packet *p, const struct verdict *v, enum reason reason,
					  __u32 bytes)
{
	count_reason(reason, bytes);
	count_service(v, reason, bytes);
	if (is_reported(p, v, reason))
		report_event(p, v, reason, bytes);
	if (!trace_filter())
		return;
	if (h.kind == HOOK_XDP)
		trace_xdp(h.ctx, p, v, reason, bytes);
	else
		trace_tc(h.ctx, p, v, reason, bytes);
}
