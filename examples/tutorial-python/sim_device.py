"""A simulated door: it answers the direct method lockDoor and prints each change of its desired properties.

    python sim_device.py "HostName=...;DeviceId=simDevice;SharedAccessKey=..."
"""

import json
import os
import sys
import threading

from azure.iot.device import IoTHubDeviceClient, MethodResponse


def main():
    connection_string = sys.argv[1] if len(sys.argv) > 1 else os.environ["DEVICE_CONNECTION_STRING"]
    client = IoTHubDeviceClient.create_from_connection_string(connection_string)

    def on_method(request):
        if request.name != "lockDoor":
            client.send_method_response(MethodResponse.create_from_method_request(request, 404))
            return
        print("lockDoor", json.dumps(request.payload), flush=True)
        answer = {"result": "door locked", **(request.payload or {})}
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, answer))

    client.on_method_request_received = on_method
    client.on_twin_desired_properties_patch_received = lambda patch: print("desired", json.dumps(patch), flush=True)
    client.connect()
    print("connected; Ctrl-C ends the device", flush=True)
    try:
        threading.Event().wait()
    finally:
        client.shutdown()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
