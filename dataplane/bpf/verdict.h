/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What is to be done with a packet. Deciding fills a verdict in and leaves the packet alone; apply.h carries it out. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"

/* Not a reason: XDP leaves the packet to the tc program of the same device, which decides again. */
#define PASS_TO_TC REASON_COUNT

struct verdict {
	enum point point;
	bool rewrite;		     /* the packet's addresses and ports become those of to */
	bool clamp;		     /* lower the MSS in its SYN */
	bool encapsulate;	     /* to v->node */
	bool option;		     /* the packet carries, or carried, the DSR option */
	bool begins;		     /* first packet of a flow */
	bool to_kernel;		     /* what is left of it is for the kernel's stack */
	bool to_self;		     /* likewise, but it has to come in by the outside device first */
	bool to_loopback;	     /* likewise, but by lo: it bears the node's own address as source */
	bool refuse;		     /* send the sender an ICMP error */
	bool split;		     /* a fragment that does not fit: cut it in two */
	bool other_family;	     /* inner and outer IP header are of different families */
	bool request_option;	     /* send the packet back to the LB node as a request for the DSR option */
	bool control;		     /* a control packet of the tunnel (RFC 8926, 3.4, O bit) */
	bool consumed;		     /* nothing is left to do with the packet, which was for this program */
	__u8 mode;		     /* enum mode, where there is a frontend */
	__u32 hash;		     /* of the flow */
	__u32 service;		     /* 0: none */
	struct flow_key to;	     /* the tuple as it leaves */
	struct pod pod;		     /* deliver here; ifindex 0: out, or as said above */
	struct address node;	     /* the other end of the tunnel */
	__u8 next_hop[6];	     /* that leads there; zeroes: ask the kernel's tables */
	struct service_key frontend; /* port 0: not known */
	struct service_key backend;
};

/* A packet and its verdict on the way through a program. One per CPU and program: it is too large for the stack, and the verifier
 * takes less time where it does not know every value. */
struct packet_state {
	struct packet packet;
	struct verdict verdict;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct packet_state);
	__uint(max_entries, POINT_COUNT);
} packet_states SEC(".maps");

static __always_inline struct packet_state *new_packet_state(enum point point)
{
	__u32 key = point;
	struct packet_state *w = bpf_map_lookup_elem(&packet_states, &key);

	if (w) {
		__builtin_memset(w, 0, sizeof(*w));
		w->verdict.point = point;
	}
	return w;
}

static __always_inline void set_frontend(struct verdict *v, const struct address *a, __be16 port)
{
	v->frontend.address = *a;
	v->frontend.port = port;
}

static __always_inline void set_backend(struct verdict *v, const struct address *a, __be16 port)
{
	v->backend.address = *a;
	v->backend.port = port;
}

/* Delivers into a pod of this node. */
static __always_inline int deliver_to(struct verdict *v, const struct address *addr)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, addr);

	if (!pod)
		return -REASON_DROP_NO_POD;
	v->pod = *pod;
	return 0;
}

/* Reports whether an address is a pod's or a node's. */
static __always_inline bool is_inside(const struct address *a)
{
	struct cluster_key key = {.prefix = 128, .address = *a};

	return bpf_map_lookup_elem(&cluster, &key) != NULL;
}
