package labs

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
	"github.com/dsrlab/dsrlab/results"
)

// Whichever the proxies are, applications get and believe the same; where an engine can't do what a lab needs, the lab is
// unsupported, and nothing is built.
func TestLabsWithEveryProxy(t *testing.T) {
	labPod, agent := testLabs.Program(t, "labpod"), testLabs.Program(t, "dsrd")
	for _, test := range []struct {
		lab  string
		send proxyproto.Version
	}{{"04-l7-headers", proxyproto.None}, {"05-proxy-protocol", proxyproto.V2}} {
		for _, engine := range []proxies.Engine{proxies.Builtin, proxies.Nginx, proxies.HAProxy} {
			t.Run(test.lab+" "+string(engine), func(t *testing.T) {
				if err := proxies.Check(engine, proxyproto.None); err != nil {
					t.Skip(err)
				}
				lab, err := Lookup(test.lab)
				require.NoError(t, err)
				fewRequests(lab)
				runner := &Runner{
					Testbed: testbed.Options{StateDir: testLabs.StateDir(t), LabPod: labPod, Agent: agent},
					RunsDir: t.TempDir(), Proxy: engine, Narrator: &quiet{},
				}
				summary, err := runner.Run(t.Context(), lab)
				require.NoError(t, err)
				var lacking *proxies.UnsupportedError
				if check := proxies.Check(engine, test.send); errors.As(check, &lacking) {
					assert.Equal(t, results.Unsupported, summary.Result)
					assert.Equal(t, lacking.Error(), summary.Reasons[0])
					return
				}
				assert.Equal(t, results.Passed, summary.Result, summary.Reasons)
				run, err := results.Open(filepath.Join(runner.RunsDir, summary.Run))
				require.NoError(t, err)
				assert.Equal(t, proxies.Version(engine), run.Environment.Lab["proxy"], "the run says what its proxies were")
			})
		}
	}
}

// fewRequests makes a lab's steps short: what they ask is the same for every request.
func fewRequests(lab *Lab) {
	for i := range lab.Spec.Phases {
		for j := range lab.Spec.Phases[i].Steps {
			step := &lab.Spec.Phases[i].Steps[j]
			switch {
			case step.Headers != nil:
				step.Headers.Count = 3
			case step.ProxyProtocol != nil:
				step.ProxyProtocol.Count = 3
			case step.Connect != nil:
				step.Connect.Count = 3
			}
		}
	}
}
