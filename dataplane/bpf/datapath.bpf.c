/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The programs of a node. Every node runs all of them: it is LB node for what enters by it, and pod node for its pods.
 *
 *   from_network       ingress of the device towards the fabric
 *   from_network_xdp   the same, before it: takes what needs nothing that only tc can do
 *   from_pod           ingress of the node's end of each pod's veth
 *   from_node          egress of the device towards the fabric, and of lo: what the node itself sends, calls and answers
 *   to_pod             egress of the node's end of each pod's veth: answers of the node's own processes
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "act.h"
#include "forward.h"
#include "icmp.h"
#include "receive.h"
#include "refuse.h"
#include "reply.h"
#include "report.h"

/* A packet that cannot be balanced: dropped if it is for a VIP, else none of our business. */
static __always_inline int drop_if_guarded(const struct packet *p, int reason)
{
	return is_guarded(p) ? -reason : REASON_NOT_OURS;
}

/* From the network, TCP or UDP with a whole tuple. */
static __always_inline int balance_from_network(struct hook h, const struct packet *p, struct verdict *v)
{
	struct frontend *f = find_frontend(p);
	int answer;

	if (f)
		return forward(h, p, v, f);
	if (h.kind == HOOK_XDP)
		return PASS_TO_TC;
	if (is_this_node(&p->tuple.destination)) {
		answer = answer_snat(p, v);
		if (answer == REASON_NOT_OURS)
			answer = answer_inside(p, v);
		return answer == REASON_NOT_OURS ? note_direct(p) : answer;
	}
	answer = answer_inside(p, v);
	if (answer != REASON_NOT_OURS)
		return answer;
	answer = note_direct(p);
	return answer == REASON_NOT_OURS ? drop_if_guarded(p, REASON_DROP_NO_FRONTEND) : answer;
}

static __always_inline int decide_from_network(struct hook h, struct packet *p, struct verdict *v)
{
	enum parsed parsed = parse(h, p);
	int answer;

	if (h.kind == HOOK_XDP && parsed != PARSED_L4)
		return PASS_TO_TC;
	if (parsed == PARSED_FRAGMENT && find_ports(p))
		parsed = PARSED_L4;
	if (parsed == PARSED_L4 && is_geneve(p) && is_this_node(&p->tuple.destination)) {
		answer = receive(h, p, v, &parsed);
		return h.kind == HOOK_TC && answer == REASON_ICMP_RELAYED ? relay(h.ctx, p, v, true) : answer;
	}
	v->to = p->tuple;
	switch (parsed) {
	case PARSED_L4:
		return balance_from_network(h, p, v);
	case PARSED_ICMP_ERROR:
		answer = relay(h.ctx, p, v, false);
		return answer == REASON_NOT_OURS ? drop_if_guarded(p, REASON_DROP_ICMP_NO_FLOW) : answer;
	case PARSED_FRAGMENT:
		return drop_if_guarded(p, REASON_DROP_FRAGMENT);
	case PARSED_IP_OPTIONS:
		return drop_if_guarded(p, REASON_DROP_IP_OPTIONS);
	case PARSED_TRUNCATED:
		return drop_if_guarded(p, REASON_DROP_TRUNCATED);
	default:
		return drop_if_guarded(p, REASON_DROP_NO_FRONTEND);
	}
}

/* Pods have no business with Geneve: it would put their packets into other nodes' pods. */
static __always_inline bool is_forged(const struct packet *p)
{
	return is_geneve(p) && bpf_map_lookup_elem(&nodes, &p->tuple.destination);
}

/* From a pod, TCP or UDP with a whole tuple: an answer, a call of a service, or the pod's own traffic. */
static __always_inline int balance_from_pod(struct hook h, const struct packet *p, struct verdict *v)
{
	bool unproven;
	struct reply *r = find_reply(&p->tuple, &unproven);
	struct frontend *f;

	if (r)
		return reply(p, v, r);
	f = find_frontend(p);
	if (f)
		return forward_inside(h, p, v, f);
	if (is_forged(p))
		return -REASON_DROP_POD_GENEVE;
	if (is_this_node(&p->tuple.destination))
		return answer_snat(p, v);
	if (leaks(p))
		return -REASON_DROP_LEAK;
	return drop_if_guarded(p, REASON_DROP_NO_FRONTEND);
}

static __always_inline int decide_from_pod(struct hook h, struct packet *p, struct verdict *v)
{
	enum parsed parsed = parse(h, p);

	v->to = p->tuple;
	if (parsed == PARSED_FRAGMENT && find_ports(p)) {
		parsed = PARSED_L4;
		v->to = p->tuple;
	}
	if (parsed == PARSED_L4)
		return balance_from_pod(h, p, v);
	if (parsed == PARSED_ICMP_ERROR)
		return relay(h.ctx, p, v, false);
	return parsed == PARSED_FRAGMENT ? drop_if_guarded(p, REASON_DROP_FRAGMENT) : REASON_NOT_OURS;
}

/* The node's own packets only: what came by a device has passed from_network or from_pod. */
static __always_inline int decide_from_node(struct hook h, struct packet *p, struct verdict *v)
{
	enum parsed parsed = parse(h, p);
	struct frontend *f;
	struct reply *r;
	bool unproven;

	if (parsed == PARSED_FRAGMENT && find_ports(p))
		parsed = PARSED_L4;
	if (parsed != PARSED_L4 || !is_this_node(&p->tuple.source))
		return REASON_NOT_OURS;
	v->to = p->tuple;
	r = find_reply(&p->tuple, &unproven);
	if (r && r->port)
		return reply_of_process(p, v, r);
	f = find_frontend(p);
	return f ? forward_inside(h, p, v, f) : REASON_NOT_OURS;
}

/* The single exit of tc: acts, counts, reports, and says what the kernel does with the packet. */
static __always_inline int finish(struct hook h, const struct packet *p, struct verdict *v, int answer, __u32 bytes)
{
	int err = answer > 0 ? act(h, p, v) : 0;
	enum reason reason = err ? -err : answer < 0 ? -answer : answer;
	int action = TC_ACT_OK;

	if (reason >= REASON_DROP_FIRST)
		action = v->refuse ? refuse(h.ctx, p, v, reason) : TC_ACT_SHOT;
	else if (reason != REASON_NOT_OURS)
		action = leave_tc(h, v);
	tell(h, p, v, reason, bytes);
	return action;
}

SEC("tc")
int from_network(struct __sk_buff *skb)
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	struct work *w = new_work(POINT_FROM_NETWORK);
	__u32 bytes = skb->len;
	int answer;

	if (!w)
		return TC_ACT_SHOT;
	if (skb->mark == SEEN_MARK) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	linearize(skb);
	trace_before(h);
	if ((skb->mark & SPLIT_MARK_MASK) == SPLIT_MARK && split_second(h))
		return TC_ACT_SHOT;
	answer = decide_from_network(h, &w->packet, &w->verdict);
	return finish(h, &w->packet, &w->verdict, answer, bytes);
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	struct work *w = new_work(POINT_FROM_POD);
	__u32 bytes = skb->len;
	int answer;

	if (!w)
		return TC_ACT_SHOT;
	linearize(skb);
	trace_before(h);
	answer = decide_from_pod(h, &w->packet, &w->verdict);
	return finish(h, &w->packet, &w->verdict, answer, bytes);
}

SEC("tc")
int from_node(struct __sk_buff *skb)
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	struct work *w = new_work(POINT_FROM_NODE);
	__u32 bytes = skb->len;
	int answer;

	if (skb->ingress_ifindex || !w)
		return TC_ACT_OK;
	linearize(skb);
	trace_before(h);
	answer = decide_from_node(h, &w->packet, &w->verdict);
	return answer == REASON_NOT_OURS ? TC_ACT_OK : finish(h, &w->packet, &w->verdict, answer, bytes);
}

/* A process of this node that is a service's backend, such as the API server, answers a pod of this node: such an answer passes
 * no other hook. */
static __always_inline int decide_to_pod(struct hook h, struct packet *p, struct verdict *v)
{
	struct reply *r;
	bool unproven;

	if (parse(h, p) != PARSED_L4 || !is_this_node(&p->tuple.source))
		return REASON_NOT_OURS;
	v->to = p->tuple;
	r = find_reply(&p->tuple, &unproven);
	if (!r || !(r->flags & FLOW_INSIDE))
		return REASON_NOT_OURS;
	translate_answer(p, v, r);
	v->mode = MODE_SNAT;
	v->to_kernel = true;
	return REASON_REPLY_INSIDE;
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	struct work *w = new_work(POINT_TO_POD);
	__u32 bytes = skb->len;
	int answer;

	if (skb->ingress_ifindex || !w)
		return TC_ACT_OK;
	linearize(skb);
	trace_before(h);
	answer = decide_to_pod(h, &w->packet, &w->verdict);
	return answer == REASON_NOT_OURS ? TC_ACT_OK : finish(h, &w->packet, &w->verdict, answer, bytes);
}

/* Whether tc has to finish what XDP has decided: an ICMP error is to be made, or a neighbour found. Nothing was changed yet. */
static __always_inline bool needs_tc(const struct verdict *v, int answer)
{
	return answer == PASS_TO_TC || v->refuse || v->split || (v->encapsulate && !is_known(v->next_hop));
}

SEC("xdp")
int from_network_xdp(struct xdp_md *xdp)
{
	struct hook h = {.ctx = xdp, .kind = HOOK_XDP};
	struct work *w = new_work(POINT_FROM_NETWORK_XDP);
	__u32 bytes = length_of(h);
	enum reason reason;
	int answer, err;

	if (!w)
		return XDP_PASS;
	trace_before(h);
	answer = decide_from_network(h, &w->packet, &w->verdict);
	if (needs_tc(&w->verdict, answer))
		return XDP_PASS;
	err = answer > 0 ? act(h, &w->packet, &w->verdict) : 0;
	reason = err ? -err : answer < 0 ? -answer : answer;
	tell(h, &w->packet, &w->verdict, reason, bytes);
	if (reason >= REASON_DROP_FIRST)
		return XDP_DROP;
	return w->verdict.pod.ifindex ? bpf_redirect(w->verdict.pod.ifindex, 0) : XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
