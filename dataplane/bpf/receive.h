/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Pod node, from the network: Geneve from an LB node. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "config.h"
#include "encap.h"
#include "flows.h"
#include "fragments.h"
#include "geneve.h"
#include "hook.h"
#include "maps.h"
#include "parse.h"
#include "reasons.h"
#include "types.h"
#include "verdict.h"

#define OPTION_REQUEST_NS (60 * SECOND) /* for how long an LB node heeds a request for the option */

#define GENEVE_OPTIONS_MAX 4 /* looked through; an LB node of ours sends at most one (the verifier wants a bound) */

/* Reads a DSR option: 0 and *frontend, or a drop reason. */
static __always_inline int read_option(struct hook h, __u32 offset, __u8 words, struct service_key *frontend)
{
	struct dsr_option6 six;
	struct dsr_option4 four;

	if (frontend->port) /* there was one already */
		return -REASON_DROP_GENEVE;
	if (words == DSR_OPT4_WORDS) {
		if (load_bytes(h, offset, &four, sizeof(four)) || !four.addr || !four.port || four.zero)
			return -REASON_DROP_GENEVE;
		frontend->address = address4(four.addr);
		frontend->port = four.port;
		return 0;
	}
	if (words != DSR_OPT6_WORDS || load_bytes(h, offset, &six, sizeof(six)) || is_zero(&six.addr) || !six.port || six.zero)
		return -REASON_DROP_GENEVE;
	frontend->address = six.addr;
	frontend->port = six.port;
	return 0;
}

/* Looks for the DSR option among *words* words of options. Unknown critical options are refused (RFC 8926, 3.5). */
static __always_inline int find_option(struct hook h, __u32 offset, __u32 words, struct service_key *frontend)
{
	for (int i = 0; i < GENEVE_OPTIONS_MAX && words; i++) {
		struct geneve_option o;
		__u32 size;
		int err;

		if (load_bytes(h, offset, &o, sizeof(o)))
			return -REASON_DROP_GENEVE;
		size = 1 + (o.words & 0x1f);
		if (size > words)
			return -REASON_DROP_GENEVE;
		if (o.class == bpf_htons(DSR_OPT_CLASS) && o.type == DSR_OPT_TYPE) {
			err = read_option(h, offset, o.words, frontend);
			if (err)
				return err;
		} else if (o.type & 0x80) {
			return -REASON_DROP_GENEVE;
		}
		offset += size * 4;
		words -= size;
	}
	return words ? -REASON_DROP_GENEVE : 0;
}

/* LB node: a pod node has lost the frontend of a flow that began here. Which one is not asked: from now on all packets carry the
 * option for a while, as it will have lost others, too. */
static __always_inline int note_request(struct verdict *v)
{
	__u64 until = bpf_ktime_get_coarse_ns() + OPTION_REQUEST_NS;
	__u32 zero = 0;

	bpf_map_update_elem(&option_requested, &zero, &until, BPF_ANY);
	v->consumed = true;
	return REASON_OPTION_REQUESTED;
}

/* Reports whether the datagram is as long as the packet that it came in. Its end would cut it where its own length says (RFC 768),
 * and so would take another inner packet off than this node. A super-packet's length need not fit the field. */
static __always_inline bool is_whole_datagram(struct hook h, const struct packet *p)
{
	struct udphdr *udp = packet_at(h, l4_offset(p), sizeof(*udp));

	return udp && (is_super_packet(h) || bpf_ntohs(udp->len) == p->l4_length);
}

/* Checks the outer headers: 0, *room, what stands before the inner IP header, and v->frontend; or a drop reason. */
static __always_inline int check_outer(struct hook h, const struct packet *p, struct verdict *v, __u32 *room)
{
	__u32 offset = (p->ipv4 ? L3 + sizeof(struct iphdr) : L3 + sizeof(struct ipv6hdr)) + sizeof(struct udphdr), words;
	struct geneve *g = packet_at(h, offset, sizeof(*g));

	v->node = p->tuple.source;
	if (!bpf_map_lookup_elem(&nodes, &p->tuple.source) || is_this_node(&p->tuple.source))
		return -REASON_DROP_UNKNOWN_NODE;
	if (!g || !is_whole_datagram(h, p) || g->opt_len & GENEVE_VERSION || g->protocol != bpf_htons(GENEVE_TEB))
		return -REASON_DROP_GENEVE;
	if (g->vni != bpf_htonl(vni << 8))
		return -REASON_DROP_VNI;
	if (g->flags & GENEVE_CONTROL)
		return note_request(v);
	words = g->opt_len & GENEVE_OPT_LEN;
	*room = (p->ipv4 ? OUTER4_ROOM : OUTER6_ROOM) + words * 4;
	return words ? find_option(h, offset + sizeof(*g), words, &v->frontend) : 0;
}

/* Checks that the pod's reply to this packet will find its way: the frontend is learned, or the peer is a node (SNAT). Where it
 * will not, the LB node is asked for the option, so that the client's next packet brings it. */
static __always_inline int check_reply_path(const struct packet *p, struct verdict *v, __u32 device)
{
	struct flow_key reply_tuple = reversed(&p->tuple);
	struct reply *known;
	bool unconfirmed;

	if (v->option)
		return learn_reply(p, &p->tuple, &v->frontend, v->service, 0, device);
	known = find_reply(&reply_tuple, &unconfirmed);
	if (known) {
		v->mode = MODE_DSR;
		v->service = known->service;
		set_frontend(v, &known->frontend, known->port);
		return confirm_reply(p, &reply_tuple, known, unconfirmed, device);
	}
	if (bpf_map_lookup_elem(&nodes, &p->tuple.source))
		return 0;
	v->request_option = true;
	return -REASON_DROP_NO_FLOW;
}

/* The frontend's service, if this node knows it too. */
static __always_inline __u32 service_of(const struct packet *p, const struct verdict *v)
{
	struct service_key key = v->frontend;
	struct frontend *f;

	key.protocol = p->tuple.protocol;
	f = bpf_map_lookup_elem(&frontends, &key);
	return f ? f->service : 0;
}

static __always_inline int receive_inner(const struct packet *p, struct verdict *v)
{
	struct service_key to = {
		.address = p->tuple.destination,
		.port = p->tuple.destination_port,
		.protocol = p->tuple.protocol,
	};
	struct pod *pod = bpf_map_lookup_elem(&local_backends, &to);
	int err;

	v->backend = to;
	if (!pod)
		return -REASON_DROP_NOT_BACKEND;
	v->option = v->frontend.port != 0;
	v->mode = v->option ? MODE_DSR : MODE_SNAT;
	v->service = v->option ? service_of(p, v) : 0;
	err = check_reply_path(p, v, pod->ifindex);
	if (err)
		return err;
	v->pod = *pod;
	v->to_self = !pod->ifindex;
	return REASON_FROM_OVERLAY;
}

/* Checks the outer headers, takes the tunnel off, and decides about the inner packet, which p becomes. */
static __always_inline int receive_geneve(struct hook h, struct packet *p, struct verdict *v, enum parsed *inner)
{
	bool outer_ipv4 = p->ipv4;
	__u32 end = l4_offset(p) + p->l4_length, room = 0;
	int err = p->fragment ? -REASON_DROP_GENEVE : check_outer(h, p, v, &room);

	if (err)
		return err;
	if (h.kind == HOOK_XDP && !is_simple(h, L3 + room))
		return PASS_TO_TC;
	err = decapsulate(h, room);
	if (err)
		return err;
	*p = (struct packet){};
	*inner = parse_packet(h, p);
	v->other_family = outer_ipv4 != p->ipv4;
	if (!is_super_packet(h) && room + l4_offset(p) + p->l4_length > end) /* in what is behind the datagram: padding */
		return -REASON_DROP_TRUNCATED;
	if (*inner == PARSED_FRAGMENT && find_ports(p))
		*inner = PARSED_L4;
	if (*inner == PARSED_L4)
		return receive_inner(p, v);
	return *inner == PARSED_ICMP_ERROR ? REASON_ICMP_RELAYED : -REASON_DROP_TRUNCATED;
}
