package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/freeport"
)

func TestFind(t *testing.T) {
	t.Parallel()
	taken := map[int]bool{}
	for range 50 {
		port, err := freeport.Find(t.Context())
		require.NoError(t, err)
		require.False(t, taken[port], "somebody listens there")
		require.Less(t, port, 32768, "no port of outgoing connections")
		taken[port] = true
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, listener.Close()) })
	}
}
