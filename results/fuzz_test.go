package results

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// FuzzRun feeds the files of a run: each folder is refused with an error, or is a run that can be summarised.
func FuzzRun(f *testing.F) {
	folders, err := fs.ReadDir(Reference(), ".")
	require.NoError(f, err)
	for _, folder := range folders {
		var parts [5][]byte
		for i, name := range []string{"manifest.json", "env.json", "samples.jsonl", "events.jsonl", "series.jsonl"} {
			data, err := fs.ReadFile(Reference(), folder.Name()+"/"+name)
			if err == nil {
				parts[i] = data[:min(len(data), 16<<10)] // as a crash leaves it
			}
		}
		f.Add(parts[0], parts[1], parts[2], parts[3], parts[4])
	}
	f.Fuzz(func(t *testing.T, manifest, env, samples, events, series []byte) {
		run, err := Read(fstest.MapFS{
			"manifest.json": {Data: manifest}, "env.json": {Data: env}, "samples.jsonl": {Data: samples}, "events.jsonl": {Data: events},
			"series.jsonl": {Data: series}, "raw/x.pcapng": {},
		}, "fuzz")
		if err != nil {
			require.Nil(t, run)
			return
		}
		require.NotEmpty(t, Verdicts(run).Result)
		for _, metric := range Summarize(run).Metrics {
			require.LessOrEqual(t, metric.Valid, metric.N)
		}
		run.Environment.Busy()
	})
}

// FuzzClaims feeds files of claims: each is refused, or every claim in it is whole.
func FuzzClaims(f *testing.F) {
	data, err := embedded.ReadFile("claims.yaml")
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := ParseClaims(data, "fuzz")
		if err != nil {
			return
		}
		require.NotEmpty(t, claims)
		for i, claim := range claims {
			require.NotEmpty(t, claim.Slide())
			_, twice := claims[:i].Find(claim.ID)
			require.False(t, twice)
		}
	})
}
