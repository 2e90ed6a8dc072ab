"""Locks the doors of a building with one job and says what became of it. Python 3.9 or later, no packages.

    FLEETJOBS_URL=https://my-app.azurewebsites.net FLEETJOBS_KEY=... python3 backend.py 43
"""

import json
import os
import sys
import time
import uuid
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

BASE = os.environ["FLEETJOBS_URL"]
KEY = os.environ["FLEETJOBS_KEY"]


def request(path, body=None, headers=None):
    """Makes a request that may be repeated: it is, while there is no answer or the app says that it is busy.

    Gives headers and body; the body of an answer of 304 is None.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"x-functions-key": KEY, "Content-Type": "application/json", **(headers or {})}
    for attempt in range(1, 6):
        wait = 2**attempt
        try:
            with urlopen(Request(BASE + path, data=data, headers=headers), timeout=30) as answer:
                return answer.headers, json.load(answer)
        except HTTPError as error:
            if error.code == 304:
                return error.headers, None
            if error.code not in (429, 502, 503, 504) or attempt == 5:
                raise SystemExit(problem(error))
            wait = int(error.headers.get("Retry-After", wait))
        except (URLError, TimeoutError):
            if attempt == 5:
                raise
        time.sleep(wait)


def problem(error):
    """Words an answer that is application/problem+json (RFC 9457), unless it is the platform's."""
    try:
        document = json.load(error)
    except ValueError:
        return f"{error.code} {error.reason}"
    faults = [f"{fault.get('field')}: {fault.get('detail')}" for fault in document.get("errors", [])]
    return "\n".join([f"{error.code} {document.get('title')}", *faults])


def create_job(job, idempotency_key=None):
    """Creates a job once, however often it has to ask: a key stands for one job."""
    _, created = request("/api/jobs", job, {"Idempotency-Key": idempotency_key or str(uuid.uuid4())})
    return created


def wait_for_end(job_id, progress):
    """Asks once a second and calls progress when something is new."""
    etag = None
    while True:
        headers, job = request(f"/api/jobs/{job_id}", headers={"If-None-Match": etag} if etag else None)
        if job:
            etag = headers["ETag"]
            progress(job)
            if job["status"] in ("completed", "failed", "cancelled"):
                return job
        time.sleep(1)


def failed_executions(job_id):
    """Yields every device that failed, page by page."""
    token = ""
    while token is not None:
        query = urlencode({"status": "failed", "pageSize": 1000, "continuationToken": token})
        _, page = request(f"/api/jobs/{job_id}/executions?{query}")
        yield from page["executions"]
        token = page.get("continuationToken")


def show(job):
    counts = job.get("deviceJobStatistics")
    print(job["status"], f"{counts['succeededCount'] + counts['failedCount']} of {counts['deviceCount']}" if counts else "", flush=True)


def main():
    building = int(sys.argv[1]) if len(sys.argv) > 1 else 43
    created = create_job(
        {
            "type": "scheduleDeviceMethod",
            "cloudToDeviceMethod": {"methodName": "lockDoor", "payload": {"lockTime": "10m"}, "responseTimeoutInSeconds": 15},
            "queryCondition": f"tags.building = {building}",
            "maxExecutionTimeInSeconds": 600,
        }
    )
    print("created", created["jobId"], flush=True)
    job = wait_for_end(created["jobId"], show)
    print(job["statusMessage"])
    for execution in failed_executions(job["jobId"]):
        print("failed", execution["deviceId"], execution["error"]["code"], execution["error"]["message"])


if __name__ == "__main__":
    main()
