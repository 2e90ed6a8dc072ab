"""Schedules two jobs for one device, with IoT Hub's own client, and waits for their ends: a direct method that locks the door,
then new desired properties. IOTHUB_CONNECTION_STRING says who runs the jobs: an IoT hub or fleetjobs.

    python schedule_job_service.py simDevice
"""

import os
import sys
import time
import uuid
from datetime import datetime, timezone

from azure.iot.hub import IoTHubJobManager
from azure.iot.hub.models import CloudToDeviceMethod, JobRequest, Twin, TwinProperties

jobs = IoTHubJobManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])


def run(name, device, **operation):
    """Creates a job for one device and waits for its end."""
    job_id = f"{name}-{uuid.uuid4()}"
    request = JobRequest(
        job_id=job_id,
        query_condition=f"deviceId IN ['{device}']",
        start_time=datetime.now(timezone.utc).isoformat(),
        max_execution_time_in_seconds=300,
        **operation,
    )
    jobs.create_scheduled_job(job_id, request)
    while True:
        job = jobs.get_scheduled_job(job_id)
        print(job_id, job.status, flush=True)
        if job.status in ("completed", "failed", "cancelled"):
            counts = job.device_job_statistics
            print(f"{job_id}: {counts.succeeded_count} succeeded, {counts.failed_count} failed", flush=True)
            return
        time.sleep(1)


def main():
    device = sys.argv[1] if len(sys.argv) > 1 else "simDevice"
    method = CloudToDeviceMethod(method_name="lockDoor", payload={"lockTime": "10m"}, response_timeout_in_seconds=15)
    run("lock", device, type="scheduleDeviceMethod", cloud_to_device_method=method)
    twin = Twin(etag="*", properties=TwinProperties(desired={"building": "43", "floor": 3}))
    run("move", device, type="scheduleUpdateTwin", update_twin=twin)


if __name__ == "__main__":
    main()
