/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Addresses of both families in one form, and the hash of a 5-tuple. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#include "config.h"
#include "types.h"

#define MAPPED bpf_htonl(0xffff) /* third word of an IPv4-mapped address */

static __always_inline struct address address4(__be32 addr)
{
	return (struct address){.word = {0, 0, MAPPED, addr}};
}

static __always_inline bool is_ipv4(const struct address *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == MAPPED;
}

static __always_inline bool is_zero(const struct address *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] && a->word[0] == b->word[0];
}

/* The node's own address of a family. The configuration is volatile, so it is copied word by word. */
static __always_inline struct address node_address(bool ipv4)
{
	const volatile struct address *own = ipv4 ? &node_addr4 : &node_addr6;

	return (struct address){.word = {own->word[0], own->word[1], own->word[2], own->word[3]}};
}

static __always_inline bool is_this_node(const struct address *a)
{
	struct address own = node_address(is_ipv4(a));

	return address_equal(a, &own);
}

/* The tuple of a reply, given that of its request, and the other way round. */
static __always_inline struct flow_key reversed(const struct flow_key *t)
{
	return (struct flow_key){
		.source = t->destination,
		.destination = t->source,
		.source_port = t->destination_port,
		.destination_port = t->source_port,
		.protocol = t->protocol,
	};
}

/* Multiply and fold: two odd random constants (2^64/phi and one of Knuth's) mix 64 bits at a time. */
static __always_inline __u64 hash_mix(__u64 h, __u64 value)
{
	h = (h ^ value) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

static __always_inline __u64 hash_mix_address(__u64 h, const struct address *a)
{
	h = hash_mix(h, (__u64)a->word[0] << 32 | a->word[1]);
	return hash_mix(h, (__u64)a->word[2] << 32 | a->word[3]);
}

/* One hash of a 5-tuple, the same on every node: it selects the backend and gives Geneve its entropy. */
static __always_inline __u32 hash_flow(const struct flow_key *t)
{
	__u64 h = hash_mix_address(hash_mix_address(0, &t->source), &t->destination);

	h = hash_mix(h, (__u64)t->source_port << 24 | (__u64)t->destination_port << 8 | t->protocol);
	return h * 0xd6e8feb86659fd93ULL >> 32;
}
