/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* ICMP echo requests to a VIP. No interface has the address, so the LB node itself replies (RFC 792; RFC 4443, 4.2). tc only. */
#pragma once

#include <linux/bpf.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>

#include "encap.h"
#include "hook.h"
#include "parse.h"
#include "reasons.h"
#include "rewrite.h"

#define ICMP4_ECHO_REPLY 0
#define ICMP6_ECHO_REPLY 129

struct echo_header {
	__u8 type, code;
	__sum16 check;
};

/* The type is the high byte of its word. */
static __always_inline void reply_to_echo(struct echo_header *icmp, __u8 type)
{
	icmp->check = apply_difference(icmp->check, port_difference(bpf_htons(icmp->type << 8), bpf_htons(type << 8)));
	icmp->type = type;
}

/* Turns the request into its reply. Exchanged addresses change no checksum. */
static __always_inline int echo(struct hook h, const struct packet *p)
{
	struct {
		struct iphdr ip;
		struct echo_header icmp;
	} *four;
	struct {
		struct ipv6hdr ip;
		struct echo_header icmp;
	} *six;

	if (p->ipv4) {
		four = packet_at(h, L3, sizeof(*four));
		if (!four)
			return -REASON_DROP_TRUNCATED;
		four->ip.saddr = p->tuple.destination.word[3];
		four->ip.daddr = p->tuple.source.word[3];
		four->ip.check =
			apply_difference(four->ip.check, port_difference(bpf_htons(four->ip.ttl << 8), bpf_htons(OUTER_TTL << 8)));
		four->ip.ttl = OUTER_TTL;
		reply_to_echo(&four->icmp, ICMP4_ECHO_REPLY);
		return REASON_ECHO_REPLY;
	}
	six = packet_at(h, L3, sizeof(*six));
	if (!six)
		return -REASON_DROP_TRUNCATED;
	__builtin_memcpy(&six->ip.saddr, &p->tuple.destination, sizeof(six->ip.saddr));
	__builtin_memcpy(&six->ip.daddr, &p->tuple.source, sizeof(six->ip.daddr));
	six->ip.hop_limit = OUTER_TTL;
	reply_to_echo(&six->icmp, ICMP6_ECHO_REPLY);
	return REASON_ECHO_REPLY;
}
