package kind

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeEngine puts a docker into PATH that notes how it is called, and answers run and exec as given.
func fakeEngine(t *testing.T, run, exec string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho \"$1 $2 $3\" >> " + log + "\ncase $1 in\nrun) " + run + ";;\nexec) " + exec + ";;\nesac\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	return func() string {
		text, err := os.ReadFile(log)
		require.NoError(t, err)
		return string(text)
	}
}

// A container with --privileged, and a command in it: what fails is said in the engine's words, and nothing stays.
func TestCheckPrivileged(t *testing.T) {
	const ran, removed = "run --detach --privileged\n", "rm --force --volumes\n"
	for _, test := range []struct{ name, run, exec, want, calls string }{
		{"works", "echo 4711", "true", "", ran + "exec --privileged 4711\n" + removed},
		{"run fails", "echo 4711; echo 'operation not permitted' >&2; exit 126", "true",
			"with --privileged: docker run --detach: operation not permitted (exit status 126)", ran + removed},
		{"not even made", "echo 'no such image' >&2; exit 125", "true",
			"with --privileged: docker run --detach: no such image (exit status 125)", ran},
		{"exec fails", "echo 4711", "echo 'OCI runtime exec failed: not permitted'; exit 126",
			"with --privileged: docker exec --privileged: OCI runtime exec failed: not permitted (exit status 126)", ran + "exec --privileged 4711\n" + removed},
		{"exec fails silently", "echo 4711", "exit 126",
			"with --privileged: docker exec --privileged: exit status 126", ran + "exec --privileged 4711\n" + removed},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls := fakeEngine(t, test.run, test.exec)
			err := checkPrivileged(t.Context(), "image")
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
			assert.Equal(t, test.calls, calls())
		})
	}
}

// A check whose needs failed is not made.
func TestReadyWithoutImage(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho $1 >> " + log + "\n[ $1 != image ] || { echo 'No such image' >&2; exit 1; }\n[ $1 != info ] || echo 2\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	err := Ready(t.Context(), "image", 1)
	require.ErrorContains(t, err, "docker image inspect: No such image (exit status 1)")
	assert.NotContains(t, err.Error(), "privileged")
	calls, err := os.ReadFile(log)
	require.NoError(t, err)
	assert.Equal(t, "version\nimage\ninfo\n", string(calls))
}
