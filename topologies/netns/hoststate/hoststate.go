// Package hoststate lets tests compare the host before and after a lab.
package hoststate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/nftables"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

// Read is State for tests.
func Read(t testing.TB) string {
	t.Helper()
	state, err := State()
	require.NoError(t, err)
	return state
}

// State lists, a line each and sorted, all of the host that a lab might have changed: links, qdiscs, addresses, routes, rules, nftables,
// mounts, named namespaces, sysctls, BPF programs, and processes of labs.
func State() (string, error) {
	var lines []string
	var errs []error
	for _, read := range []func() ([]string, error){links, routes, files, programs, tables, processes} {
		more, err := read()
		lines, errs = append(lines, more...), append(errs, err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n"), errors.Join(errs...)
}

// links are the links with their qdiscs, and the addresses.
func links() ([]string, error) {
	var lines []string
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for _, l := range all {
		lines = append(lines, fmt.Sprintf("link %d %s %s", l.Attrs().Index, l.Attrs().Name, l.Attrs().Alias))
		qdiscs, err := netlink.QdiscList(l)
		if err != nil {
			return nil, fmt.Errorf("list qdiscs of %s: %w", l.Attrs().Name, err)
		}
		for _, q := range qdiscs {
			lines = append(lines, fmt.Sprintf("qdisc %s %s", l.Attrs().Name, q))
		}
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addresses {
		lines = append(lines, fmt.Sprint("address ", a.IPNet, a.LinkIndex))
	}
	return lines, nil
}

// routes are the routes and rules.
func routes() ([]string, error) {
	var lines []string
	all, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range all {
		lines = append(lines, fmt.Sprint("route ", r))
	}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	for _, r := range rules {
		lines = append(lines, fmt.Sprint("rule ", r))
	}
	return lines, nil
}

// files are the mounts, named namespaces and sysctls.
func files() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(mounts), "\n")
	namespaces, _ := filepath.Glob("/run/netns/*")
	lines = append(lines, namespaces...)
	for _, name := range []string{
		"net/ipv4/ip_forward", "net/ipv4/tcp_congestion_control", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter",
		"net/ipv4/conf/all/send_redirects", "net/ipv4/fib_multipath_hash_policy",
	} {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return nil, err
		}
		lines = append(lines, name+" "+strings.TrimSpace(string(value)))
	}
	return lines, nil
}

// programs are the BPF programs.
func programs() ([]string, error) {
	var lines []string
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return lines, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list BPF programs: %w", err)
		}
		lines, id = append(lines, fmt.Sprint("program ", next)), next
	}
}

// tables are the host's nftables tables.
func tables() ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	all, err := c.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	var lines []string
	for _, table := range all {
		lines = append(lines, fmt.Sprintf("nftables %d %s", table.Family, table.Name))
	}
	return lines, nil
}

// processes are those that bear a lab's mark in their environment.
func processes() ([]string, error) {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, file := range environments {
		if environment, err := os.ReadFile(file); err == nil && bytes.Contains(environment, []byte("DSRLAB_LAB=")) {
			lines = append(lines, "process "+file)
		}
	}
	return lines, nil
}
