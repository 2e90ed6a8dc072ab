// Package devicesim owns a device program that speaks real MQTT 3.1.1 over TLS and does what the device of Microsoft's
// tutorial "Schedule and broadcast jobs" does: it answers the direct method lockDoor and prints the patches of its desired
// properties. It works against IoT Hub as well as against the simulator.
//
// Methods: lockDoor is answered 200 with the lock time that came in the payload, reboot 200, every other method 501 as
// Microsoft's C# device SDK does it.
//
// It reconnects with growing, jittered waits, and before its token expires. It stores nothing between runs.
package devicesim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Options of a device. ConnectionString is required.
type Options struct {
	// ConnectionString is that of the device: HostName=...;DeviceId=...;SharedAccessKey=...
	ConnectionString string
	// CAFile holds the certificates to trust, in PEM; empty means those of the system. It is read anew for every connection,
	// since a simulator that starts again has another authority.
	CAFile string
	// MQTTAddr is the host:port to connect to; default that of HostName, port 8883 if it has none.
	MQTTAddr string
	// Out gets a line for everything that happens; default io.Discard.
	Out io.Writer
	// Report makes the device report {"lastSeen": time} whenever it connects.
	Report bool
	// TokenLifetime is that of a SAS token; default one hour. The device connects anew after four fifths of it.
	TokenLifetime time.Duration
	// MinBackoff and MaxBackoff bound the wait before it connects again; default 1 s and 60 s.
	MinBackoff, MaxBackoff time.Duration
}

// The defaults of Options.
const (
	defaultTokenLifetime = time.Hour
	defaultMinBackoff    = time.Second
	defaultMaxBackoff    = time.Minute
	defaultPort          = "8883"
)

// device is a checked Options.
type device struct {
	opt    Options
	host   string // as in the connection string
	id     string
	key    []byte
	broker string // URL
}

// Run is the device until ctx ends, which is no error. It fails at once on options that cannot work and on credentials that
// the hub refuses at the first attempt; afterwards it keeps trying.
func Run(ctx context.Context, opt Options) error {
	d, err := newDevice(opt)
	if err != nil {
		return err
	}
	backoff := d.opt.MinBackoff
	for first := true; ; first = false {
		connected, err := d.connectOnce(ctx)
		switch {
		case ctx.Err() != nil:
			d.printf("stopped")
			return nil
		case errors.Is(err, errRenew):
			continue
		case first && errors.Is(err, packets.ErrorRefusedNotAuthorised):
			return fmt.Errorf("connecting device %q: %w", d.id, err)
		}
		if connected {
			backoff = d.opt.MinBackoff
		}
		// Full jitter over the upper half, so that a fleet that lost its hub does not come back in one instant.
		wait := backoff/2 + rand.N(backoff/2+1)
		d.printf("not connected: %v; again in %v", err, wait.Round(time.Millisecond))
		backoff = min(2*backoff, d.opt.MaxBackoff)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func newDevice(opt Options) (*device, error) {
	d := &device{opt: opt}
	if d.opt.Out == nil {
		d.opt.Out = io.Discard
	}
	if d.opt.TokenLifetime <= 0 {
		d.opt.TokenLifetime = defaultTokenLifetime
	}
	if d.opt.MinBackoff <= 0 {
		d.opt.MinBackoff = defaultMinBackoff
	}
	if d.opt.MaxBackoff < d.opt.MinBackoff {
		d.opt.MaxBackoff = max(defaultMaxBackoff, d.opt.MinBackoff)
	}
	if err := d.parseConnectionString(); err != nil {
		return nil, err
	}
	addr := opt.MQTTAddr
	if addr == "" {
		addr = d.host
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(addr, defaultPort)
	}
	d.broker = "tls://" + addr
	_, err := trust(opt.CAFile)
	return d, err
}

// parseConnectionString never names the key in its errors.
func (d *device) parseConnectionString() error {
	fields := map[string]string{}
	for field := range strings.SplitSeq(strings.TrimSpace(d.opt.ConnectionString), ";") {
		name, value, _ := strings.Cut(field, "=")
		fields[name] = value
	}
	for _, name := range []string{"HostName", "DeviceId", "SharedAccessKey"} {
		if fields[name] == "" {
			return fmt.Errorf("reading the device's connection string: %s is missing", name)
		}
	}
	key, err := base64.StdEncoding.DecodeString(fields["SharedAccessKey"])
	if err != nil {
		return errors.New("reading the device's connection string: SharedAccessKey is not base64")
	}
	d.host, d.id, d.key = fields["HostName"], fields["DeviceId"], key
	return nil
}

func trust(caFile string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA certificates: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the CA certificates: %s has none", caFile)
	}
	return config, nil
}

// printf writes a line; an output that does not take it any more is no reason for a device to stop.
func (d *device) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(d.opt.Out, "%s  "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}
