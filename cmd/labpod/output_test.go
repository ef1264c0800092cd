package main

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/download"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
)

// Tables have times as people read them; what was not measured is left out.
func TestTablesHaveUnits(t *testing.T) {
	const short, long = 1234567 * time.Nanosecond, 1234567891 * time.Nanosecond
	for name, print := range map[string]func(io.Writer){
		"connect": func(w io.Writer) {
			printConnect(w, &workload.ConnectReport{Connections: []workload.Seen{{RTT: short}, {RTT: long}}})
		},
		"get": func(w io.Writer) {
			printGet(w, &workload.GetReport{Responses: []workload.Response{{FirstByte: short, Total: long}}})
		},
		"bulk": func(w io.Writer) {
			printBulk(w, &workload.BulkReport{Download: &workload.Flow{RTT: short}, Upload: &workload.Flow{RTT: long}})
		},
		"download": func(w io.Writer) {
			printDownloads(w, &download.Report{
				Ends: map[download.End]int{download.Completed: 1}, Downloads: []download.Download{{End: download.Completed, Ended: long, LongestGap: short}},
			})
		},
		"load": func(w io.Writer) {
			printLoad(w, &inference.Report{FirstByte: arrival.Latency{Count: 2, Mean: short.Seconds(), Max: long.Seconds()}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			print(&out)
			assert.Contains(t, out.String(), " 1.23 ms ", out.String())
			assert.Contains(t, out.String(), " 1.23 s ", out.String())
		})
	}
	assert.Empty(t, inUnits(0))
}
