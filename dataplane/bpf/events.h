/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What the programs report to user space about single packets. */
#pragma once

#include "types.h"

/* A flow event for `observe`. */
struct event {
	__u64 time;				/* ns since boot, monotonic */
	struct flow_key tuple;			/* as the packet came; of the inner packet, where it came by Geneve */
	struct address frontend, backend, node; /* zero where not known; node: the other end of the tunnel */
	__be16 frontend_port, backend_port;
	__u32 bytes;  /* from the Ethernet header on, as the packet came */
	__u32 reason; /* enum reason */
	__u32 service;
	__u8 point; /* enum point */
	__u8 tcp_flags;
	__u8 flags; /* enum event_flags */
	__u8 mode;  /* enum mode, where a frontend was found */
	__u32 pad;
};
SIZE_IS(struct event, 120);

/* An event, and which one it is: its number plus 1, 0 while there was none, EVENT_WRITING while it changes. */
struct event_slot {
	__u64 sequence;
	struct event event;
};
SIZE_IS(struct event_slot, 128);

#define EVENT_WRITING (~0ULL)

#define HOP_BYTES 192 /* two Ethernet headers, two IPv6 headers, UDP, Geneve with option, TCP with options */

/* Which flow `trace` follows, and up to when. Its process extends that while it runs; once killed, it leaves a filter that ends by
 * itself. */
struct trace_filter {
	__u64 until; /* coarse clock; 0: nothing is traced */
	struct address client;
	__be16 port;   /* 0: any */
	__u8 protocol; /* 0: any; and ICMP */
	__u8 pad[5];
};
SIZE_IS(struct trace_filter, 32);

/* One packet of a traced flow at one hook: its event, and its first bytes before and after the program. */
struct hop {
	struct event event;
	__u32 length_before, length_after; /* of the whole frame */
	__u8 before[HOP_BYTES], after[HOP_BYTES];
};
SIZE_IS(struct hop, 512);
