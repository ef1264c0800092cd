package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/steps"
)

// TestCheckStopped: what a lab that was stopped while it measured may say.
func TestCheckStopped(t *testing.T) {
	const (
		disturbed = `{"metric":"payload_rate","value":1,"valid":false,"reason":"the machine stood still for 0.6 s of 2.1 s"}` + "\n"
		other     = `{"metric":"link_share","value":1,"valid":true}` + "\n"
		unmarked  = `{"metric":"payload_rate","value":1,"valid":true}` + "\n"
		none      = `{"result":"untested","metrics":[{"metric":"payload_rate","n":1,"valid":0},{"metric":"link_share","valid":1}]}`
	)
	for name, test := range map[string]struct {
		samples, summary string
		code             int
		want             string
	}{
		"does not count": {other + disturbed, none, 4, ""},
		"not noticed":    {unmarked, none, 4, "the lab was stopped in each of its downloads, and takes 1 of 1 for valid"},
		"some":           {disturbed + unmarked, none, 4, "the lab was stopped in each of its downloads, and takes 1 of 2 for valid"},
		"no download":    {other, none, 4, "the lab was stopped in each of its downloads, and takes 0 of 0 for valid"},
		"counts":         {disturbed, `{"result":"passed","metrics":[{"metric":"payload_rate","valid":1}]}`, 0, "the lab counts 1 downloads, all of which are invalid; its result is passed"},
		"passes":         {disturbed, `{"result":"passed","metrics":[]}`, 0, "the lab has no valid download, and ends passed with exit status 0 (want untested and 4)"},
		"exit status":    {disturbed, none, 0, "the lab has no valid download, and ends untested with exit status 0 (want untested and 4)"},
		"no summary":     {disturbed, "", 1, "the lab's summary can't be read: unexpected end of JSON input"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkStopped([]byte(test.samples), []byte(test.summary), test.code); test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
}

// TestStoppedLab: the lab is valid, and its download longer than a stop and the time to the end of the next one.
func TestStoppedLab(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(stoppedLab), 0o600))
	lab, err := labs.Find(dir)
	require.NoError(t, err)
	transfer := lab.Spec.Phases[0].Steps[0].Transfer
	require.NotNil(t, transfer)
	assert.Greater(t, transfer.Time, steps.Duration(2*stopFor+stopNext))
}
