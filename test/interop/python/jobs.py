"""azure-iot-hub's job manager, and its queries over devices.jobs, against whatever runs the jobs: the hub simulator's own engine
or the function app.
"""

import base64
import os
import unittest
import uuid
from datetime import datetime, timedelta, timezone

from azure.iot.device import IoTHubModuleClient
from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, JobRequest, QuerySpecification, Twin, TwinProperties
from msrest.exceptions import DeserializationError, HttpOperationError

from suite import CONNECTION_STRING, DEVICE_ID, OFFLINE_DEVICE_ID, Device, until

MINE = f"deviceId IN ['{DEVICE_ID}']"
LOCK = CloudToDeviceMethod(method_name="lockDoor", payload={"lockTime": "10m"}, response_timeout_in_seconds=15)
ENDED = ("completed", "failed", "cancelled")


def new_id():
    return f"python-{uuid.uuid4()}"


def in_an_hour():
    return datetime.now(timezone.utc) + timedelta(hours=1)


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.jobs = IoTHubJobManager.from_connection_string(CONNECTION_STRING)
        cls.registry = IoTHubRegistryManager.from_connection_string(CONNECTION_STRING)
        cls.device = Device()

    @classmethod
    def tearDownClass(cls):
        cls.device.client.shutdown()

    def create(self, job_id=None, condition=MINE, method=LOCK, twin=None, **more):
        job_id = job_id or new_id()
        kind = "scheduleDeviceMethod" if twin is None else "scheduleUpdateTwin"
        request = JobRequest(
            job_id=job_id,
            type=kind,
            cloud_to_device_method=method if twin is None else None,
            update_twin=twin,
            query_condition=condition,
            **more,
        )
        created = self.jobs.create_scheduled_job(job_id, request)
        self.assertEqual((created.job_id, created.type), (job_id, kind))
        self.assertIn(created.status, ("queued", "scheduled", "running"))
        return job_id

    def ended(self, job_id):
        def look():
            job = self.jobs.get_scheduled_job(job_id)
            return job if job.status in ENDED else None

        return until(f"the end of {job_id}", look)

    def becomes(self, job_id, status):
        until(status, lambda: self.jobs.get_scheduled_job(job_id).status == status)

    def rows(self, condition, size=100):
        """Reads a query over devices.jobs page by page."""
        query = QuerySpecification(query=f"SELECT * FROM devices.jobs WHERE {condition}")
        rows, token = [], None
        for _ in range(20):
            page = self.registry.query_iot_hub(query, token, size)
            self.assertEqual(page.type, "DeviceJob")
            self.assertLessEqual(len(page.items), size)
            rows += [item.additional_properties for item in page.items]  # the SDK takes each row for a twin
            token = page.continuation_token
            if not token:
                return rows
        raise AssertionError("the pages do not end")

    def test_a_method_job_reaches_the_device_and_its_answer_can_be_queried(self):
        now = datetime.now(timezone.utc)
        job_id = self.create(start_time=now, max_execution_time_in_seconds=60)
        job = self.ended(job_id)
        self.assertEqual(job.status, "completed")
        self.assertEqual(job.query_condition, MINE)
        self.assertEqual(job.max_execution_time_in_seconds, 60)
        self.assertEqual(job.cloud_to_device_method.method_name, "lockDoor")
        self.assertEqual(job.cloud_to_device_method.payload, {"lockTime": "10m"})
        counts = job.device_job_statistics
        self.assertEqual((counts.device_count, counts.succeeded_count, counts.failed_count), (1, 1, 0))
        self.assertEqual((counts.running_count, counts.pending_count), (0, 0))
        self.assertLess(abs(job.start_time - now), timedelta(seconds=5))
        self.assertLessEqual(job.created_time, job.end_time)
        self.assertEqual(self.device.calls[-1], {"lockTime": "10m"})

        (row,) = self.rows(f"devices.jobs.jobId = '{job_id}'")
        self.assertEqual((row["jobId"], row["jobType"]), (job_id, "scheduleDeviceMethod"))
        self.assertEqual(row["outcome"]["deviceMethodResponse"]["payload"]["result"], "door locked")

    def test_a_twin_job_changes_desired_properties(self):
        run = new_id()
        twin = Twin(etag="*", properties=TwinProperties(desired={"building": "43", "floor": 3, "run": run}))
        job = self.ended(self.create(twin=twin, start_time=datetime.now(timezone.utc), max_execution_time_in_seconds=60))
        self.assertEqual((job.status, job.type), ("completed", "scheduleUpdateTwin"))
        self.assertEqual(job.update_twin.etag, "*")
        self.assertEqual(job.device_job_statistics.succeeded_count, 1)
        until("the patch", lambda: [p for p in self.device.patches if p.get("run") == run])

    def test_a_job_over_modules_reaches_the_module_and_not_its_device(self):
        module_id = new_id()
        key = base64.b64encode(uuid.uuid4().bytes * 2).decode()
        self.registry.create_module_with_sas(DEVICE_ID, module_id, "", key, key)
        host = os.environ["DEVICE_CONNECTION_STRING"].partition(";")[0]
        connection = f"{host};DeviceId={DEVICE_ID};ModuleId={module_id};SharedAccessKey={key}"
        module = Device(IoTHubModuleClient.create_from_connection_string(connection))
        self.addCleanup(module.client.shutdown)
        until("the module", lambda: self.registry.get_module_twin(DEVICE_ID, module_id).connection_state == "Connected")

        run = new_id()
        lock = CloudToDeviceMethod(method_name="lockDoor", payload=run, response_timeout_in_seconds=15, connect_timeout_in_seconds=15)
        answer = self.registry.invoke_device_module_method(DEVICE_ID, module_id, lock)
        self.assertEqual((answer.status, answer.payload["got"]), (200, run))
        condition = f"FROM devices.modules WHERE moduleId = '{module_id}'"
        job_id = self.create(condition=condition, method=lock)
        job = self.ended(job_id)
        self.assertEqual((job.status, job.query_condition), ("completed", condition))
        self.assertEqual(job.device_job_statistics.succeeded_count, 1)
        (row,) = self.rows(f"devices.jobs.jobId = '{job_id}'")
        self.assertEqual(row["outcome"]["deviceMethodResponse"]["payload"]["got"], run)
        self.assertEqual(module.calls, [run, run])
        self.assertNotIn(run, self.device.calls)

        twin = Twin(etag="*", properties=TwinProperties(desired={"run": run}))
        self.assertEqual(self.ended(self.create(condition=condition, method=None, twin=twin)).status, "completed")
        until("the patch", lambda: [p for p in module.patches if p.get("run") == run])

    def test_start_time_time_limit_and_payload_may_be_left_out(self):
        job = self.ended(self.create(method=CloudToDeviceMethod(method_name="lockDoor")))
        self.assertEqual(job.device_job_statistics.succeeded_count, 1)

    def test_start_times_with_and_without_zone(self):
        for start in ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05", "2020-01-02T05:04:05.1234567+02:00"):
            job = self.ended(self.create(start_time=start, max_execution_time_in_seconds=60))
            self.assertEqual(job.device_job_statistics.succeeded_count, 1, start)

    def test_a_job_for_later_is_scheduled_and_can_be_cancelled(self):
        job_id = self.create(start_time=in_an_hour(), max_execution_time_in_seconds=60)
        self.becomes(job_id, "scheduled")
        self.assertEqual(self.jobs.cancel_scheduled_job(job_id).job_id, job_id)
        self.assertEqual(self.ended(job_id).status, "cancelled")

    def test_a_running_job(self):
        slow = CloudToDeviceMethod(method_name="slow", response_timeout_in_seconds=10)
        job_id = self.create(method=slow)
        self.becomes(job_id, "running")
        if os.environ["CANCELS_RUNNING_JOBS"] == "true":
            self.jobs.cancel_scheduled_job(job_id)
            self.assertEqual(self.ended(job_id).status, "cancelled")
            return
        with self.assertRaises(HttpOperationError):
            self.jobs.cancel_scheduled_job(job_id)
        self.assertEqual(self.ended(job_id).status, "completed")

    def test_jobs_are_listed(self):
        job_id = self.create(start_time=in_an_hour(), max_execution_time_in_seconds=60)
        self.becomes(job_id, "scheduled")
        # The SDK expects an object and meets the bare array that IoT Hub answers; its own pipeline shows that the array is there.
        with self.assertRaises(DeserializationError):
            self.jobs.query_scheduled_jobs("scheduleDeviceMethod", "scheduled")
        pipeline = self.jobs.protocol.jobs._client
        parameters = {"jobType": "scheduleDeviceMethod", "jobStatus": "scheduled", "api-version": "2021-04-12"}
        answer = pipeline.send(pipeline.get("/jobs/v2/query", parameters, {"Accept": "application/json"}))
        self.assertEqual(answer.headers["x-ms-item-type"], "JobResponse")
        self.assertIn(job_id, [job["jobId"] for job in answer.json()])
        self.jobs.cancel_scheduled_job(job_id)

    def test_rows_of_devices_come_in_pages(self):
        job_id = self.create(condition="STARTSWITH(deviceId, 'dev-')")
        counts = self.ended(job_id).device_job_statistics
        self.assertGreaterEqual(counts.device_count, 20)
        rows = self.rows(f"devices.jobs.jobId = '{job_id}'", 7)
        self.assertEqual(len(rows), counts.device_count)

    def test_a_device_that_is_not_connected_fails(self):
        job_id = self.create(condition=f"deviceId = '{OFFLINE_DEVICE_ID}'")
        job = self.ended(job_id)
        self.assertEqual((job.status, job.device_job_statistics.failed_count), ("completed", 1))
        (row,) = self.rows(f"devices.jobs.jobId = '{job_id}' AND devices.jobs.status = 'failed'")
        self.assertEqual(row["error"]["code"], "DeviceNotOnline")

    def test_an_unknown_job_has_an_unknown_status(self):
        self.assertEqual(self.jobs.get_scheduled_job(new_id()).status, "unknown")

    def test_faults(self):
        def status(**job):
            with self.assertRaises(HttpOperationError) as caught:
                self.create(**job)
            return caught.exception.response.status_code

        taken = self.create(start_time=in_an_hour(), max_execution_time_in_seconds=60)
        self.assertEqual(status(job_id=taken), 409)
        self.jobs.cancel_scheduled_job(taken)
        self.assertEqual(status(job_id="no_underscores"), 400)
        self.assertEqual(status(condition="deviceId IN ['" + "x" * 9000 + "']"), 412)
        self.assertEqual(status(twin=Twin(etag="old", tags={"a": 1})), 400)
        forged = CONNECTION_STRING.partition(";SharedAccessKey=")[0] + ";SharedAccessKey=Zm9yZ2Vk"
        with self.assertRaises(HttpOperationError) as caught:
            IoTHubJobManager.from_connection_string(forged).get_scheduled_job("any")
        self.assertEqual(caught.exception.response.status_code, 401)


if __name__ == "__main__":
    unittest.main(verbosity=2)
