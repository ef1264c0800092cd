package ui

import (
	"net/netip"
	"time"

	"github.com/dsrlab/dsrlab/topologies"
)

// State is all that the page shows of a testbed at a time.
type State struct {
	At time.Time `json:"at"`
	// Error says why the testbed could not be read; the rest is then of the last time that it could.
	Error string `json:"error,omitempty"`
	// OwnDataPath reports whether the nodes run our data path. Of another one it is an estimate what is request and what is reply.
	OwnDataPath bool      `json:"ownDataPath"`
	Nodes       []Node    `json:"nodes"`
	Ways        []Way     `json:"ways"`
	Services    []Service `json:"services"`
	Download    Download  `json:"download"`
	Callers     []Caller  `json:"callers"`
	Lab         LabState  `json:"lab"`
}

// Node is a node with its port.
type Node struct {
	Name     string          `json:"name"`
	Role     topologies.Role `json:"role"`
	Up       bool            `json:"up"`
	ToNode   Direction       `json:"toNode"`
	FromNode Direction       `json:"fromNode"`
	// Lanes are the rates on the node's wire, in bit/s.
	Lanes Lanes `json:"lanes"`
}

// Direction is one direction of a node's port.
type Direction struct {
	Rate  float64 `json:"rate"`  // bit/s, as frames have them
	Drops float64 `json:"drops"` // frames per second
	// LimitRate and Limit are what the kernel enforces now: 0 where the direction is not limited.
	LimitRate float64          `json:"limitRate"` // bit/s
	Limit     topologies.Limit `json:"limit,omitempty"`
}

// Lanes split a port's traffic into requests and replies. In is towards the node.
type Lanes struct {
	RequestIn  float64 `json:"requestIn"`
	RequestOut float64 `json:"requestOut"`
	ReplyIn    float64 `json:"replyIn"`
	ReplyOut   float64 `json:"replyOut"`
}

// Kind tells requests and replies apart.
type Kind string

const (
	Request Kind = "request"
	Reply   Kind = "reply"
)

// Way is the traffic from one node to another. Where several nodes take part, their traffic is shared out in proportion.
type Way struct {
	From string  `json:"from"`
	To   string  `json:"to"`
	Kind Kind    `json:"kind"`
	Rate float64 `json:"rate"` // bit/s
}

// Service is a service of the topology.
type Service struct {
	Name string `json:"name"`
	// Mode is snat, dsr or hybrid; empty where our data path does not serve it.
	Mode      string           `json:"mode"`
	Frontends []netip.AddrPort `json:"frontends"`
}

// Download is the transfer that the page can start.
type Download struct {
	Running bool   `json:"running"`
	Client  string `json:"client,omitempty"`
	Service string `json:"service,omitempty"`
	// Connections counts those that were opened: one, and one more after each that broke or was replaced.
	Connections int    `json:"connections"`
	Error       string `json:"error,omitempty"`
}

// Caller is an address that a pod saw as the source of calls during the last minute.
type Caller struct {
	Address netip.Addr `json:"address"`
	Name    string     `json:"name,omitempty"` // of the client or node that has it
	IsNode  bool       `json:"isNode"`         // of the cluster: the client is hidden
	Calls   int        `json:"calls"`
}
