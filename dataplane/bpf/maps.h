/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* All maps of a node. The loader sets max_entries from its configuration. The maps that user space fills come first. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "events.h"

/* Frontends: address, port and protocol that clients call. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct service_key);
	__type(value, struct frontend);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} frontends SEC(".maps");

/* All sets of backends, one after the other. A set is written before a frontend refers to it, and its rows are not used again for
 * as long as a packet could still read them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct row);
	__uint(max_entries, 16384);
} slots SEC(".maps");

/* Backend number to pod. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct backend);
	__uint(max_entries, 16384);
} backends SEC(".maps");

/* Pods of this node. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct address);
	__type(value, struct pod);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} pods SEC(".maps");

/* What Geneve may be delivered to: the backends on this node, with their pods; backends that are processes of the node have none.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct service_key);
	__type(value, struct pod);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} local_backends SEC(".maps");

/* Addresses of all nodes, both families: Geneve is accepted from these only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct address);
	__type(value, struct node);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} nodes SEC(".maps");

/* Pods and nodes of the cluster, by prefix. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct cluster_key);
	__type(value, __u8);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cluster SEC(".maps");

/* Source ranges by the number of the service. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct range_key);
	__type(value, __u8);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} ranges SEC(".maps");

/* Which flow is traced. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct trace_filter);
	__uint(max_entries, 1);
} tracing SEC(".maps");

/* Number of a service's port to its name. Only user space uses it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct service_name);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} service_names SEC(".maps");

/* Running flows, client to frontend. A flow stays in flows_unconfirmed until its client has sent a second packet, so that a flood
 * of first packets can't evict running flows. The same holds for the next two pairs. */
struct flows_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct flow);
	__uint(max_entries, 131072);
};
struct flows_map flows SEC(".maps"), flows_unconfirmed SEC(".maps");

/* LB node: how replies of SNAT flows are translated back. */
struct snat_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct snat_key);
	__type(value, struct snat);
	__uint(max_entries, 65536);
};
struct snat_map snat_ports SEC(".maps"), snat_ports_unconfirmed SEC(".maps");

/* A reply's 5-tuple, as the backend sends it, to the frontend that becomes its source. */
struct replies_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct reply);
	__uint(max_entries, 131072);
};
struct replies_map replies SEC(".maps"), replies_unconfirmed SEC(".maps");

/* What this node began itself from a NodePort, by the tuple of what comes back: that is not for the service. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct node_flow);
	__uint(max_entries, 8192);
} node_flows SEC(".maps");

/* LB node: until when each packet of DSR carries the option, because a pod node has asked for it; ns, coarse monotonic clock. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} option_requested SEC(".maps");

/* Clients of services with session affinity. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
	__uint(max_entries, 65536);
} affinities SEC(".maps");

/* Ports of datagrams in fragments. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
	__uint(max_entries, 8192);
} fragments SEC(".maps");

/* Packets and bytes by enum reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, REASON_COUNT);
} counters SEC(".maps");

/* Packets, bytes and flows by the number of the service's port; 0 is unused. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct service_counter);
	__uint(max_entries, 4096);
} service_counters SEC(".maps");

/* The newest flow events, for `observe`: the event with number n is in the slot n modulo the number of slots. Readers map this into
 * their memory and take nothing out, so each of them sees all events. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct event_slot);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_MMAPABLE);
} events SEC(".maps");

/* How many flow events there have been: the number of the next. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
} event_count SEC(".maps");

/* Hops of the traced flow. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} hops SEC(".maps");

/* The first bytes of the packet as it came, while a flow is traced. */
struct snapshot {
	__u8 bytes[HOP_BYTES];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct snapshot);
	__uint(max_entries, 1);
} snapshots SEC(".maps");

/* Types that no map mentions: this makes the object's type information describe them, so that bpf2go can export them to Go. */
struct exported {
	enum reason reason;
	enum mode mode;
	enum frontend_kind frontend_kind;
	enum point point;
	enum frontend_flags frontend_flags;
	enum backend_flags backend_flags;
	enum flow_flags flow_flags;
	enum event_flags event_flags;
	struct hop hop;
};
const struct exported *const exported_to_go __attribute__((used)) = 0; /* in .rodata, beside the configuration */
