/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* A policer: a token bucket without a queue. What the bucket holds credit for passes, all else is dropped at once. It is a tc
 * classifier in direct-action mode, so it limits whatever crosses the port that it is attached to. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "bucket.h"
#include "frames.h"

/* police lets later filters look at what passes: others may have theirs at the same port. */
SEC("tc")
int police(struct __sk_buff *skb)
{
	struct frames frames = frames_of(skb);

	return take(&frames) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
