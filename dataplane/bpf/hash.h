/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* One hash of a 5-tuple, the same on every node: it selects the Maglev slot and gives Geneve its entropy. */
#pragma once

#include "types.h"

/* Multiply and fold: the 128-bit product's idea with two 64-bit rounds; constants are odd and random (2^64/phi and Knuth's). */
static __always_inline __u32 hash_flow4(const struct flow4_key *t)
{
	__u64 h = ((__u64)t->saddr << 32 | t->daddr) * 0x9e3779b97f4a7c15ULL;

	h ^= h >> 32;
	h += (__u64)t->sport << 24 | (__u64)t->dport << 8 | t->protocol;
	h *= 0xd6e8feb86659fd93ULL;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	return h >> 32;
}
