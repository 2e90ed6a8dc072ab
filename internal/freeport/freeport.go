// Package freeport finds ports for processes that must be told theirs before they take them. It owns the choice; it reserves nothing.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Linux gives outgoing connections ports from 32768 on, other systems from 49152 on
// (https://docs.kernel.org/networking/ip-sysctl.html, ip_local_port_range). A port from below is still free when its process takes it,
// also while thousands of connections come and go.
const (
	lowest  = 20000
	highest = 32000
	tries   = 100
)

// Find gives a TCP port of 127.0.0.1 at which nobody listens.
func Find(ctx context.Context) (int, error) {
	var err error
	for range tries {
		port := lowest + rand.IntN(highest-lowest)
		var listener net.Listener
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("finding a free port: %w", err)
}
