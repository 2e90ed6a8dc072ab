package cli

import (
	"cmp"
	"context"
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/devicesim"
)

func deviceEntry() entry {
	return entry{
		name: "device", summary: "run one device over MQTT, against the simulator or a real IoT hub",
		text: `
It does what the device of Microsoft's tutorial "Schedule and broadcast jobs" does: it answers the direct method lockDoor
and prints the patches of its desired properties. It connects again whenever the connection is lost.

'fleetjobs hub --device <id>' and 'fleetjobs dev --device <id>' register a device and print its connection string.`,
		example: `
fleetjobs device --ca-file hub-ca.pem --connection-string 'HostName=localhost;DeviceId=simDevice;SharedAccessKey=...'

# a device of a real hub
export IOTHUB_DEVICE_CONNECTION_STRING='HostName=my-hub.azure-devices.net;DeviceId=door-7;SharedAccessKey=...'
fleetjobs device`,
		make: func(m *Main) command { return &device{m: m} },
	}
}

type device struct {
	m                        *Main
	connection, caFile, mqtt string
	report                   bool
}

// deviceVariable names the device's connection string in the environment, as Microsoft's samples do.
const deviceVariable = "IOTHUB_DEVICE_CONNECTION_STRING"

func (c *device) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.connection, "connection-string", "", "the device's connection `string`; better in "+deviceVariable+", where no process list shows it")
	fs.StringVar(&c.caFile, "ca-file", "", "PEM `file` of the certificates to trust instead of the system's, for the simulator; else IOTHUB_CA_FILE")
	fs.StringVar(&c.mqtt, "mqtt", "", "`host:port` of MQTT, if it is not that of the connection string; else IOTHUB_MQTT")
	fs.BoolVar(&c.report, "report", false, "report the property lastSeen at each connection")
}

func (c *device) run(ctx context.Context, args []string) error {
	if err := noArgs("device", args); err != nil {
		return err
	}
	connection := cmp.Or(c.connection, c.m.Getenv(deviceVariable))
	if connection == "" {
		return usagef(tryHelp("device"), "the device's connection string is missing")
	}
	return devicesim.Run(ctx, devicesim.Options{
		ConnectionString: connection, CAFile: cmp.Or(c.caFile, c.m.Getenv("IOTHUB_CA_FILE")),
		MQTTAddr: cmp.Or(c.mqtt, c.m.Getenv("IOTHUB_MQTT")), Out: c.m.Stdout, Report: c.report,
	})
}
