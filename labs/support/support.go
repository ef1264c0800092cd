// Package support gathers what somebody needs who is to find out from afar why a testbed does not do what it should.
package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/internal/bounded"
	"github.com/dsrlab/dsrlab/labs/doctor"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Options of a bundle.
type Options struct {
	StateDir string
	// Testbed is the only one that it is about; empty: all.
	Testbed string
	// Capture is for how long packets are captured at each node; 0: not at all.
	Capture time.Duration
	// Doctor also tries what this machine can do, which makes namespaces for a moment.
	Doctor bool
	// Version of the program.
	Version string
}

const (
	maxLog     = 256 << 10 // bytes of a log, its end
	maxPackets = 500       // of each node
)

// contents is the file that says what is in a bundle.
const contents = `This is a support bundle of dsrlab.

  version.txt          the program's version
  environment.json     kernel, CPUs, memory and network settings of the machine
  doctor.json          what the machine can do, by trying
  testbeds.json        the testbeds there are
  TESTBED/state/       plan and topology, journal, what is in front, and the ends of the logs
  TESTBED/NODE/lb.json frontends and backends in the node's tables
  TESTBED/NODE/link.json counters of the node's link in the fabric
  TESTBED/NODE/eth0.pcapng packets of the node, a few seconds at most
  TESTBED/metrics.txt  counters of all nodes
  TESTBED/flows.jsonl  the last flows
  problems.txt         what could not be read, and why

It has no kubeconfig, no token and no environment variable. Captures hold packets with what is in them: look before you send.
`

// Write writes a bundle as a tar.gz. What can't be read is noted in it, and does not keep the rest out.
func Write(ctx context.Context, w io.Writer, o Options) error {
	zipped := gzip.NewWriter(w)
	b := &bundle{tar: tar.NewWriter(zipped), at: time.Now()}
	b.text("README.txt", contents)
	b.text("version.txt", o.Version+"\n")
	b.json("environment.json", results.ReadEnvironment())
	if o.Doctor {
		b.json("doctor.json", doctor.Run(ctx))
	}
	b.testbeds(ctx, o)
	b.text("problems.txt", strings.Join(b.problems, "\n")+"\n")
	err := errors.Join(b.failed, ctx.Err(), b.tar.Close(), zipped.Close())
	if err != nil {
		return fmt.Errorf("write support bundle: %w", err)
	}
	return nil
}

// bundle is the state of one Write.
type bundle struct {
	tar      *tar.Writer
	at       time.Time
	problems []string
	failed   error // writing the bundle itself did
}

// problem notes what could not be read.
func (b *bundle) problem(what string, err error) {
	if err != nil {
		b.problems = append(b.problems, what+": "+err.Error())
	}
}

// add adds a file. What fill has written until it fails is in it.
func (b *bundle) add(name string, fill func(io.Writer) error) {
	var content bytes.Buffer
	b.problem(name, fill(&content))
	if b.failed != nil || content.Len() == 0 {
		return
	}
	b.failed = b.tar.WriteHeader(&tar.Header{Name: "dsrlab-support/" + name, Mode: 0o600, Size: int64(content.Len()), ModTime: b.at})
	if b.failed == nil {
		_, b.failed = content.WriteTo(b.tar)
	}
}

func (b *bundle) text(name, text string) {
	b.add(name, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func (b *bundle) json(name string, value any) {
	b.add(name, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	})
}

// testbeds adds all testbeds, or the one that was asked for.
func (b *bundle) testbeds(ctx context.Context, o Options) {
	all, err := netns.List(o.StateDir)
	b.problem("testbeds", err)
	b.json("testbeds.json", all)
	folders, err := os.ReadDir(o.StateDir)
	if !errors.Is(err, fs.ErrNotExist) {
		b.problem(o.StateDir, err)
	}
	for _, folder := range folders { // also those that can't be listed
		if !folder.IsDir() || o.Testbed != "" && folder.Name() != o.Testbed {
			continue
		}
		b.state(folder.Name(), filepath.Join(o.StateDir, folder.Name()))
		tb, err := testbed.Attach(o.StateDir, folder.Name())
		if err != nil {
			b.problem(folder.Name(), err)
			continue
		}
		b.testbed(ctx, tb, o.Capture)
	}
}

// stateFiles are those of a testbed's folder that are taken: no other is, since a kind cluster's way to its API server lies there, too.
func stateFiles() []string {
	return []string{"plan.json", "asked.json", "journal*", "edge", "logs/*.log"}
}

func (b *bundle) state(name, dir string) {
	for _, pattern := range stateFiles() {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		b.problem(pattern, err)
		for _, file := range found {
			b.add(filepath.Join(name, "state", strings.TrimPrefix(file, dir+"/")), func(w io.Writer) error { return copyEnd(w, file) })
		}
	}
}

// copyEnd copies a regular file, of a large one its end.
func copyEnd(w io.Writer, file string) error {
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if !strings.HasSuffix(file, ".log") {
		data, err := bounded.ReadFile(file, bounded.Records)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if info.Size() > maxLog {
		if _, err := f.Seek(-maxLog, io.SeekEnd); err != nil {
			return err
		}
	}
	_, err = io.Copy(w, io.LimitReader(f, maxLog))
	return err
}

func (b *bundle) testbed(ctx context.Context, tb *testbed.Testbed, capture time.Duration) {
	name, network := tb.Network().Name(), tb.Network()
	b.add(name+"/metrics.txt", func(w io.Writer) error { return observe.WriteMetrics(w, tb) })
	b.add(name+"/flows.jsonl", func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		_, err := observe.Flows(ctx, tb, observe.Options{Last: -1}, func(f observe.Flow) error { return encoder.Encode(f) })
		return err
	})
	for i := range tb.Plan().Nodes {
		node := &tb.Plan().Nodes[i]
		at := name + "/" + node.Name
		toNode, fromNode, err := network.PortStats(node.Name)
		b.problem(at+"/link.json", err)
		if err == nil {
			b.json(at+"/link.json", map[string]any{"toNode": toNode, "fromNode": fromNode})
		}
		if !node.Role.OutsideCluster() {
			b.tables(at, node.Name, tb)
		}
		if capture > 0 && ctx.Err() == nil {
			b.add(at+"/eth0.pcapng", func(w io.Writer) error { return record(ctx, w, network, node.Name, capture) })
		}
	}
}

// tables adds what a node's data path holds; a node without one, as with kube-proxy's rules, has none.
func (b *bundle) tables(at, node string, tb *testbed.Testbed) {
	data, err := tb.OpenDataPath(node)
	if errors.Is(err, dataplane.ErrNotLoaded) {
		return
	}
	if err != nil {
		b.problem(at+"/lb.json", err)
		return
	}
	list, err := data.List()
	b.problem(at+"/lb.json", errors.Join(err, data.Close()))
	b.json(at+"/lb.json", list)
}

// record captures a node's packets for a while.
func record(ctx context.Context, w io.Writer, network *netns.Network, node string, length time.Duration) error {
	capture, err := network.OpenCapture(node, netns.CaptureOptions{Device: "eth0", Count: maxPackets})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	_, err = capture.Record(ctx, w)
	return errors.Join(err, capture.Close())
}
