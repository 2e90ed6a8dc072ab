package cli

import (
	"context"
	"errors"
	"flag"
	"log/slog"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

func hubEntry() entry {
	return entry{
		name: "hub", summary: "run the IoT Hub simulator alone",
		text: `
It serves IoT Hub's REST API for back ends (registry, twins, direct methods, queries) over HTTPS and MQTT 3.1.1 over TLS for
devices, on this machine only, with a certificate authority of its own. Nothing is kept when it ends.

With --tier it enforces IoT Hub's throttles for each operation: a minute's allowance passes at once, then requests are
delayed for up to ten seconds, then they are answered 429. Its counters are at GET /$sim/stats.`,
		example: `
fleetjobs hub --devices 10000 --offline 0.02 --latency 50ms

# the limits of an S1 hub with one unit, with a minute of them in a second
fleetjobs hub --devices 10000 --tier S1 --time-scale 60

# IoT Hub's own scheduled jobs, as fast as devices answer
fleetjobs hub --devices 10000 --jobs

# a device of your own, and the same connection strings each time
fleetjobs hub --device simDevice --secret letmein --ca-file hub-ca.pem`,
		make: func(m *Main) command { return &hub{m: m} },
	}
}

type hub struct {
	m              *Main
	fleet          fleetFlags
	tier           tierFlags
	outside        stringList
	port, mqttPort int
	caFile, secret string
}

func (c *hub) flags(fs *flag.FlagSet) {
	c.fleet.flags(fs)
	c.tier.flags(fs)
	fs.Var(&c.outside, "device", "`id` of a device to register that connects over MQTT; may be repeated")
	fs.IntVar(&c.port, "hub-port", hubPort, "`port` of HTTPS, 0 for a free one")
	fs.IntVar(&c.mqttPort, "mqtt-port", mqttPort, "`port` of MQTT over TLS, 0 for a free one")
	fs.StringVar(&c.caFile, "ca-file", "", "`file` to write the certificate to that clients must trust; a temporary one unless given")
	fs.StringVar(&c.secret, "secret", "", "`text` that all keys are made from; new ones each time unless given")
}

func (c *hub) run(ctx context.Context, args []string) error {
	if err := errors.Join(noArgs("hub", args), c.fleet.check(), c.tier.check()); err != nil {
		return err
	}
	fleet, err := fleetsim.New(fleetsim.Options{
		Devices: c.fleet.devices, Latency: c.fleet.latency,
		OfflineShare: c.fleet.offline, FailShare: c.fleet.fail, SilentShare: c.fleet.silent, ApplyAfter: c.fleet.applyAfter,
	})
	if err != nil {
		return err
	}
	server, err := hubsim.Start(context.WithoutCancel(ctx), hubsim.Options{
		HTTPPort: c.port, MQTTPort: c.mqttPort, CAFile: c.caFile, Secret: []byte(c.secret), Fleet: fleet,
		Throttle: c.tier.throttle, TimeScale: c.tier.scale, Jobs: c.tier.jobs,
		Logger: slog.New(slog.NewTextHandler(c.m.Stderr, nil)),
	})
	if err != nil {
		return portHint(err)
	}
	defer server.Close()
	if err := c.show(server); err != nil {
		return err
	}
	<-ctx.Done()
	c.m.remark("stopping")
	return nil
}

func (c *hub) show(server *hubsim.Server) error {
	c.m.printf("The IoT Hub simulator runs, with %s.\n\n", devices(c.fleet.devices))
	c.m.printf("IOTHUB_CONNECTION_STRING='%s'\n", server.ConnectionString())
	c.m.printf("IOTHUB_CA_FILE='%s'\n", server.CAFile())
	c.m.printf("IOTHUB_MQTT='%s'\n", server.MQTTAddr())
	c.m.printf("\nwith all rights: %s\n", server.PolicyConnectionString("iothubowner"))
	for _, id := range c.outside {
		if err := server.CreateDevice(registry.Preset{ID: id}); err != nil {
			return err
		}
		connection, err := server.DeviceConnectionString(id)
		if err != nil {
			return err
		}
		c.m.printf("device: fleetjobs device --ca-file %s --connection-string '%s'\n", server.CAFile(), connection)
	}
	c.m.printf("\nCtrl-C stops it.\n")
	return nil
}
