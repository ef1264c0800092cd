/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What can happen to a packet, and the other enums that C and Go share. */
#pragma once

/* What happened to a packet. Every packet that a program saw is counted under exactly one of these. */
enum reason {
	REASON_NOT_OURS = 0,	      /* left to the kernel's stack */
	REASON_TO_OVERLAY_DSR,	      /* LB node: DNAT, Geneve to the pod node, the client's address kept */
	REASON_TO_OVERLAY_SNAT,	      /* LB node: DNAT and SNAT, Geneve to the pod node */
	REASON_TO_ENDPOINT,	      /* the backend is a pod of this node: DNAT, delivered into it */
	REASON_TO_NETWORK,	      /* a pod or this node calls a service: DNAT, routed to the backend */
	REASON_FROM_OVERLAY,	      /* pod node: Geneve taken off, delivered into the pod */
	REASON_REPLY_DIRECT,	      /* pod node: source is the frontend, straight to the client */
	REASON_REPLY_FROM_SNAT,	      /* LB node: the reply of an SNAT flow, translated back */
	REASON_REPLY_INSIDE,	      /* node of a client inside the cluster: source is the frontend, to the pod or the node */
	REASON_ICMP_RELAYED,	      /* an ICMP error, translated for the flow that it is about */
	REASON_ECHO_REPLY,	      /* an ICMP echo request to a VIP, answered */
	REASON_OPTION_REQUESTED,      /* LB node: a pod node has lost a flow's frontend and asks for the DSR option */
	REASON_DROP_FIRST = 32,	      /* from here on the packet was dropped */
	REASON_DROP_NO_FRONTEND = 32, /* to a VIP, but to no port of a service */
	REASON_DROP_NO_BACKEND,	      /* the frontend has no backend: refused with ICMP port unreachable */
	REASON_DROP_NO_LOCAL_BACKEND, /* the frontend has backends, but policy Local and none here */
	REASON_DROP_SOURCE_RANGE,     /* the client is outside of loadBalancerSourceRanges */
	REASON_DROP_CLUSTER_IP,	      /* a client outside of the cluster to a ClusterIP */
	REASON_DROP_FRAGMENT,	      /* a fragment that came before the first of its datagram */
	REASON_DROP_IP_OPTIONS,	      /* an IPv4 header with options, or IPv6 extension headers, to a VIP */
	REASON_DROP_TTL,	      /* would have been forwarded with TTL 0 */
	REASON_DROP_TOO_BIG,	      /* does not fit the link with the Geneve overhead: the sender gets an ICMP error */
	REASON_DROP_NO_POD,	      /* the backend is local but its pod is not */
	REASON_DROP_NO_PORT,	      /* SNAT: no free source port */
	REASON_DROP_TABLE,	      /* a map refused the entry */
	REASON_DROP_ADJUST,	      /* the kernel refused to make or take room */
	REASON_DROP_TRUNCATED,	      /* the packet ends before its headers do */
	REASON_DROP_UNKNOWN_NODE,     /* Geneve from an address that is no node's */
	REASON_DROP_VNI,	      /* Geneve with another network identifier */
	REASON_DROP_GENEVE,	      /* malformed Geneve header or option */
	REASON_DROP_NOT_BACKEND,      /* Geneve for an address and port that is no backend of this node */
	REASON_DROP_NO_FLOW,	      /* Geneve from a client without option, of a flow never learned: the reply would leak */
	REASON_DROP_POD_GENEVE,	      /* a pod sent Geneve to a node */
	REASON_DROP_LEAK,      /* a backend's reply to a client outside, of a flow never learned: it would show the pod's address */
	REASON_DROP_COLLISION, /* a client's address and port reached one pod through two frontends at once */
	REASON_DROP_ICMP_NO_FLOW,  /* an ICMP error about no flow that is known */
	REASON_DROP_FROM_FRONTEND, /* a new flow whose source is a frontend: two of them would answer each other for ever */
	REASON_DROP_MARTIAN,	   /* a new flow from an address that no client has: unspecified, loopback, multicast, broadcast */
	REASON_DROP_SPOOFED,	   /* a pod sent with the address of another pod */
	REASON_COUNT,
};

/* How a frontend's packets travel to a backend on another node. */
enum mode { MODE_SNAT = 0, MODE_DSR = 1 };

/* What is broken on purpose, to show what breaks with it and that a lab notices: what each does is said in fault.go. */
enum fault { FAULT_NONE = 0, FAULT_NO_OPTION, FAULT_NO_REPLY_REWRITE, FAULT_SNAT };

/* What kind of address a frontend is. */
enum frontend_kind {
	FRONTEND_LOAD_BALANCER = 0,
	FRONTEND_NODE_PORT,
	FRONTEND_EXTERNAL_IP,
	FRONTEND_CLUSTER_IP,
	FRONTEND_GUARD, /* port and protocol 0: all other ports of a VIP, so that they are not routed in circles */
};

/* Where a packet was seen. */
enum point {
	POINT_FROM_NETWORK = 0, /* ingress of the device towards the fabric, tc */
	POINT_FROM_NETWORK_XDP, /* the same, XDP */
	POINT_FROM_POD,		/* ingress of the node's end of a pod's veth */
	POINT_FROM_NODE,	/* egress of the device towards the fabric, for what the node itself sends */
	POINT_TO_POD,		/* egress of the node's end of a pod's veth, likewise */
	POINT_COUNT,
};

enum frontend_flags {
	FRONTEND_LOCAL_ONLY = 1, /* externalTrafficPolicy, for a ClusterIP internalTrafficPolicy: Local */
	FRONTEND_RANDOM = 2,	 /* selects at random, not by the flow's hash */
	FRONTEND_RANGES = 4,	 /* has loadBalancerSourceRanges */
	FRONTEND_EMPTY = 8,	 /* there is no endpoint anywhere */
};

enum backend_flags {
	BACKEND_LOCAL = 1,    /* a pod of this node */
	BACKEND_DRAINING = 2, /* keeps its flows, gets no new ones */
	BACKEND_OUTSIDE = 4,  /* neither a pod nor a node: no tunnel leads there, requests are sent with this node's address */
};

enum flow_flags {
	FLOW_BEGUN_HERE = 1, /* this node saw the SYN, so the pod node has learned the frontend */
	FLOW_CLIENT_FIN = 2,
	FLOW_POD_FIN = 4,
	FLOW_RESET = 8,
	FLOW_INSIDE = 16, /* the client is a pod or node of the cluster */
};

enum event_flags {
	EVENT_OPTION = 1, /* the packet carries, or carried, the DSR option */
	EVENT_BEGINS = 2, /* the first packet of a flow */
};
