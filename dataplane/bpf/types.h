/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Structs that C and Go share: bpf2go writes their Go side. Ports are in network byte order. */
#pragma once

#include <linux/types.h>

#include "reasons.h"

#define SIZE_IS(type, size) _Static_assert(sizeof(type) == (size), #type " is not " #size " bytes")

/* An IPv6 address, or an IPv4 address mapped into one (RFC 4291, 2.5.5.2): one table serves both families. */
struct address {
	__be32 word[4];
};
SIZE_IS(struct address, 16);

/* A 5-tuple. */
struct flow_key {
	struct address source, destination;
	__be16 source_port, destination_port;
	__u8 protocol;
	__u8 pad[3];
};
SIZE_IS(struct flow_key, 40);

/* An address, port and protocol that clients or pods listen on. */
struct service_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
SIZE_IS(struct service_key, 20);

/* The backends among which a frontend's flows are shared out: a list of at most LIST_BACKENDS, or a table of TABLE_SLOTS slots.
 * Both are rows of the map slots. */
struct backend_set {
	__u32 first; /* row of slots where it begins */
	__u32 size;  /* backends of the list, or TABLE_SLOTS; 0: no backend */
};
SIZE_IS(struct backend_set, 8);

struct frontend {
	struct backend_set outside; /* for clients outside of the cluster */
	struct backend_set inside;  /* for pods and nodes; externalTrafficPolicy does not concern them */
	__u32 service;		    /* number of the service's port: counters, affinity, source ranges; never 0 */
	__u32 affinity;		    /* seconds for which a client keeps its backend; 0: no affinity */
	__u8 mode;		    /* enum mode */
	__u8 kind;		    /* enum frontend_kind */
	__u8 flags;		    /* enum frontend_flags */
	__u8 pad[5];
};
SIZE_IS(struct frontend, 32);

#define TABLE_SLOTS (1 << 15)
#define LIST_BACKENDS 16
#define ROW_SLOTS 16
#define ROW_BACKENDS 8
/* A row is one cache line: of a table 16 backend numbers, of a list 8 times a backend's number and its seed. */
struct row {
	__u32 word[ROW_SLOTS];
};
SIZE_IS(struct row, 64);

struct backend {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 flags;	     /* enum backend_flags */
	__u32 serial;	     /* changes when the number goes to another backend, so that old flows don't follow; 0: free */
	struct address node; /* where the tunnel to the pod's node ends; zeroes: BACKEND_OUTSIDE */
	__u8 next_hop[6];    /* MAC address that leads to the node by the outside device; zeroes: ask the kernel's tables */
	__u16 pad;
};
SIZE_IS(struct backend, 48);

/* A pod of this node and how it is reached. */
struct pod {
	__u32 ifindex; /* node's end of the pod's veth */
	__u8 mac[6];
	__u8 node_mac[6];
};
SIZE_IS(struct pod, 16);

/* A flow of a client, or of a pod of this node, to a frontend. */
struct flow {
	__u32 backend;
	__u32 serial;	  /* of the backend */
	__u32 service;	  /* of the frontend when the flow began */
	__be16 snat_port; /* 0: not translated */
	__u8 flags;	  /* enum flow_flags */
	__u8 pad;
};
SIZE_IS(struct flow, 16);

/* LB node: how replies of an SNAT flow are translated back. The address that goes with node_port is the node's own of the same
 * family. */
struct snat_key {
	struct address backend;
	__be16 backend_port, node_port;
	__u8 protocol;
	__u8 pad[3];
};
SIZE_IS(struct snat_key, 24);

struct snat {
	__u64 seen; /* ns, coarse monotonic clock */
	struct address client, frontend;
	__be16 client_port, frontend_port;
	__u32 service;
	__u8 flags; /* enum flow_flags */
	__u8 pad[7];
};
SIZE_IS(struct snat, 56);

/* The frontend that is the source of a flow's replies. */
struct reply {
	__u64 seen;
	struct address frontend; /* zeroes: none, the client calls the pod itself */
	__be16 port;
	__u8 flags; /* enum flow_flags */
	__u8 pad;
	__u32 service; /* 0: not known here */
	__u32 device;  /* node's end of the veth of the pod that replies; 0: no pod of this node */
	__u32 pad2;
};
SIZE_IS(struct reply, 40);

/* A connection, or UDP flow, that this node or a pod behind its address began, from a port that is a NodePort. */
struct node_flow {
	__u64 seen; /* ns, coarse monotonic clock */
};
SIZE_IS(struct node_flow, 8);

/* A node of the cluster. */
struct node {
	__u8 next_hop[6]; /* as in struct backend */
	__u16 pad;
};
SIZE_IS(struct node, 8);

/* Which clients a service's source ranges let in. */
struct range_key {
	__u32 prefix; /* length in bits, those of service included */
	__u32 service;
	struct address address;
};
SIZE_IS(struct range_key, 24);

/* Where the cluster's own addresses are: pods and nodes. */
struct cluster_key {
	__u32 prefix;
	struct address address;
};
SIZE_IS(struct cluster_key, 20);

/* sessionAffinity: ClientIP. */
struct affinity_key {
	struct address client;
	__u32 service;
};
SIZE_IS(struct affinity_key, 20);

struct affinity {
	__u64 seen; /* ns: when the client's last flow began */
	__u32 backend, serial;
};
SIZE_IS(struct affinity, 16);

/* A datagram in fragments: only the first has the ports. */
struct fragment_key {
	struct address source, destination;
	__u32 id;
	__u8 protocol;
	__u8 pad[3];
};
SIZE_IS(struct fragment_key, 40);

struct fragment {
	__be16 source_port, destination_port;
};
SIZE_IS(struct fragment, 4);

struct counter {
	__u64 packets, bytes;
};

/* What this node saw of one service's port. */
struct service_counter {
	struct counter requests, replies, drops;
	__u64 flows; /* begun */
};
SIZE_IS(struct service_counter, 56);

/* namespace/name:port/PROTO of a service's number: three names of 63 bytes (RFC 1123), the protocol and a zero fit. */
struct service_name {
	char text[208];
};
