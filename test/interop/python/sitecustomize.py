"""Python imports this by itself, since the folder is in PYTHONPATH. It lets HostName in a device's connection string name a port,
as in localhost:18883: azure-iot-device always takes 8883. On that port, which `fleetjobs dev` takes, nothing is needed.
"""

from paho.mqtt.client import Client

connect = Client.connect


def connect_to_named_port(self, host, port=1883, **rest):
    name, _, named = host.partition(":")
    return connect(self, name, int(named or port), **rest)


Client.connect = connect_to_named_port
