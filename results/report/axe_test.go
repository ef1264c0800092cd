package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/internal/browsertest"
	"github.com/dsrlab/dsrlab/results/report"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// TestReportIsAccessible checks the report of a run, one of a run that failed, one with walks, and that of all labs with axe-core. SCREENSHOTS=FOLDER keeps
// what was seen.
func TestReportIsAccessible(t *testing.T) {
	passed := fabricate(t, resultstest.Options{Seed: 1})
	failed := fabricate(t, resultstest.Options{Seed: 1, Break: "dsr-full", Skip: "snat-collapses", AllInvalid: true, LeaveOpen: true})
	var one, broken, all, walks bytes.Buffer
	require.NoError(t, report.HTML(&one, passed, told()))
	require.NoError(t, report.HTML(&broken, failed, told()))
	require.NoError(t, report.AllHTML(&all, []report.Told{{Run: passed, Story: told()}, {Run: failed, Story: told()}}, []string{"03-none"}))
	require.NoError(t, report.HTML(&walks, passed, report.WalkStory()))
	ctx := browsertest.New(t)
	require.NoError(t, chromedp.Run(ctx)) // which starts it
	for name, page := range map[string]*bytes.Buffer{"passed": &one, "failed": &broken, "all": &all, "walks": &walks} {
		file := filepath.Join(t.TempDir(), name+".html")
		require.NoError(t, os.WriteFile(file, page.Bytes(), 0o644))
		require.NoError(t, chromedp.Run(ctx, chromedp.Navigate("file://"+file),
			chromedp.Evaluate(`document.querySelectorAll('details').forEach((d) => { d.open = true; })`, nil)))
		for _, view := range browsertest.Views() {
			require.NoError(t, chromedp.Run(ctx, view.Set()))
			if folder := os.Getenv("SCREENSHOTS"); folder != "" {
				var shot []byte
				require.NoError(t, chromedp.Run(ctx, chromedp.FullScreenshot(&shot, 100)))
				require.NoError(t, os.WriteFile(filepath.Join(folder, "report-"+name+"-"+view.String()+".png"), shot, 0o644))
			}
			browsertest.Axe(ctx, t, name+" "+view.String())
		}
	}
}
