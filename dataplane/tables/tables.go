// Package tables plans what a node's BPF maps hold: it makes keys and values of frontends and backends, finds out what differs from
// what the maps hold already, and puts the changes into an order in which no packet meets a half-made state.
//
// It is pure: values in, values out, the time an argument. Keys and values are of the types that bpf2go generates in package bpf; of
// that package nothing is used here that needs a kernel. Package dataplane reads and writes the maps:
//
//	State → Compile → Desired → Mirror.Plan, Mirror.PlanService → Plan.Changes → (written) → Plan.Done
//
// A service becomes a serviceSpec, without numbers (compile.go); its references to shared entries are counted and numbered in the
// Mirror (mirror.go, sets.go, backends.go, ports.go, refmap.go, freelist.go); planner orders what comes of it (plan.go), and makes
// room in full maps (room.go, exchange.go). After a restart a Restorer makes a Mirror of the maps' entries (restore.go).
package tables
