package kind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"

	"sigs.k8s.io/kind/pkg/log"
)

// docker asks the container engine, by the client that kind uses, too.
func docker(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	text := strings.TrimSpace(out.String())
	if err != nil {
		// exec tells on stdout why the runtime could not run a command, and run the container's ID even if it does not start.
		said := strings.TrimSpace(complaint.String())
		if said == "" && args[0] == "exec" {
			said = text
		}
		if said != "" {
			err = fmt.Errorf("%s (%w)", said, err)
		}
		return text, fmt.Errorf("docker %s: %w", strings.Join(args[:min(2, len(args))], " "), err)
	}
	return text, nil
}

// labLabel is what marks what the engine makes for a lab.
const labLabel = "dsrlab.dev/lab"

// network is a network of the engine.
type network struct {
	Name    string            `json:"Name"`
	Labels  map[string]string `json:"Labels"`
	Options map[string]string `json:"Options"`
	IPAM    struct {
		Config []struct {
			Subnet  netip.Prefix `json:"Subnet"`
			Gateway netip.Addr   `json:"Gateway"`
		} `json:"Config"`
	} `json:"IPAM"`
}

const bridgeOption = "com.docker.network.bridge.name"

// makeNetwork makes a network that nothing is translated on; see guard for what keeps its packets inside.
func makeNetwork(ctx context.Context, name, bridge, lab string, mtu int) (*network, error) {
	_, err := docker(ctx, "network", "create", "--driver", "bridge", "--label", labLabel+"="+lab,
		"--opt", bridgeOption+"="+bridge, "--opt", "com.docker.network.bridge.enable_ip_masquerade=false",
		"--opt", fmt.Sprint("com.docker.network.driver.mtu=", mtu), name)
	if err != nil {
		return nil, err
	}
	return inspectNetwork(ctx, name)
}

// inspectNetwork is nil where there is none of this name.
func inspectNetwork(ctx context.Context, name string) (*network, error) {
	found, err := docker(ctx, "network", "ls", "--format", "{{.Name}}", "--filter", "name=^"+name+"$")
	if err != nil || found == "" {
		return nil, err
	}
	document, err := docker(ctx, "network", "inspect", name)
	if err != nil {
		return nil, err
	}
	var all []network
	if err := json.Unmarshal([]byte(document), &all); err != nil || len(all) != 1 {
		return nil, errors.Join(fmt.Errorf("docker network inspect %s: unreadable answer", name), err)
	}
	return &all[0], nil
}

// subnet is the network's IPv4 subnet.
func (n *network) subnet() (netip.Prefix, error) {
	for _, c := range n.IPAM.Config {
		if c.Subnet.Addr().Is4() {
			return c.Subnet.Masked(), nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("network %s has no IPv4 subnet", n.Name)
}

// processOf is a container's first process, as this machine numbers it.
func processOf(ctx context.Context, container string) (pid int, err error) {
	text, err := docker(ctx, "inspect", "--format", "{{.State.Pid}}", container)
	if err == nil {
		_, err = fmt.Sscan(text, &pid)
	}
	if err == nil && pid == 0 {
		err = fmt.Errorf("container %s does not run", container)
	}
	return pid, err
}

// logger passes kind's messages on to a log.
type logger struct{ to *slog.Logger }

// What kind warns of, such as the network that it was given, is meant so. What it calls an error comes back as one, too.
func (l logger) Warn(message string)               { l.to.Debug(message) }
func (l logger) Warnf(format string, args ...any)  { l.to.Debug(fmt.Sprintf(format, args...)) }
func (l logger) Error(message string)              { l.to.Debug(message) }
func (l logger) Errorf(format string, args ...any) { l.to.Debug(fmt.Sprintf(format, args...)) }
func (l logger) V(log.Level) log.InfoLogger        { return info(l) }

type info struct{ to *slog.Logger }

func (i info) Info(message string)              { i.to.Debug(message) }
func (i info) Infof(format string, args ...any) { i.to.Debug(fmt.Sprintf(format, args...)) }
func (i info) Enabled() bool                    { return i.to.Enabled(context.Background(), slog.LevelDebug) }
