/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Into a pod of this node. */
#pragma once

#include "maps.h"
#include "verdict.h"

/* Addresses the frame to the pod and sets where the verdict sends it. */
static __always_inline int deliver(struct __sk_buff *skb, struct verdict *v, __be32 addr)
{
	struct pod4 *pod = bpf_map_lookup_elem(&pods4, &addr);
	struct ethhdr *eth = at(skb, 0, sizeof(*eth));

	if (!pod)
		return -REASON_DROP_NO_POD;
	if (!eth)
		return -REASON_DROP_TRUNCATED;
	__builtin_memcpy(eth->h_dest, pod->mac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, pod->node_mac, sizeof(eth->h_source));
	v->pod_ifindex = pod->ifindex;
	return 0;
}

/* Remembers that what the pod answers to this client bears the frontend as its source. client_to_pod is the packet's tuple
 * as the pod sees it. */
static __always_inline int learn_reply(const struct flow4_key *client_to_pod, __be32 addr, __be16 port)
{
	struct flow4_key answer = {
		.saddr = client_to_pod->daddr,
		.daddr = client_to_pod->saddr,
		.sport = client_to_pod->dport,
		.dport = client_to_pod->sport,
		.protocol = client_to_pod->protocol,
	};
	struct reply4 learned = {.addr = addr, .port = port};
	struct reply4 *known = bpf_map_lookup_elem(&replies4, &answer);

	if (known && known->addr == addr && known->port == port)
		return 0;
	return bpf_map_update_elem(&replies4, &answer, &learned, BPF_ANY) ? -REASON_DROP_TABLE : 0;
}
