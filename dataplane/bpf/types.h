/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Enums and structs that C and Go share: bpf2go writes their Go side. Addresses and ports are in network byte order. */
#pragma once

#include <linux/types.h>

#define SIZE_IS(type, size) _Static_assert(sizeof(type) == (size), #type " is not " #size " bytes")

/* What happened to a packet. Every packet that a program saw is counted under exactly one of these. */
enum reason {
	REASON_NOT_OURS = 0,	      /* left to the kernel's stack */
	REASON_TO_OVERLAY_DSR,	      /* LB node: DNAT, Geneve to the pod node, the client's address kept */
	REASON_TO_OVERLAY_SNAT,	      /* LB node: DNAT and SNAT, Geneve to the pod node */
	REASON_TO_ENDPOINT,	      /* LB node: the backend is a pod of this node */
	REASON_FROM_OVERLAY,	      /* pod node: Geneve taken off, delivered into the pod */
	REASON_REPLY_DIRECT,	      /* pod node: source is the frontend, straight to the client */
	REASON_REPLY_FROM_SNAT,	      /* LB node: the answer of an SNAT flow, translated back */
	REASON_DROP_FIRST = 32,	      /* from here on the packet was dropped */
	REASON_DROP_NO_FRONTEND = 32, /* to a VIP, but to no port of a service */
	REASON_DROP_NO_BACKEND,	      /* the frontend has no backend */
	REASON_DROP_FRAGMENT,	      /* an IP fragment to a VIP */
	REASON_DROP_IP_OPTIONS,	      /* an IPv4 header with options to a VIP */
	REASON_DROP_TTL,	      /* would have been forwarded with TTL 0 */
	REASON_DROP_TOO_BIG,	      /* does not fit the link with the Geneve overhead */
	REASON_DROP_NO_POD,	      /* the backend is local but its pod is not */
	REASON_DROP_NO_PORT,	      /* SNAT: no free source port */
	REASON_DROP_TABLE,	      /* a map refused the entry */
	REASON_DROP_ADJUST,	      /* the kernel refused to make or take room */
	REASON_DROP_TRUNCATED,	      /* the packet ends before its headers do */
	REASON_DROP_UNKNOWN_NODE,     /* Geneve from an address that is no node's */
	REASON_DROP_VNI,	      /* Geneve with another network identifier */
	REASON_DROP_GENEVE,	      /* malformed Geneve header or option */
	REASON_DROP_NOT_BACKEND,      /* Geneve for an address and port that is no backend of this node */
	REASON_DROP_NO_FLOW,	      /* Geneve from a client without option, of a flow never learned: the answer would leak */
	REASON_DROP_POD_GENEVE,	      /* a pod sent Geneve to a node */
	REASON_COUNT,
};

/* How a frontend's packets travel to a backend on another node. */
enum mode { MODE_SNAT = 0, MODE_DSR = 1 };

/* What kind of address a frontend is. */
enum frontend_kind {
	FRONTEND_LOAD_BALANCER = 0,
	FRONTEND_NODE_PORT,
	FRONTEND_EXTERNAL_IP,
	FRONTEND_CLUSTER_IP,
	FRONTEND_GUARD, /* port and protocol 0: all other ports of a VIP, so that they are not routed in circles */
};

/* Where a packet was seen. */
enum point { POINT_FROM_NETWORK = 0, POINT_FROM_POD };

enum frontend_flags { FRONTEND_LOCAL_ONLY = 1 /* externalTrafficPolicy: Local */ };
enum backend_flags { BACKEND_LOCAL = 1 /* a pod of this node */ };
enum flow_flags {
	FLOW_BEGUN_HERE = 1, /* this node saw the SYN, so the pod node has learned the frontend */
	FLOW_CLIENT_FIN = 2,
	FLOW_POD_FIN = 4,
	FLOW_RESET = 8,
};
enum event_flags { EVENT_OPTION = 1 /* the packet carries, or carried, the DSR option */ };

/* A 5-tuple. */
struct flow4_key {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u8 protocol;
	__u8 pad[3];
};
SIZE_IS(struct flow4_key, 16);

/* An address, port and protocol that clients or pods listen on. */
struct service4_key {
	__be32 addr;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
SIZE_IS(struct service4_key, 8);

struct frontend {
	__u32 table;	/* index into maglev */
	__u32 slots;	/* of that table, a prime */
	__u32 backends; /* how many; 0: none */
	__u32 service;	/* identifies the service in events and listings */
	__u8 mode;	/* enum mode */
	__u8 kind;	/* enum frontend_kind */
	__u8 flags;	/* enum frontend_flags */
	__u8 pad;
};
SIZE_IS(struct frontend, 20);

struct backend4 {
	__be32 addr;
	__be16 port;
	__u8 protocol;
	__u8 flags;  /* enum backend_flags */
	__be32 node; /* address of the pod's node */
};
SIZE_IS(struct backend4, 12);

/* A pod of this node and how it is reached. */
struct pod4 {
	__u32 ifindex; /* node's end of the pod's veth */
	__u8 mac[6];
	__u8 node_mac[6];
};
SIZE_IS(struct pod4, 16);

/* LB node: a client's flow to a frontend. */
struct flow4 {
	__u64 seen; /* ns, coarse monotonic clock */
	__u32 backend;
	__be16 snat_port; /* 0: not translated */
	__u8 flags;	  /* enum flow_flags */
	__u8 pad;
};
SIZE_IS(struct flow4, 16);

/* LB node: the way back of an SNAT flow. */
struct snat4_key {
	__be32 backend_addr;
	__be16 backend_port, node_port;
	__u8 protocol;
	__u8 pad[3];
};
SIZE_IS(struct snat4_key, 12);

struct snat4 {
	__u64 seen;
	__be32 client_addr, frontend_addr;
	__be16 client_port, frontend_port;
	__u8 flags; /* enum flow_flags */
	__u8 pad[3];
};
SIZE_IS(struct snat4, 24);

/* Pod node: which frontend a pod's answers to a client bear as their source. */
struct reply4 {
	__be32 addr;
	__be16 port;
	__u16 pad;
};
SIZE_IS(struct reply4, 8);

/* A node of the cluster. */
struct node4 {
	__u8 next_hop[6]; /* MAC address that leads there by the outside device; zeroes: ask the kernel's tables */
	__u16 pad;
};
SIZE_IS(struct node4, 8);

struct counter {
	__u64 packets, bytes;
};

/* A flow event: IPv4 addresses are written IPv4-mapped (RFC 4291, 2.5.5.2). */
struct event {
	__u64 time;				  /* ns since boot, monotonic */
	__u8 source[16], destination[16];	  /* as the packet came */
	__u8 frontend[16], backend[16], node[16]; /* zero where not known; node: outer source or destination */
	__be16 source_port, destination_port, frontend_port, backend_port;
	__u32 bytes;
	__u32 reason; /* enum reason */
	__u8 point;   /* enum point */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 flags; /* enum event_flags */
	__u8 mode;  /* enum mode, where a frontend was found */
	__u8 pad[3];
};
SIZE_IS(struct event, 112);

/* Types that no map mentions, so that the object describes them to Go all the same. */
struct exported {
	enum reason reason;
	enum mode mode;
	enum frontend_kind frontend_kind;
	enum point point;
	enum frontend_flags frontend_flags;
	enum backend_flags backend_flags;
	enum flow_flags flow_flags;
	enum event_flags event_flags;
	struct event event;
};
const struct exported *const exported_to_go __attribute__((used)) = 0; /* in .rodata, beside the configuration */
