/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Atomic operations that return what was there. In assembly, as the programs are compiled for the oldest instruction set, for which
 * clang has no such operations; kernels have them since 5.12. Each is a full memory barrier. */
#pragma once

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

static __always_inline __u64 atomic_add(__u64 *to, __u64 value)
{
	asm volatile("%0 = atomic_fetch_add((u64 *)(%1 + 0), %0)" : "+r"(value) : "r"(to) : "memory");
	return value;
}

static __always_inline __u64 atomic_exchange(__u64 *at, __u64 value)
{
	asm volatile("%0 = xchg_64(%1 + 0, %0)" : "+r"(value) : "r"(at) : "memory");
	return value;
}

static __always_inline __u64 atomic_compare_exchange(__u64 *at, __u64 expected, __u64 value)
{
	register __u64 r0 asm("r0") = expected;

	asm volatile("r0 = cmpxchg_64(%1 + 0, r0, %2)" : "+r"(r0) : "r"(at), "r"(value) : "memory");
	return r0;
}
