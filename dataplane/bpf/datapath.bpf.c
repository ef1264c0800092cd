/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The two tc programs of a node. Every node runs both: it is LB node for what enters by it, and pod node for its pods.
 *
 *   from_network   ingress of the device towards the fabric
 *   from_pod       ingress of the node's end of each pod's veth
 */
#include "types.h"

#include "forward.h"
#include "receive.h"
#include "reply.h"
#include "verdict.h"

/* A packet that cannot be balanced: dropped if it is for a VIP, else none of our business. */
static __always_inline int refuse(const struct packet *p, enum parsed parsed)
{
	if (!is_guarded(p))
		return REASON_NOT_OURS;
	switch (parsed) {
	case PARSED_FRAGMENT:
		return -REASON_DROP_FRAGMENT;
	case PARSED_IP_OPTIONS:
		return -REASON_DROP_IP_OPTIONS;
	case PARSED_TRUNCATED:
		return -REASON_DROP_TRUNCATED;
	default:
		return -REASON_DROP_NO_FRONTEND;
	}
}

static __always_inline int handle_from_network(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	enum parsed parsed = parse(skb, p);
	struct frontend *f;
	struct snat4 *back;

	if (parsed == PARSED_OTHER)
		return REASON_NOT_OURS;
	if (parsed != PARSED_L4)
		return refuse(p, parsed);
	if (is_geneve(p) && p->tuple.daddr == node_addr4)
		return receive(skb, p, v);
	if ((f = find_frontend(p)))
		return forward(skb, p, v, f);
	if (p->tuple.daddr == node_addr4) {
		back = find_snat(p);
		return back ? return_to_client(skb, p, v, back) : REASON_NOT_OURS;
	}
	return refuse(p, parsed);
}

static __always_inline int handle_from_pod(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	struct reply4 *from;

	if (parse(skb, p) != PARSED_L4)
		return REASON_NOT_OURS;
	from = bpf_map_lookup_elem(&replies4, &p->tuple);
	if (from)
		return reply(skb, p, v, from);
	return is_forged(p) ? -REASON_DROP_POD_GENEVE : REASON_NOT_OURS;
}

SEC("tc")
int from_network(struct __sk_buff *skb)
{
	struct verdict v = {.point = POINT_FROM_NETWORK};
	__u32 bytes = skb->len;
	struct packet p = {};

	linearize(skb);
	return finish(skb, &p, &v, handle_from_network(skb, &p, &v), bytes);
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct verdict v = {.point = POINT_FROM_POD};
	__u32 bytes = skb->len;
	struct packet p = {};

	linearize(skb);
	return finish(skb, &p, &v, handle_from_pod(skb, &p, &v), bytes);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
