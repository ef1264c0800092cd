package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

const captureLong = `On a node with a data path, packets that it reported have a comment with what it decided: first and last packets of flows, and
dropped ones, as they come in. Filter by frame.comment. Where it is not certain which packet a decision is about, there is none.
Replies of pods are decided about at the pods' devices: -i any has them.

--dissector writes a Lua script with which Wireshark and tshark decode the DSR option of Geneve, and filter by its fields:
geneve.dsr.frontend, geneve.dsr.port, geneve.dsr.ipv4, geneve.dsr.ipv6, and geneve.dsr.malformed for options that a pod node refuses.`

const captureExample = `  dsrlab capture lb -w lb.pcapng
  dsrlab capture worker -i any --count 20 | tshark -r -
  dsrlab capture --dissector dsr.lua && tshark -X lua_script:dsr.lua -r lb.pcapng -Y geneve.dsr`

// newCaptureCommand captures packets of a node or pod.
func newCaptureCommand(s streams) *cobra.Command {
	var target testbedTarget
	var options netns.CaptureOptions
	var file, dissector string
	var duration time.Duration
	cmd := &cobra.Command{
		Use:     "capture NODE|POD",
		Short:   "Capture a node's or pod's packets as pcapng, until interrupted",
		Long:    captureLong,
		Example: captureExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if dissector != "" {
				return noArgs(cmd, args)
			}
			return oneArg(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if dissector != "" {
				return writeDissector(s, dissector)
			}
			tb, err := target.attach()
			if err != nil {
				return err
			}
			network := tb.Network()
			if !slices.Contains(network.Namespaces(), args[0]) {
				return unknown("node or pod of "+network.Name(), args[0], network.Namespaces())
			}
			if err := mustUndo(cmd.Context()); err != nil {
				return err
			}
			ctx := cmd.Context()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			return record(ctx, s, tb, args[0], options, file)
		},
	}
	target.flags(cmd)
	cmd.Flags().StringVarP(&options.Device, "interface", "i", "eth0", "device; any is all of them but lo")
	cmd.Flags().StringVarP(&file, "write", "w", "-", "file; - is stdout")
	cmd.Flags().Uint64Var(&options.Count, "count", 0, "stop after so many packets")
	cmd.Flags().DurationVar(&duration, "duration", 0, "stop after this time")
	cmd.Flags().StringVar(&dissector, "dissector", "", "write Wireshark's dissector of the DSR option to this file instead; - is stdout")
	return cmd
}

// record captures at a node or pod until ctx ends.
func record(ctx context.Context, s streams, tb *testbed.Testbed, place string, options netns.CaptureOptions, file string) error {
	if options.Device == "any" {
		options.Device = ""
	}
	comments, err := observe.NewComments(tb, place, options.Device)
	if err != nil {
		return err
	}
	if comments != nil { // else the interface would not be nil
		defer func() { _ = comments.Close() }()
		options.Comments = comments
	}
	socket, err := tb.Network().OpenCapture(place, options)
	if err != nil {
		return upError(err)
	}
	defer func() { _ = socket.Close() }()
	out, closeOut, err := captureOutput(s, file) // last, so that no empty file is left where nothing can be captured
	if err != nil {
		return usageError(err)
	}
	stats, err := socket.Record(ctx, out)
	fmt.Fprintf(s.err, "%d packets captured, %d lost\n", stats.Packets, stats.Lost)
	return errors.Join(err, closeOut())
}

// writeDissector writes the Lua script that decodes the DSR option.
func writeDissector(s streams, file string) error {
	if file == "-" {
		_, err := fmt.Fprint(s.out, capture.Dissector)
		return err
	}
	if err := os.WriteFile(file, []byte(capture.Dissector), 0o644); err != nil {
		return outputError("dissector", file, err)
	}
	return nil
}

// captureOutput is where a capture goes: a file, or stdout where that is no terminal.
func captureOutput(s streams, file string) (out io.Writer, closeOut func() error, err error) {
	if file != "-" {
		f, err := os.Create(file)
		if err != nil {
			return nil, nil, outputError("write", file, err)
		}
		return f, f.Close, nil
	}
	if terminal.Columns(s.out) > 0 {
		return nil, nil, errors.New("refusing to write a capture to a terminal (want -w FILE, or a pipe)")
	}
	return s.out, func() error { return nil }, nil
}
