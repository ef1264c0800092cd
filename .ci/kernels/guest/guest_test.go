package guest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTranscript(t *testing.T) {
	var port bytes.Buffer
	say := func(m Mark) { require.NoError(t, m.Write(&port)) }
	port.WriteString("noise of the firmware\n")
	say(Mark{Release: "6.1.0-56-cloud-amd64"})
	say(Mark{Begin: "dataplane"})
	port.WriteString("=== RUN   TestA\nPASS, with no end of line")
	say(Mark{End: "dataplane"})
	say(Mark{Begin: "dataplane/services"})
	port.WriteString("FAIL\n")
	say(Mark{End: "dataplane/services", Status: 1})
	say(Mark{Begin: "demo dsr"})
	port.WriteString("a story\n")
	say(Mark{End: "demo dsr", Status: 4, Result: "[{\n}]\n"})
	whole := port.Len()
	say(Mark{Begin: "topologies"})
	port.WriteString("=== RUN   TestB\n")

	first := Run{Package: "dataplane", Output: []byte("=== RUN   TestA\nPASS, with no end of line\n"), Ended: true}
	second := Run{Package: "dataplane/services", Output: []byte("FAIL\n\n"), Ended: true, Status: 1}
	demo := Run{Package: "demo dsr", Output: []byte("a story\n\n"), Ended: true, Status: 4, Result: "[{\n}]\n"}
	for _, test := range []struct {
		name   string
		output string
		want   Transcript
	}{
		{"nothing", "", Transcript{}},
		{"ended", port.String()[:whole], Transcript{Release: "6.1.0-56-cloud-amd64", Runs: []Run{first, second, demo}}},
		{"cut within a test", port.String(), Transcript{Release: "6.1.0-56-cloud-amd64", Runs: []Run{
			first, second, demo, {Package: "topologies", Output: []byte("=== RUN   TestB\n")},
		}}},
		{"cut within a mark", port.String()[:whole] + "\n@guest {\"rel", Transcript{Release: "6.1.0-56-cloud-amd64", Runs: []Run{first, second, demo}}},
		{"init failed", "@guest {\"error\":\"mount /proc: no\"}\n", Transcript{Error: "mount /proc: no"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse([]byte(test.output))
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	_, err := Parse([]byte("\n@guest nonsense\n"))
	assert.ErrorContains(t, err, "parse output of the machine: line 2: invalid character")
}
