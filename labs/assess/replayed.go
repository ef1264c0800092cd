package assess

import (
	"fmt"
	"math"
)

// Replay is a profile that was run on a testbed of the cluster's shape, beside what is predicted for it. All rates are those of the
// cluster: what was measured is multiplied by Divisor.
type Replay struct {
	// Nodes and Pods are how many the testbed had, OfNodes and OfPods how many the cluster has.
	Nodes   int `json:"nodes"`
	OfNodes int `json:"ofNodes"`
	Pods    int `json:"pods"`
	OfPods  int `json:"ofPods"`
	// Divisor is what the rates of ports were divided by. Bytes and packets were counted with as many requests each second as fill half of a
	// port, and are given for those of the profile.
	Divisor float64 `json:"divisor"`
	// Whole is the load of the nodes which were kept.
	Whole Profile `json:"whole"`
	// Profile is what was run and predicted. Where single requests were too large to count, each was sent as Parts smaller ones, which are
	// what it has; the bytes at ports are those of Whole within some percent. Its acknowledgements were counted on the testbed, on the way to
	// pods without a load balancer.
	Profile Profile `json:"profile"`
	Parts   float64 `json:"parts"`
	// Paths are the data paths, in the order in which they were measured.
	Paths []ReplayedPath `json:"paths"`
}

// ReplayedPath is what one data path did to the ports.
type ReplayedPath struct {
	// Path is kube-proxy, snat or dsr.
	Path string `json:"path"`
	// Requests is how many were answered while the ports were counted.
	Requests int `json:"requests"`
	// Ports are those of all nodes.
	Ports []ReplayedPort `json:"ports"`
	// Full is the number of requests each second with which the first port is full; nil where the rate of a port is not known, and
	// where replies take so long that too many would have to be in flight.
	Full *ReplayedLimit `json:"full,omitempty"`
}

// ReplayedPort is a node's port under the profile.
type ReplayedPort struct {
	Node string `json:"node"`
	// Entry reports whether calls enter at the node.
	Entry     bool `json:"entry"`
	Predicted Load `json:"predicted"`
	Measured  Load `json:"measured"`
}

// ReplayedLimit is how much of the profile the ports carry.
type ReplayedLimit struct {
	// Node is the one whose port is predicted to be full first.
	Node string `json:"node"`
	// Predicted and Measured are whole requests each second, of all parts.
	Predicted float64 `json:"predicted"`
	Measured  float64 `json:"measured"`
}

// Off is by how much more was measured than predicted, as a share of the prediction; 0 where nothing was predicted.
func Off(predicted, measured float64) float64 {
	if predicted == 0 {
		return 0
	}
	return measured/predicted - 1
}

// Worst is the deviation, as of Off, that is farthest from 0, of the bytes at ports where calls enter.
func (r *Replay) Worst() float64 {
	worst := 0.0
	for _, path := range r.Paths {
		for _, p := range path.Ports {
			for _, off := range []float64{Off(p.Predicted.BytesIn, p.Measured.BytesIn), Off(p.Predicted.BytesOut, p.Measured.BytesOut)} {
				if p.Entry && math.Abs(off) > math.Abs(worst) {
					worst = off
				}
			}
		}
	}
	return worst
}

// Lines says in sentences what was replayed, and how prediction and measurement compare.
func (r *Replay) Lines() []string {
	if r == nil {
		return nil
	}
	lines := []string{
		fmt.Sprintf("Replayed on a testbed with %s and %s, the ports' rates divided by %.4g: %.4g requests/s of %.0f bytes, replies of %.0f bytes, in the cluster's rates.",
			kept(r.Nodes, r.OfNodes, "nodes"), kept(r.Pods, r.OfPods, "pods"), r.Divisor, r.Whole.Requests, r.Whole.RequestBytes, r.Whole.ReplyBytes),
		fmt.Sprintf("At the ports where calls enter, bytes are within %.1f %% of the prediction.", 100*math.Abs(r.Worst())),
	}
	if a := r.Profile.Acknowledgements; a != nil {
		lines = append(lines, fmt.Sprintf("These predictions have %.3g acknowledgements of each reply and %.3g of each request, as there were without a load balancer.", a.Reply, a.Request))
	}
	if r.Parts > 1 {
		lines = append(lines, fmt.Sprintf("Each request was sent as %.0f smaller ones, to have enough of them.", r.Parts))
	}
	for _, path := range r.Paths {
		told := 0
		for _, p := range path.Ports {
			if !p.Entry {
				continue
			}
			if told++; told > maxPlaces {
				lines = append(lines, path.Path+": more ports are in the report as JSON.")
				break
			}
			lines = append(lines, fmt.Sprintf("%s, %s: in %s, out %s; packets/s in %s, out %s.", path.Path, p.Node,
				side(p.Predicted.BytesIn, p.Measured.BytesIn, rate), side(p.Predicted.BytesOut, p.Measured.BytesOut, rate),
				side(p.Predicted.PacketsIn, p.Measured.PacketsIn, plain), side(p.Predicted.PacketsOut, p.Measured.PacketsOut, plain)))
		}
		if f := path.Full; f != nil {
			lines = append(lines, fmt.Sprintf("%s: the first port is full, that of %s, at requests/s of %s.", path.Path, f.Node, side(f.Predicted, f.Measured, plain)))
		}
	}
	return lines
}

// kept says how many of the cluster's things there were.
func kept(n, of int, what string) string {
	if n == of {
		return fmt.Sprintf("all %d %s", n, what)
	}
	return fmt.Sprintf("%d of %d %s", n, of, what)
}

// side puts prediction and measurement side by side.
func side(predicted, measured float64, format func(float64) string) string {
	return fmt.Sprintf("%s predicted, %s measured (%+.1f %%)", format(predicted), format(measured), 100*Off(predicted, measured))
}

func plain(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
