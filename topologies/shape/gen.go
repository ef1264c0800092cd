package shape

// The Makefile sets BPF2GO_CC, BPF2GO_STRIP and BPF2GO_CFLAGS, which pin the compiler: use `make generate`.
//go:generate go tool bpf2go -target bpfel -go-package shape -output-stem police -type bucket -type frames police bpf/police.bpf.c
