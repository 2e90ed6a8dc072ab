"""What a console script in Python does without fleetjobs: a timer starts it at the due time, a pool of threads calls the devices.

It tells what it knows at the end as one line of JSON.
"""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification

THREADS = 50
due = int(os.environ["DUE"]) / 1000
manager = IoTHubRegistryManager.from_connection_string(os.environ["HUB_CONNECTION_STRING"])
method = CloudToDeviceMethod(method_name="reboot", payload={"delay": 5}, response_timeout_in_seconds=30)
lock = threading.Lock()
outcome = {"succeeded": 0, "failed": 0, "lastOutcome": int(due * 1000)}


def call(device_id):
    try:
        manager.invoke_device_method(device_id, method)
        result = "succeeded"
    except Exception:
        result = "failed"
    with lock:
        outcome[result] += 1
        outcome["lastOutcome"] = int(time.time() * 1000)


def run():
    query = QuerySpecification(query="SELECT deviceId FROM devices")
    token = None
    with ThreadPoolExecutor(THREADS) as pool:
        while True:
            page = manager.query_iot_hub(query, token, 100)
            for device in page.items:
                pool.submit(call, device.device_id)
            token = page.continuation_token
            if not token:
                break
    print(json.dumps(outcome))


timer = threading.Timer(due - time.time(), run)
timer.start()
timer.join()
