//go:build ignore

/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The programs of a node. Every node runs all of them: it is LB node for what enters by it, and pod node for its pods.
 *
 *   from_network       ingress of the device towards the fabric
 *   from_network_xdp   the same, before it: takes what needs nothing that only tc can do
 *   from_pod           ingress of the node's end of each pod's veth
 *   from_node          egress of the device towards the fabric, and of lo: what the node itself sends
 *   to_pod             egress of the node's end of each pod's veth: replies that come to the pod through the kernel
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "address.h"
#include "apply.h"
#include "echo.h"
#include "flows.h"
#include "forward.h"
#include "fragments.h"
#include "geneve.h"
#include "hook.h"
#include "icmp.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "receive.h"
#include "refuse.h"
#include "reply.h"
#include "report.h"
#include "request.h"
#include "snat.h"
#include "types.h"
#include "verdict.h"

/* A packet that cannot be balanced is dropped if it is for a VIP, else left to the kernel. */
static __always_inline int drop_if_guarded(const struct packet *p, int reason)
{
	return is_guarded(p) ? -reason : REASON_NOT_OURS;
}

/* Reports whether what comes to a NodePort is a reply all the same: to what this node has begun itself, or to a flow that left with
 * this node's address, where the range of NodePorts and that of SNAT's source ports overlap. */
static __always_inline bool is_reply_to_node(const struct packet *p)
{
	struct snat_key key = {
		.backend = p->tuple.source,
		.backend_port = p->tuple.source_port,
		.node_port = p->tuple.destination_port,
		.protocol = p->tuple.protocol,
	};
	__u16 port = bpf_ntohs(key.node_port);
	bool unconfirmed;

	if (is_of_node(p))
		return true;
	return port >= snat_port_first && port <= snat_port_last && !is_syn(p) && find_snat(&key, &unconfirmed);
}

/* From the network, TCP or UDP with a whole tuple. */
static __always_inline int balance_from_network(struct hook h, const struct packet *p, struct verdict *v)
{
	struct frontend *f = find_frontend(p);
	int rc;

	if (f && !(f->kind == FRONTEND_NODE_PORT && is_reply_to_node(p)))
		return forward_from_network(h, p, v, f);
	if (h.kind == HOOK_XDP)
		return PASS_TO_TC;
	if (is_this_node(&p->tuple.destination)) {
		rc = reply_from_snat(p, v);
		if (rc == REASON_NOT_OURS)
			rc = reply_to_node(p, v);
		return rc == REASON_NOT_OURS ? note_direct(p, false) : rc;
	}
	rc = note_direct(p, false);
	return rc == REASON_NOT_OURS ? drop_if_guarded(p, REASON_DROP_NO_FRONTEND) : rc;
}

static __always_inline int decide_from_network(struct hook h, struct packet *p, struct verdict *v)
{
	enum parsed parsed;
	int rc;

	if (!is_own_frame(h))
		return h.kind == HOOK_XDP ? PASS_TO_TC : REASON_NOT_OURS;
	parsed = parse_packet(h, p);
	if (h.kind == HOOK_XDP && parsed != PARSED_L4)
		return PASS_TO_TC;
	if (parsed == PARSED_FRAGMENT && find_ports(p))
		parsed = PARSED_L4;
	if (parsed == PARSED_L4 && is_geneve(p) && is_this_node(&p->tuple.destination)) {
		rc = receive_geneve(h, p, v, &parsed);
		return h.kind == HOOK_TC && rc == REASON_ICMP_RELAYED ? relay_icmp_error(h.ctx, p, v, true) : rc;
	}
	v->to = p->tuple;
	switch (parsed) {
	case PARSED_L4:
		return balance_from_network(h, p, v);
	case PARSED_ICMP_ERROR:
		rc = relay_icmp_error(h.ctx, p, v, false);
		return rc == REASON_NOT_OURS ? drop_if_guarded(p, REASON_DROP_ICMP_NO_FLOW) : rc;
	case PARSED_ECHO:
		return is_guarded(p) ? echo(h, p) : REASON_NOT_OURS;
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

/* Pods must not send Geneve to a node: it would put their packets into other nodes' pods. */
static __always_inline bool is_forged_geneve(const struct packet *p)
{
	return is_geneve(p) && bpf_map_lookup_elem(&nodes, &p->tuple.destination);
}

/* From a pod, TCP or UDP with a whole tuple: a reply, a call of a service, or the pod's own traffic. */
static __always_inline int balance_from_pod(struct hook h, const struct packet *p, struct verdict *v)
{
	bool unconfirmed;
	struct reply *r = find_reply(&p->tuple, &unconfirmed);
	struct frontend *f;

	if (r)
		return reply_from_pod(h, p, v, r);
	f = find_frontend(p);
	if (f)
		return forward_inside(h, p, v, f);
	if (is_forged_geneve(p))
		return -REASON_DROP_POD_GENEVE;
	if (is_this_node(&p->tuple.destination))
		return reply_from_snat(p, v);
	if (is_leak(p))
		return -REASON_DROP_LEAK;
	return drop_if_guarded(p, REASON_DROP_NO_FRONTEND);
}

static __always_inline int decide_from_pod(struct hook h, struct packet *p, struct verdict *v)
{
	enum parsed parsed = parse_packet(h, p);

	v->to = p->tuple;
	if (parsed == PARSED_FRAGMENT && find_ports(p)) {
		parsed = PARSED_L4;
		v->to = p->tuple;
	}
	if (parsed == PARSED_L4)
		return balance_from_pod(h, p, v);
	if (parsed == PARSED_ICMP_ERROR)
		return relay_icmp_error(h.ctx, p, v, false);
	return parsed == PARSED_FRAGMENT ? drop_if_guarded(p, REASON_DROP_FRAGMENT) : REASON_NOT_OURS;
}

/* Reports whether the node itself sends the packet, instead of forwarding it. */
static __always_inline bool is_sent_by_node(struct hook h)
{
	return !skb_of(h)->ingress_ifindex;
}

/* The node's own packets. What came by a device has passed from_network or from_pod. */
static __always_inline int decide_from_node(struct hook h, struct packet *p, struct verdict *v)
{
	enum parsed parsed = parse_packet(h, p);
	struct frontend *f;
	struct reply *r;

	if (!is_sent_by_node(h)) {
		if (parsed == PARSED_L4 && is_this_node(&p->tuple.source))
			note_node_flow(p, true);
		return REASON_NOT_OURS;
	}
	if (parsed == PARSED_ICMP_ERROR)
		return relay_icmp_error(h.ctx, p, v, false);
	if (parsed == PARSED_FRAGMENT && find_ports(p))
		parsed = PARSED_L4;
	if (parsed != PARSED_L4)
		return REASON_NOT_OURS;
	v->to = p->tuple;
	r = find_reply_of_process(p);
	if (r && r->port)
		return reply_from_process(p, v, r);
	if (!is_this_node(&p->tuple.source))
		return REASON_NOT_OURS;
	f = find_frontend(p);
	if (f)
		return forward_inside(h, p, v, f);
	note_node_flow(p, false);
	return REASON_NOT_OURS;
}

/* What becomes of a dropped packet. */
static __always_inline int refuse_tc(struct hook h, const struct packet *p, struct verdict *v, enum reason reason)
{
	if (v->request_option)
		return send_request_tc(h.ctx, v);
	return v->refuse ? send_icmp_error(h.ctx, p, v, reason) : TC_ACT_SHOT;
}

/* The single exit of tc: acts, counts, reports, and says what the kernel does with the packet. */
static __always_inline int finish_tc(struct hook h, const struct packet *p, struct verdict *v, int rc, __u32 bytes)
{
	int err = rc > 0 ? apply_verdict(h, p, v) : 0;
	enum reason reason = err ? -err : rc < 0 ? -rc : rc;
	int action = TC_ACT_OK;

	if (reason >= REASON_DROP_FIRST)
		action = refuse_tc(h, p, v, reason);
	else if (reason != REASON_NOT_OURS)
		action = leave_tc(h, v);
	record_packet(h, p, v, reason, bytes);
	return action;
}

/* What the kernel delivers to a pod: replies of backends on other nodes and of processes of this node, which bear the backend's
 * address until here, and what calls the pod past its services. */
static __always_inline int decide_to_pod(struct hook h, struct packet *p, struct verdict *v)
{
	enum parsed parsed = parse_packet(h, p);
	bool own = is_sent_by_node(h), unconfirmed;
	struct reply *r;

	if (parsed == PARSED_ICMP_ERROR && own)
		return relay_icmp_error(h.ctx, p, v, false);
	if (parsed == PARSED_FRAGMENT && find_ports(p))
		parsed = PARSED_L4;
	if (parsed != PARSED_L4)
		return REASON_NOT_OURS;
	v->to = p->tuple;
	r = own ? find_reply_of_process(p) : find_reply(&p->tuple, &unconfirmed);
	if (r && r->flags & FLOW_INSIDE)
		return reply_to_pod(p, v, r);
	return own ? REASON_NOT_OURS : note_direct(p, true);
}

/* What the four programs of tc share. At egress most packets are not ours; they are not counted. decide is a constant in each
 * program, so the compiler makes a copy of this for each. */
static __always_inline int run_tc(struct __sk_buff *skb, enum point point,
				  int (*decide)(struct hook h, struct packet *p, struct verdict *v))
{
	struct hook h = {.ctx = skb, .kind = HOOK_TC};
	struct packet_state *w = new_packet_state(point);
	bool egress = point == POINT_FROM_NODE || point == POINT_TO_POD;
	__u32 bytes = skb->len;
	int rc;

	if (egress && !w)
		return TC_ACT_OK;
	if (!w)
		return TC_ACT_SHOT;
	if (point == POINT_FROM_NETWORK && skb->mark == SEEN_MARK) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	if (point == POINT_FROM_NETWORK && skb->vlan_present && !(skb->vlan_tci & VLAN_IDENTIFIER))
		bpf_skb_vlan_pop(skb); /* a priority only, which must not go along into the tunnel */
	linearize(skb);
	trace_before(h);
	if (point == POINT_FROM_NETWORK && (skb->mark & SPLIT_MARK_MASK) == SPLIT_MARK && split_second(h))
		return TC_ACT_SHOT;
	rc = decide(h, &w->packet, &w->verdict);
	return egress && rc == REASON_NOT_OURS ? TC_ACT_OK : finish_tc(h, &w->packet, &w->verdict, rc, bytes);
}

SEC("tc")
int from_network(struct __sk_buff *skb)
{
	return run_tc(skb, POINT_FROM_NETWORK, decide_from_network);
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	return run_tc(skb, POINT_FROM_POD, decide_from_pod);
}

SEC("tc")
int from_node(struct __sk_buff *skb)
{
	return run_tc(skb, POINT_FROM_NODE, decide_from_node);
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	return run_tc(skb, POINT_TO_POD, decide_to_pod);
}

/* Reports whether tc has to handle the packet instead: it has to be left to tc, needs an ICMP error, or a neighbour to be found.
 * Nothing was changed yet. */
static __always_inline bool needs_tc(const struct verdict *v, int rc)
{
	return rc == PASS_TO_TC || v->refuse || v->split || (v->encapsulate && !is_known(v->next_hop));
}

SEC("xdp")
int from_network_xdp(struct xdp_md *xdp)
{
	struct hook h = {.ctx = xdp, .kind = HOOK_XDP};
	struct packet_state *w = new_packet_state(POINT_FROM_NETWORK_XDP);
	__u32 bytes = length_of(h);
	enum reason reason;
	int rc, err;

	if (!w)
		return XDP_PASS;
	trace_before(h);
	rc = decide_from_network(h, &w->packet, &w->verdict);
	if (needs_tc(&w->verdict, rc))
		return XDP_PASS;
	err = rc > 0 ? apply_verdict(h, &w->packet, &w->verdict) : 0;
	reason = err ? -err : rc < 0 ? -rc : rc;
	record_packet(h, &w->packet, &w->verdict, reason, bytes);
	if (w->verdict.request_option)
		return send_request_xdp(xdp, &w->verdict);
	if (reason >= REASON_DROP_FIRST || w->verdict.consumed)
		return XDP_DROP;
	return w->verdict.pod.ifindex ? bpf_redirect(w->verdict.pod.ifindex, 0) : XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
