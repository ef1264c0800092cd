/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The token bucket. Credit is counted in nanobits (1e-9 bit): a rate in bit/s is then nanobits per nanosecond, so that neither
 * filling the bucket nor taking from it ever rounds, whatever the rate and the size of a frame. */
#ifndef BUCKET_H
#define BUCKET_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define NANOBITS_PER_BYTE 8000000000ULL

/* What crosses a port as one packet: one frame, or those that a super-packet stands for. */
struct frames {
	__u64 count;
	__u64 bytes; /* of all, from the Ethernet header on */
};

/* What the program is loaded with; to change it, another is loaded that goes on with the same bucket. full is below 2^63, so a
 * full bucket and what is added to it fit into 64 bit. */
struct config {
	__u64 rate;	 /* bit/s */
	__u64 full;	 /* nanobits of a full bucket */
	__u64 fill_time; /* ns in which an empty bucket fills, rounded up */
	__u64 overhead;	 /* bytes that each frame costs beyond its own */
};

const volatile struct config limit = {};

struct bucket {
	struct bpf_spin_lock lock; /* frames cross a port on several CPUs */
	__u32 pad;
	__u64 filled; /* when, by bpf_ktime_get_ns */
	__u64 credit; /* nanobits */
	struct frames passed, dropped;
};
_Static_assert(sizeof(struct bucket) == 56, "bucket has no hidden padding");

/* The one bucket. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct bucket);
	__uint(max_entries, 1);
} buckets SEC(".maps");

/* fill adds what the rate has brought since the last time. The multiplication can't overflow: its result is below full. */
static __always_inline void fill(struct bucket *b, __u64 now)
{
	__u64 elapsed = now - b->filled;

	if ((__s64)elapsed < 0) /* another CPU read the clock later, and was here first */
		elapsed = 0;
	else
		b->filled = now;
	if (elapsed >= limit.fill_time)
		b->credit = limit.full;
	else
		b->credit += elapsed * limit.rate;
	if (b->credit > limit.full)
		b->credit = limit.full;
}

/* take takes the credit for frames out of the bucket and returns 0, or returns -1 where there is not enough. */
static __always_inline int take(const struct frames *f)
{
	__u64 cost = (f->bytes + f->count * limit.overhead) * NANOBITS_PER_BYTE;
	__u64 now = bpf_ktime_get_ns(); /* nothing may be called under the lock */
	__u32 the_one = 0;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &the_one);
	int missing = 0;

	if (!b) /* it is always there */
		return 0;
	bpf_spin_lock(&b->lock);
	fill(b, now);
	if (cost <= b->credit) {
		b->credit -= cost;
		b->passed.count += f->count;
		b->passed.bytes += f->bytes;
	} else {
		b->dropped.count += f->count;
		b->dropped.bytes += f->bytes;
		missing = -1;
	}
	bpf_spin_unlock(&b->lock);
	return missing;
}

#endif
