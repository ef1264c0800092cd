package proc_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/proc"
)

func TestRead(t *testing.T) {
	self, err := proc.Read(os.Getpid())
	require.NoError(t, err)
	assert.False(t, self.Ended())
	assert.False(t, self.Stopped())
	assert.True(t, proc.IsRunning(os.Getpid(), self.Start))
	assert.False(t, proc.IsRunning(os.Getpid(), self.Start+1), "another process had this ID")
}

func TestReadEnded(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p, err := proc.Read(cmd.Process.Pid)
	require.NoError(t, err)
	assert.True(t, proc.IsRunning(cmd.Process.Pid, p.Start))
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	_, err = proc.Read(cmd.Process.Pid)
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.False(t, proc.IsRunning(cmd.Process.Pid, p.Start))
}
