package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/obstacle"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/kind"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newUpCommand builds a topology as a testbed that goes on running, with its workload serving and a data path on its nodes.
func newUpCommand(s streams) *cobra.Command {
	var file, mode, hook, fault, name, stateDir string
	var obstacles []string
	var recreate bool
	var on substrate
	var wait waitFlag
	cmd := &cobra.Command{
		Use:   "up -f FILE|NAME",
		Short: "Build a topology, start its workload, and leave it running",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageError(errors.New("--file: which topology? `dsrlab topology list` lists those of the catalogue"))
			}
			variant, err := variantOf(mode, hook, fault)
			if err != nil {
				return usageError(err)
			}
			plan, err := on.plan(file, variant, obstacles)
			if err != nil {
				return err
			}
			lock, err := netns.Acquire(cmd.Context(), stateDir, cmp.Or(name, plan.Name), wait.waiting(s))
			if err != nil {
				return err
			}
			defer lock.Release()
			if err := mustUndo(cmd.Context()); err != nil {
				return err
			}
			tb, existing, err := testbed.Up(cmd.Context(), plan, testbed.Options{
				StateDir: stateDir, Name: name, Lock: lock, Recreate: recreate, Keep: on.keep, NodeImage: on.image, Log: notices(s.err),
				OnStep: func(step string) { fmt.Fprintln(s.err, step) },
			})
			if err != nil {
				return upError(err)
			}
			if existing {
				fmt.Fprintf(s.err, "%s is running already\n", tb.Network().Name())
			}
			if err := installOn(cmd.Context(), s, tb, variant, obstacles, existing || on.keep); err != nil {
				return upError(err)
			}
			return describeUp(s, tb, variant, obstacles)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "topology: a file, or a name of `dsrlab topology list`")
	cmd.Flags().StringVar(&mode, "mode", string(services.ModeDSR), "data path: snat, dsr, hybrid, kube-proxy, dnat-only or none")
	hookFlag(cmd, &hook)
	faultFlag(cmd, &fault)
	obstacleFlag(cmd, &obstacles)
	cmd.Flags().StringVar(&name, "name", "", "name of the testbed (default: the topology's)")
	cmd.Flags().StringVar(&stateDir, "state-dir", netns.DefaultStateDir, "where testbeds are kept")
	on.flags(cmd)
	wait.flag(cmd)
	cmd.Flags().BoolVar(&recreate, "recreate", false, "take down what runs under this name, if it differs")
	return cmd
}

// installOn puts the data path on a testbed, and the obstacles in the place of those that it had. If it fails it takes the testbed down,
// unless that is to be kept: by --keep, or because it was running before.
func installOn(ctx context.Context, s streams, tb *testbed.Testbed, v testbed.Variant, obstacles []string, keep bool) error {
	left := "with the data path that it had: dsrlab up replaces it"
	err := obstacle.Set(ctx, tb) // a device with a large MTU takes no XDP program
	if err == nil {
		left = "without a data path: dsrlab up installs one"
		err = tb.Install(ctx, v)
	}
	if err == nil {
		left = fmt.Sprintf("with data path %s, without the obstacles: dsrlab up --obstacle installs them", v.Name)
		err = obstacle.Set(ctx, tb, obstacles...)
	}
	switch {
	case err == nil:
		return nil
	case !keep:
		return errors.Join(err, tb.Down(context.WithoutCancel(ctx)))
	}
	fmt.Fprintf(s.err, "%s is still there, %s, dsrlab down --name %[1]s removes it\n", tb.Network().Name(), left)
	return err
}

func obstacleFlag(cmd *cobra.Command, names *[]string) {
	cmd.Flags().StringSliceVar(names, "obstacle", nil, "let the network misbehave on purpose, for assess to find out: "+strings.Join(obstacle.Names(), ", "))
}

// plan plans a topology on the substrate, and checks that the variant and the obstacles can be installed there.
func (o *substrate) plan(file string, v testbed.Variant, obstacles []string) (*topologies.Plan, error) {
	topology, err := loadTopology(file)
	if err != nil {
		return nil, usageError(err)
	}
	k, err := o.kind()
	if err != nil {
		return nil, err
	}
	topology.Spec.Substrate = cmp.Or(k, topology.Spec.Substrate)
	plan, err := topologies.PlanOf(topology)
	if err != nil {
		return nil, usageError(err)
	}
	if err := obstacle.Check(plan, obstacles...); err != nil {
		return nil, usageError(fmt.Errorf("--obstacle: %w", err))
	}
	if err := requireRoot("building a testbed"); err != nil { // what is wrong with the arguments comes first
		return nil, err
	}
	if err := testbed.Check(plan, v); err != nil {
		return nil, upError(err)
	}
	return plan, nil
}

// variantOf reads --mode, a mode of our own data path or the name of another one, --hook and --fault.
func variantOf(mode, hook, fault string) (testbed.Variant, error) {
	v, err := modeOf(mode)
	if err != nil {
		return v, err
	}
	v.Hook = dataplane.Hook(hook)
	if err := v.Validate(); err != nil {
		return v, fmt.Errorf("--hook: %w", err)
	}
	v.Fault = dataplane.Fault(fault)
	if err := v.Validate(); err != nil {
		return v, fmt.Errorf("--fault: %w", err)
	}
	return v, nil
}

func modeOf(mode string) (testbed.Variant, error) {
	switch path := testbed.DataPath(mode); path {
	case testbed.DataPathKubeProxy, testbed.DataPathDNATOnly, testbed.DataPathNone:
		return testbed.Variant{Name: mode, DataPath: path}, nil
	}
	parsed, err := services.ParseMode(mode)
	if err != nil {
		return testbed.Variant{}, fmt.Errorf("--mode: unknown mode %q (want snat, dsr, hybrid, kube-proxy, dnat-only or none)", mode)
	}
	return testbed.Variant{Name: mode, DataPath: testbed.DataPathDSRLab, Mode: parsed}, nil
}

// upError gives what went wrong its exit code.
func upError(err error) error {
	var differs *netns.DiffersError
	var occupied *netns.OccupiedError
	switch {
	case testbed.IsMissing(err):
		return unsupportedError(err)
	case errors.As(err, &differs), errors.As(err, &occupied):
		return usageError(err)
	}
	return err
}

// describeUp prints how to use what runs.
func describeUp(s streams, tb *testbed.Testbed, v testbed.Variant, obstacles []string) error {
	plan := tb.Network().Plan()
	broken := ""
	if v.Fault != dataplane.FaultNone {
		broken = ", broken on purpose: " + string(v.Fault)
	}
	fmt.Fprintf(s.out, "%s is running, data path %s%s\n", tb.Network().Name(), v.Name, broken)
	for _, name := range obstacles {
		o, err := obstacle.Lookup(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "  %s: %s\n", o.Name, o.Description)
	}
	for _, service := range plan.Services {
		for _, vip := range plan.VIPs(service.Name) {
			for _, port := range service.Spec.Ports {
				fmt.Fprintf(s.out, "  %s %v/%s\n", service.Name, netip.AddrPortFrom(vip, uint16(port.Port)), port.Protocol)
			}
		}
	}
	if plan.Substrate == topologies.SubstrateKindK {
		fmt.Fprintf(s.out, "  kubectl --kubeconfig %s get pods -A\n", kind.KubeconfigPath(tb.Network()))
	}
	return nil
}
