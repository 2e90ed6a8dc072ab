"""What the suites share: a device of their own, and waiting."""

import os
import time

from azure.iot.device import IoTHubDeviceClient, MethodResponse

CONNECTION_STRING = os.environ["IOTHUB_CONNECTION_STRING"]  # these are set by the Go test: see main_test.go
DEVICE_ID = os.environ["DEVICE_ID"]
OFFLINE_DEVICE_ID = os.environ["OFFLINE_DEVICE_ID"]


class Device:
    """A device, or a module of it, that remembers the calls of lockDoor and the patches of its desired properties."""

    def __init__(self, client=None):
        self.calls = []
        self.patches = []
        self.client = client or IoTHubDeviceClient.create_from_connection_string(os.environ["DEVICE_CONNECTION_STRING"])
        self.client.on_method_request_received = self._method
        self.client.on_twin_desired_properties_patch_received = self.patches.append
        self.client.connect()

    def _method(self, request):
        if request.name == "slow":
            time.sleep(3)
        elif request.name != "lockDoor":
            return
        self.calls.append(request.payload)
        answer = {"result": "door locked", "got": request.payload}
        self.client.send_method_response(MethodResponse.create_from_method_request(request, 200, answer))


def until(what, look):
    """Calls look until it gives something, and gives that."""
    end = time.monotonic() + 60
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.1)
