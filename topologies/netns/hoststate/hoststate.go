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

// Read lists, a line each and sorted, all of the host that a lab might have changed: links, qdiscs, addresses, routes, rules, nftables,
// mounts, named namespaces, sysctls, BPF programs, and processes of labs.
func Read(t testing.TB) string {
	t.Helper()
	var lines []string
	links, err := netlink.LinkList()
	require.NoError(t, err)
	for _, l := range links {
		lines = append(lines, fmt.Sprintf("link %d %s %s", l.Attrs().Index, l.Attrs().Name, l.Attrs().Alias))
		qdiscs, err := netlink.QdiscList(l)
		require.NoError(t, err)
		for _, q := range qdiscs {
			lines = append(lines, fmt.Sprintf("qdisc %s %s", l.Attrs().Name, q))
		}
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	require.NoError(t, err)
	for _, a := range addresses {
		lines = append(lines, fmt.Sprint("address ", a.IPNet, a.LinkIndex))
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	require.NoError(t, err)
	for _, r := range routes {
		lines = append(lines, fmt.Sprint("route ", r))
	}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	require.NoError(t, err)
	for _, r := range rules {
		lines = append(lines, fmt.Sprint("rule ", r))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	lines = append(lines, strings.Split(string(mounts), "\n")...)
	namespaces, _ := filepath.Glob("/run/netns/*")
	lines = append(lines, namespaces...)
	for _, name := range []string{
		"net/ipv4/ip_forward", "net/ipv4/tcp_congestion_control", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter",
		"net/ipv4/conf/all/send_redirects", "net/ipv4/fib_multipath_hash_policy",
	} {
		value, err := os.ReadFile("/proc/sys/" + name)
		require.NoError(t, err)
		lines = append(lines, name+" "+strings.TrimSpace(string(value)))
	}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		require.NoError(t, err)
		lines, id = append(lines, fmt.Sprint("program ", next)), next
	}
	lines = append(lines, tables(t)...)
	lines = append(lines, processes(t)...)
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// tables are the host's nftables tables.
func tables(t testing.TB) []string {
	t.Helper()
	c, err := nftables.New()
	require.NoError(t, err)
	all, err := c.ListTables()
	require.NoError(t, err)
	var lines []string
	for _, table := range all {
		lines = append(lines, fmt.Sprintf("nftables %d %s", table.Family, table.Name))
	}
	return lines
}

// processes are those that bear a lab's mark in their environment.
func processes(t testing.TB) []string {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	var lines []string
	for _, file := range environments {
		if environment, err := os.ReadFile(file); err == nil && bytes.Contains(environment, []byte("DSRLAB_LAB=")) {
			lines = append(lines, "process "+file)
		}
	}
	return lines
}
