package deadport

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpen(t *testing.T) {
	at := Open(t)
	_, err := net.Dial("tcp", at.String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = net.Listen("tcp", at.String())
	require.ErrorIs(t, err, syscall.EADDRINUSE, "it is taken")

	conn, err := net.Dial("udp", at.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("?"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = conn.Read(make([]byte, 1))
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
}
