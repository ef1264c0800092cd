/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The XDP forward of the data path cut off after each of its parts: the difference between two of these programs is what the
 * part between them costs. They are made of the data path's own headers. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "../../bpf/apply.h"
#include "../../bpf/forward.h"
#include "../../bpf/report.h"

enum part { PART_PARSE, PART_FRONTEND, PART_FLOW, PART_CHECKSUM, PART_ENCAPSULATION };

static __always_inline int run(struct xdp_md *xdp, enum part last)
{
	struct hook h = {.ctx = xdp, .kind = HOOK_XDP};
	struct packet_state *w = new_packet_state(POINT_FROM_NETWORK_XDP);
	struct frontend *f;

	if (!w || parse_packet(h, &w->packet) != PARSED_L4)
		return XDP_ABORTED;
	if (last == PART_PARSE)
		return XDP_PASS;
	w->verdict.to = w->packet.tuple;
	f = find_frontend(&w->packet);
	if (!f)
		return XDP_ABORTED;
	if (last == PART_FRONTEND)
		return XDP_PASS;
	if (forward_from_network(h, &w->packet, &w->verdict, f) != REASON_TO_OVERLAY_DSR)
		return XDP_ABORTED;
	if (last == PART_FLOW)
		return XDP_PASS;
	if (rewrite_tuple(h, &w->packet, &w->verdict.to, true))
		return XDP_ABORTED;
	if (last == PART_CHECKSUM)
		return XDP_PASS;
	return encapsulate(h, &w->verdict) ? XDP_ABORTED : XDP_TX;
}

SEC("xdp")
int part_parse(struct xdp_md *xdp)
{
	return run(xdp, PART_PARSE);
}

SEC("xdp")
int part_frontend(struct xdp_md *xdp)
{
	return run(xdp, PART_FRONTEND);
}

SEC("xdp")
int part_flow(struct xdp_md *xdp)
{
	return run(xdp, PART_FLOW);
}

SEC("xdp")
int part_checksum(struct xdp_md *xdp)
{
	return run(xdp, PART_CHECKSUM);
}

SEC("xdp")
int part_encapsulation(struct xdp_md *xdp)
{
	return run(xdp, PART_ENCAPSULATION);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
