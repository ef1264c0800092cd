/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What the loader sets before the programs are verified: one set of programs per node. */
#pragma once

#include "types.h"

const volatile struct address node_addr4; /* this node's addresses: outer source of tunnels, source that SNAT shows; */
const volatile struct address node_addr6; /* zeroes: it has none of this family */
const volatile __u8 tunnel_ipv4 = 1;	  /* of which family tunnels to this node are; those from it are as the other node wants */
const volatile __u32 outside_ifindex;	  /* the device towards the fabric */
const volatile __u8 outside_mac[6] __attribute__((aligned(2))); /* its address */
const volatile __u32 mtu = 1500;				/* of that device */
const volatile __u32 vni = 2;					/* Geneve network identifier; 2 is "world" in Cilium */
const volatile __u16 snat_port_first = 6082;			/* source ports for SNAT: not sockets', NodePorts' or tunnels' */
const volatile __u16 snat_port_last = 29999;
const volatile __u32 event_mask = 8191; /* number of event slots, a power of two, minus 1 */
const volatile __u8
	precise_events;		  /* the time of flow events is to the nanosecond, not to the tick: reading that clock takes long */
const volatile enum fault broken; /* on purpose; where nothing is, the verifier takes the code of it out */
const volatile __u8 mark_tunnels = 1; /* 0 only for benchmarks, which use one packet again and again: the kernel marks it once */
