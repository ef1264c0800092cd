/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* All maps of a node. The loader sets max_entries from its configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "types.h"

/* Address, port and protocol that clients talk to. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct service4_key);
	__type(value, struct frontend);
	__uint(max_entries, 65536);
} frontends4 SEC(".maps");

/* Backend id to pod address; ids are never used twice while flows can still hold one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct backend4);
	__uint(max_entries, 65536);
} backends4 SEC(".maps");

/* One Maglev table: slot to backend id. Tables are replaced whole, so no packet sees half of one. */
struct maglev_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, 4096);
	__array(values, struct maglev_table);
} maglev SEC(".maps");

/* LB node: running flows, client to frontend. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow4_key);
	__type(value, struct flow4);
	__uint(max_entries, 262144);
} flows4 SEC(".maps");

/* LB node: the way back of SNAT flows. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct snat4_key);
	__type(value, struct snat4);
	__uint(max_entries, 131072);
} snat_ports4 SEC(".maps");

/* Pod node: pod to client (as the answer is addressed) to the frontend. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow4_key);
	__type(value, struct reply4);
	__uint(max_entries, 262144);
} replies4 SEC(".maps");

/* Pods of this node. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, struct pod4);
	__uint(max_entries, 1024);
} pods4 SEC(".maps");

/* What Geneve may be delivered to: address, port and protocol of this node's backends. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct service4_key);
	__type(value, __u8);
	__uint(max_entries, 8192);
} local_backends4 SEC(".maps");

/* Addresses of all nodes: who may send Geneve, and how to reach them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, struct node4);
	__uint(max_entries, 8192);
} nodes4 SEC(".maps");

/* Packets and bytes by enum reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, REASON_COUNT);
} counters SEC(".maps");

/* Flow events for `observe`. When no one reads, the oldest stay and new ones are lost. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* For the loader alone: a digest of what each Maglev table holds, so that an unchanged one is found again and kept. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 4096);
} digests SEC(".maps");
