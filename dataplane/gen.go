package dataplane

// The Makefile sets BPF2GO_CC, BPF2GO_STRIP and BPF2GO_CFLAGS, which pin the compiler: use `make generate`.
//go:generate go tool bpf2go -target bpfel -go-package dataplane -output-stem datapath -type reason -type mode -type frontend_kind -type point -type frontend_flags -type backend_flags -type flow_flags -type event_flags -type event -type service4_key -type frontend -type backend4 -type pod4 -type flow4_key -type flow4 -type snat4_key -type snat4 -type reply4 -type counter -type node4 datapath bpf/datapath.bpf.c
