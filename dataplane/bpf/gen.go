// Package bpf has the data path's programs in C, and the Go types and the loader that bpf2go generates from them. The programs are
// described in datapath.bpf.c; the types are those of types.h.
package bpf

// The Makefile sets BPF2GO_CC, BPF2GO_STRIP and BPF2GO_CFLAGS, which pin the compiler: use `make generate`.
//go:generate go tool bpf2go -target bpfel -go-package bpf -output-stem datapath -type reason -type mode -type frontend_kind -type point -type frontend_flags -type backend_flags -type flow_flags -type event_flags -type address -type flow_key -type service_key -type backend_set -type frontend -type row -type backend -type pod -type flow -type snat_key -type snat -type reply -type node -type range_key -type cluster_key -type affinity_key -type affinity -type node_flow -type fragment_key -type fragment -type counter -type service_counter -type service_name -type event -type event_slot -type hop -type trace_filter Datapath datapath.bpf.c
