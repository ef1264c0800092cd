package main

import (
	"os/exec"
	"path/filepath"
	"time"
)

// command is one of dsrlab's command lines.
type command struct {
	args []string
	// most is the latest time of a signal, about what the command takes.
	most time.Duration
	// builds is the testbed that it makes; empty for none.
	builds string
	// endless commands go on until they are interrupted.
	endless bool
}

// commands are all of dsrlab's commands, those that change something several times. The folder holds what they write.
func commands(dir, state string) []command {
	const (
		name = "crash"
		vip  = "185.150.8.128:8080"
		fast = 300 * time.Millisecond
		slow = 2 * time.Second
	)
	in := func(args ...string) []string { return append(args, "--state-dir", state) }
	bed := func(args ...string) []string { return in(append(args, "--name", name)...) }
	runs := filepath.Join(dir, "runs")
	up := command{args: bed("up", "-f", "talk", "--mode", "dsr"), most: slow, builds: name}
	all := []command{
		up, up, up,
		{args: bed("up", "-f", "talk", "--mode", "kube-proxy"), most: slow, builds: name},
		{args: bed("up", "-f", "talk", "--mode", "dsr", "--recreate"), most: slow, builds: name},
		{args: in("up", "-f", "five-nodes", "--name", "crash-five", "--mode", "snat"), most: slow, builds: "crash-five"},
		{args: bed("down"), most: fast},
		{args: in("down", "--all"), most: fast},
		{args: in("lab", "run", "01-source-ip", "--runs", runs), most: 6 * time.Second, builds: "01-source-ip"},
		{args: in("lab", "run", "06-dsr-packet-walk", "--runs", runs), most: 4 * time.Second, builds: "06-dsr-packet-walk"},
		{args: in("demo", "06-dsr-packet-walk", "--runs", runs), most: 4 * time.Second, builds: "06-dsr-packet-walk"},
		{args: in("status"), most: fast},
		{args: append(bed("exec"), "client", "--", "sleep", "1"), most: slow},
		{args: bed("capture", "lb", "-w", filepath.Join(dir, "capture.pcapng")), most: slow, endless: true},
		{args: bed("observe", "--follow"), most: slow, endless: true},
		{args: bed("trace", "client", vip), most: slow},
		{args: bed("metrics"), most: fast},
		{args: bed("lb", "list"), most: fast},
		{args: []string{"lab", "list"}, most: fast},
		{args: []string{"lab", "show", "01"}, most: fast},
		{args: []string{"results", "list", "--dir", runs}, most: fast},
		{args: []string{"results", "claims", "--dir", runs}, most: fast},
		{args: []string{"results", "table", "--dir", runs}, most: fast},
		{args: []string{"topology", "list"}, most: fast},
		{args: []string{"topology", "graph", "talk"}, most: fast},
		{args: []string{"topology", "validate", "-"}, most: fast, endless: true},
		{args: []string{"workshop", "--runs", runs}, most: fast},
		{args: []string{"image", "-o", filepath.Join(dir, "image.tar")}, most: slow},
		{args: []string{"doctor"}, most: slow},
		{args: []string{"completion", "bash"}, most: fast},
	}
	return all
}

// begin starts a command. The channel is closed when it has ended; its state says how.
func begin(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the state has all of it
		close(done)
	}()
	return done, nil
}
