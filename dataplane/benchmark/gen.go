package benchmark

// The Makefile sets BPF2GO_CC, BPF2GO_STRIP and BPF2GO_CFLAGS, which pin the compiler: use `make generate`.
//go:generate go tool bpf2go -target bpfel -go-package benchmark -output-stem restore -type job restore bpf/restore.bpf.c
//go:generate go tool bpf2go -target bpfel -go-package benchmark -output-stem parts -no-global-types parts bpf/parts.bpf.c
