/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Pod node, from a pod: the answer of a known flow bears the frontend's address and goes straight out. */
#pragma once

#include "receive.h"
#include "rewrite.h"
#include "verdict.h"

static __always_inline int reply(struct __sk_buff *skb, const struct packet *p, struct verdict *v, const struct reply4 *from)
{
	struct reply4 f = *from;
	int err = 0;

	v->found = true;
	v->mode = MODE_DSR;
	v->frontend = f.addr;
	v->frontend_port = f.port;
	v->backend = p->tuple.saddr;
	v->backend_port = p->tuple.sport;
	if (p->ttl <= 1)
		return -REASON_DROP_TTL;
	if (p->tcp_flags & TCP_SYN)
		err = clamp_mss(skb, p);
	if (err || (err = decrement_ttl(skb, p)) || (err = rewrite(skb, p, END_SOURCE, f.addr, f.port)))
		return err;
	return REASON_REPLY_DIRECT;
}

/* Pods have no business with Geneve: it would put their packets into other nodes' pods. */
static __always_inline bool is_forged(const struct packet *p)
{
	__be32 to = p->tuple.daddr;

	return is_geneve(p) && bpf_map_lookup_elem(&nodes4, &to);
}
