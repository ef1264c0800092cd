/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Pod node: asks the LB node for the DSR option. The packet whose frontend is not known goes back as a control packet of the tunnel
 * (RFC 8926, 3.4, O bit), which the LB node does not forward. */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "apply.h"
#include "config.h"
#include "encap.h"
#include "hook.h"
#include "maps.h"
#include "types.h"
#include "verdict.h"

/* Makes the packet, whose tunnel was taken off, a request to v->node. Returns 0 or a negative drop reason. */
static __always_inline int make_request(struct hook h, struct verdict *v)
{
	struct address node = v->node; /* kernels before 6.2 take no key from where it may be anything, as an argument may */
	struct node *n = bpf_map_lookup_elem(&nodes, &node);

	if (n)
		__builtin_memcpy(v->next_hop, n->next_hop, sizeof(v->next_hop));
	v->control = true;
	return is_ipv4(&v->node) ? put_tunnel(h, v, true, 0) : put_tunnel(h, v, false, 0);
}

/* Returns tc's action. */
__noinline int send_request_tc(struct __sk_buff *skb, struct verdict *v)
{
	if (!v || make_request((struct hook){.ctx = skb, .kind = HOOK_TC}, v))
		return TC_ACT_SHOT;
	return is_known(v->next_hop) ? bpf_redirect(outside_ifindex, 0) : bpf_redirect_neigh(outside_ifindex, NULL, 0, 0);
}

/* Returns XDP's action. */
__noinline int send_request_xdp(struct xdp_md *xdp, struct verdict *v)
{
	if (!v || make_request((struct hook){.ctx = xdp, .kind = HOOK_XDP}, v))
		return XDP_DROP;
	return is_known(v->next_hop) ? XDP_TX : XDP_DROP;
}
